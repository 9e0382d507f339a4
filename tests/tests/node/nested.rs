//! A node that is a service of another node.

use blackhole_tests::{TestNode, bh, pid, processes, until};
use serde_json::Value;

#[test]
fn a_node_below_a_node_has_a_place_of_its_own() {
    let program = bh().get_program().display().to_string();
    let mut outer = TestNode::launch_with(
        &format!(
            "[services.inner]\ncommand = [\"{program}\", \"run\", \"{{directory}}/inner.toml\", \"--quiet\"]\n\
             [services.plain]\ncommand = [\"{{fixture}}\", \"--sleep\"]\n"
        ),
        |command| {
            // What configures the outer node is not the inner one's business either.
            command.env("BLACKHOLE_SERVICES__PLAIN__STOP__GRACE", "3s");
        },
    );
    let inner_dir = outer.path("inner-run");
    let text = format!(
        "[node]\nname = \"inner\"\nruntime_dir = \"{0}/inner-run\"\ndata_dir = \"{0}/inner-data\"\n\
         log_dir = \"{0}/inner-log\"\n[services.leaf]\ncommand = [\"sleep\", \"1000\"]\n",
        outer.directory().display()
    );
    std::fs::write(outer.path("inner.toml"), text).expect("it is written");
    outer.until("the outer node runs", |status| status["node"]["state"] == "running");
    let inner = || -> Value {
        let runtime_dir = format!("--runtime-dir={}", inner_dir.display());
        let asked = bh().args(["status", "--json", &runtime_dir]).output().expect("bh runs");
        serde_json::from_slice(&asked.stdout).unwrap_or(Value::Null)
    };
    let status = until("the inner node runs", inner, |it| it["node"]["state"] == "running");
    assert_eq!(status["node"]["name"], "inner");
    assert_eq!(status["services"][0]["state"], "ready");
    assert_ne!(pid(&status["node"]), outer.node_pid());
    assert_eq!(outer.service("inner")["restarts"], 0);

    assert_eq!(outer.bh(&["stop", "--all"]).code, 0);
    assert!(outer.ended().success());
    let carried = format!("BLACKHOLE_RUNTIME_DIR={}", inner_dir.display());
    until("nothing of the inner node is left", || processes::carrying(&carried), Vec::is_empty);
}

//! Every call writes the key that it says it does, and no key of a service is without a call.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use blackhole_config::Value;
use blackhole_policy::backoff::Backoff;

use super::{It, Meaning, SERVICE, of_code, of_text};
use crate::{
    Budget, Enforcement, Live, Logs, Node, NodeBuilder, OnFailed, Probe, Ready, Restart, Sandbox,
    SandboxPart, Scale, Secret, ServiceSpec, Size, Strategy, Tier, Tls,
};

const SECOND: Duration = Duration::from_secs(1);

fn same(code: NodeBuilder, text: &str) {
    let (code, text) = (of_code(code), of_text(text.to_owned()));
    assert!(matches!(text, Meaning::Config(_)), "{text:?}");
    assert_eq!(code, text);
}

/// A service, and its table as a file has it.
fn same_service(service: ServiceSpec, text: &str) {
    same(Node::builder().service(SERVICE, service), &format!("[services.{SERVICE}]\n{text}"));
}

fn command() -> ServiceSpec {
    ServiceSpec::command(["true"])
}

fn native() -> ServiceSpec {
    ServiceSpec::native::<It>()
}

#[test]
fn everything_of_a_node() {
    let logs = Logs::new()
        .file_size_max(Size::mib(1))
        .file_age_max(SECOND)
        .files_max(2)
        .retention(2 * SECOND)
        .line_length_max(Size::kib(1));
    let budget = Budget::new().cpu(1.5).memory(Size::gib(1)).reserve(0.2);
    let node = Node::builder()
        .name("dev")
        .runtime_dir("/a")
        .data_dir("/b")
        .log_dir("/c")
        .enforce(Enforcement::Strict)
        .strategy(Strategy::RestForOne)
        .restarts(7, SECOND)
        .http(([127, 0, 0, 1], 9091).into())
        .logs(logs)
        .budget(budget.every(SECOND).window(2 * SECOND))
        .service(SERVICE, command());
    let said = keys_of(&node);
    same(
        node,
        r#"
        node = { name = "dev", runtime_dir = "/a", data_dir = "/b", log_dir = "/c", enforce = "strict" }
        supervisor = { strategy = "rest_for_one", restarts_max = 7, restarts_window = "1s" }
        http = { listen = "127.0.0.1:9091" }
        resources = { cpu = 1.5, memory = "1GiB", reserve = 0.2, every = "1s", window = "2s" }
        services.it.command = ["true"]
        [logs]
        file_size_max = "1MiB"
        file_age_max = "1s"
        files_max = 2
        retention = "2s"
        line_length_max = "1KiB"
        "#,
    );
    let schema = blackhole_config::schema();
    for table in ["node", "supervisor", "http", "logs", "resources"] {
        let keys = schema["properties"][table]["properties"].as_object().expect("a table");
        for key in keys.keys() {
            assert!(said.contains(&format!("{table}.{key}")), "{table}.{key} has no call");
        }
    }
}

fn keys_of(node: &NodeBuilder) -> BTreeSet<String> {
    let mut said = BTreeSet::new();
    for table in node.table.keys() {
        if let Some(Value::Table(keys)) = node.table.get(table) {
            said.extend(keys.keys().map(|key| format!("{table}.{key}")));
        }
    }
    said
}

#[test]
fn how_a_service_is_supervised() {
    same_service(
        supervised(),
        r#"
        command = ["true"]
        enabled = false
        instances = 2
        restart = "transient"
        restarts_max = 1
        restarts_window = "1s"
        on_failed = "escalate"
        backoff = { initial = "1s", factor = 3.0, max = "5s", jitter = 0.5, reset_after = "9s" }
        startup = { tcp = "127.0.0.1:1", every = "1s", timeout = "2s", failures_max = 4 }
        ready = { exec = ["true"], successes_min = 2, deadline = "3s" }
        stop = { signal = "SIGQUIT", grace = "4s" }
        [services.it.live]
        grpc = "127.0.0.1:2"
        service = "a.B"
        tls = { ca = "/ca", cert = "/c", key = "/k", server_name = "n" }
        "#,
    );
}

fn supervised() -> ServiceSpec {
    let backoff = Backoff {
        initial: SECOND,
        factor: 3.0,
        max: 5 * SECOND,
        jitter: 0.5,
        reset_after: 9 * SECOND,
    };
    let tls = Tls::new().ca("/ca").identity("/c", "/k").server_name("n");
    command()
        .disabled()
        .instances(2)
        .restart(Restart::Transient)
        .restarts(1, SECOND)
        .on_failed(OnFailed::Escalate)
        .backoff(backoff)
        .startup(Probe::tcp("127.0.0.1:1").every(SECOND).timeout(2 * SECOND).failures_max(4))
        .ready(Probe::exec(["true"]).successes_min(2).deadline(3 * SECOND))
        .live(Probe::grpc("127.0.0.1:2").service("a.B").tls(tls))
        .stop_signal("SIGQUIT")
        .grace(4 * SECOND)
}

#[test]
fn what_a_service_finds() {
    same_service(
        placed(),
        r#"
        command = ["true"]
        listen = ["tcp://127.0.0.1:8000"]
        working_directory = "/srv"
        user = "ada"
        group = "staff"
        supplementary_groups = ["video"]
        environment = { KEY = "value" }
        environment_files = ["-/none.env"]
        clear_environment = true
        secrets = { a = { file = "/a" }, b = { env = "B" }, c = { credential = "c" } }
        "#,
    );
}

fn placed() -> ServiceSpec {
    command()
        .listen("tcp://127.0.0.1:8000")
        .working_directory("/srv")
        .user("ada")
        .group("staff")
        .supplementary_groups(["video"])
        .environment("KEY", "value")
        .environment_file("-/none.env")
        .clear_environment()
        .secret("a", Secret::file("/a"))
        .secret("b", Secret::environment("B"))
        .secret("c", Secret::credential("c"))
}

#[test]
fn what_a_service_may_use() {
    same_service(
        limited(),
        r#"
        command = ["true"]
        enforce = "best_effort"
        tier = "critical"
        guarantee = { cpu = 0.5, memory = "1MiB" }
        [services.it.resources]
        cpu = 1.5
        cpu_weight = 50
        io_weight = 60
        memory = "1GiB"
        memory_high = "1MiB"
        swap = 0
        disk = "2GiB"
        files_max = 100
        tasks_max = 10
        nice = -1
        umask = "0027"
        [services.it.sandbox]
        preset = "strict"
        capabilities = ["net_bind_service"]
        no_new_privileges = true
        seccomp = "default"
        paths = { read = ["/r"], write = ["/w"], execute = ["/x"] }
        private_tmp = true
        read_only = ["/etc"]
        hidden = ["/home"]
        network = "none"
        optional = ["private_tmp"]
        "#,
    );
}

fn limited() -> ServiceSpec {
    let sandbox = Sandbox::strict()
        .capabilities(["net_bind_service"])
        .no_new_privileges()
        .seccomp("default")
        .read("/r")
        .write("/w")
        .execute("/x")
        .private_tmp()
        .read_only("/etc")
        .hidden("/home")
        .without_network()
        .optional(SandboxPart::PrivateTmp);
    command()
        .enforce(Enforcement::BestEffort)
        .tier(Tier::Critical)
        .guarantee_cpu(0.5)
        .guarantee_memory(Size::mib(1))
        .cpu(1.5)
        .cpu_weight(50)
        .io_weight(60)
        .memory(Size::gib(1))
        .memory_high(Size::mib(1))
        .swap(Size::bytes(0))
        .disk(Size::gib(2))
        .files_max(100)
        .tasks_max(10)
        .nice(-1)
        .resource("umask", "0027")
        .sandbox(sandbox)
}

#[test]
fn how_many_processes_a_service_has() {
    same_service(
        scaled(),
        r#"
        command = ["true"]
        [services.it.scale]
        min = 2
        max = 4
        cpu_above = 0.8
        cpu_below = 0.2
        memory_above = "2MiB"
        memory_below = "1MiB"
        every = "1s"
        window = "2s"
        up_cooldown = "3s"
        down_cooldown = "4s"
        "#,
    );
}

fn scaled() -> ServiceSpec {
    let scale = Scale::up_to(4)
        .down_to(2)
        .cpu_above(0.8)
        .cpu_below(0.2)
        .memory_above(Size::mib(2))
        .memory_below(Size::mib(1))
        .every(SECOND)
        .window(2 * SECOND)
        .up_cooldown(3 * SECOND)
        .down_cooldown(4 * SECOND);
    command().scale(scale)
}

#[test]
fn what_only_native_services_have() {
    let settings = BTreeMap::from([("key", "value")]);
    same_service(
        native().settings(&settings).ready(Probe::own_grpc()).start_deadline(SECOND),
        "settings = { key = \"value\" }\nready = { grpc = true }\nstart_deadline = \"1s\"",
    );
    same_service(
        native().ready(Ready::native()).live(Live::native(SECOND)).grace_unbounded(),
        "ready = \"native\"\nlive = { native = true, timeout = \"1s\" }\nstop.grace = \"infinity\"",
    );
    same_service(native().embedded(), "mode = \"embedded\"");
}

#[test]
fn every_other_probe() {
    let http = |tls| Probe::http("https://a/").tls(tls);
    for (service, text) in [
        (command().ready(Ready::spawned()), "ready = \"spawned\""),
        (command().ready(Ready::notify()), "ready = \"notify\""),
        (command().ready(Ready::log("up")), "ready = { log = \"up\" }"),
        (command().ready(Ready::up_for(SECOND)), "ready = { up_for = \"1s\" }"),
        (command().live(Live::notify(SECOND)), "live = { notify = true, timeout = \"1s\" }"),
        (command().live(Probe::unix("/a")), "live = { unix = \"/a\" }"),
        (command().live(http(Tls::new())), "live = { http = \"https://a/\", tls = {} }"),
    ] {
        same_service(service, &format!("command = [\"true\"]\n{text}"));
    }
}

#[test]
fn no_key_of_a_service_is_without_a_call() {
    let native = native().settings(&BTreeMap::<String, String>::new()).embedded();
    let waiting = command().depends_on("other").start_deadline(SECOND);
    let specs = [native, waiting, supervised(), placed(), limited(), scaled()];
    let said: BTreeSet<&str> = specs.iter().flat_map(|spec| spec.table.keys()).collect();
    let schema = blackhole_config::schema();
    let service = &schema["properties"]["services"]["additionalProperties"]["properties"];
    for key in service.as_object().expect("a table").keys() {
        assert!(said.contains(key.as_str()), "services.*.{key} has no call");
    }
}

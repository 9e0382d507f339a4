//! Limits that hold: a service that takes more than its share is stopped by the kernel, named with
//! the true reason, and its neighbour never notices.

use std::{collections::BTreeSet, fs, path::PathBuf};

use blackhole_tests::{TestNode, control_groups::groups_for, pid, send, skipped, until};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::Value;

/// A neighbour that must not notice anything.
const CALM: &str = "[services.calm]\ncommand = [\"{fixture}\", \"--sleep\"]\n";

/// Runs what misbehaves once beside a calm neighbour, and gives the end of it with what it printed.
/// `None` where this host lets nobody set the limit.
fn run(words: &str, keys: &str) -> Option<(Value, String)> {
    let node = TestNode::start(&format!(
        "{CALM}[services.bad]\ncommand = [\"{{misbehaving}}\", {words}]\nrestart = \"temporary\"\n{keys}\n"
    ));
    let calm = node.until_state("calm", "ready");
    until("it has ended", || node.history("bad"), |ends| !ends.is_empty());
    let end = node.history("bad").remove(0);
    let same = node.service("calm");
    assert_eq!((&same["pid"], &same["restarts"]), (&calm["pid"], &0.into()), "{end}");
    if end["unenforced"].as_array().is_some_and(|lacking| !lacking.is_empty()) {
        skipped(&format!("not enforced here: {}", end["unenforced"]));
        return None;
    }
    let printed = || node.bh(&["logs", "bad"]).stdout;
    let text = match end["code"].is_null() {
        true => printed(),
        false => until("its output was read", printed, |text| !text.is_empty()),
    };
    Some((end, text))
}

#[test]
fn a_fork_bomb_stops_at_the_number_of_tasks() {
    let Some((end, text)) = run(r#""fork-bomb", "500""#, "resources = { tasks_max = 20 }") else {
        return;
    };
    assert_eq!(end["code"], 0, "{end}");
    assert!(text.contains("19 children") || text.contains("18 children"), "{text}");
}

/// Two hundredths of a CPU are less than a spinner gets on the busiest host.
#[test]
fn a_spinner_is_held_back_by_its_quota() {
    let node = TestNode::start_all(
        "[services.bad]\ncommand = [\"{fixture}\", \"--spin-until\", \"{directory}/never\"]\n\
         resources = { cpu = \"2%\" }\n",
    );
    let lacking = node.service("bad")["unenforced"].clone();
    if lacking.as_array().is_some_and(|lacking| !lacking.is_empty()) {
        return skipped(&format!("not enforced here: {lacking}"));
    }
    let periods = || node.service("bad")["usage"]["throttled_periods"].as_u64();
    until("it is held back", periods, |periods| periods.is_some_and(|periods| periods > 0));
}

#[test]
fn a_descriptor_hog_stops_at_the_number_of_files() {
    let (_, text) =
        run(r#""hog-files", "1000""#, "resources = { files_max = 30 }").expect("always");
    let opened = text.split_whitespace().rev().nth(1).and_then(|word| word.parse::<u32>().ok());
    assert!(opened.is_some_and(|opened| (15..=27).contains(&opened)), "{text}");
}

/// Who reads that a signal ended it learns which of its limits that was.
#[test]
fn the_limit_behind_a_signal_is_named() {
    let cases = [
        (
            r#""spin", "60000""#,
            "resources = { rlimits = { cpu = 1 } }",
            "SIGXCPU: it used all the CPU time of `rlimits.cpu`",
        ),
        (
            r#""fill", "{directory}/file", "8""#,
            "resources = { rlimits = { fsize = \"1MiB\" } }",
            "SIGXFSZ: it wrote a file larger than `rlimits.fsize`",
        ),
        (
            r#""mount""#,
            "sandbox = { seccomp = \"strict\" }",
            "SIGSYS: it made a system call that its sandbox forbids",
        ),
    ];
    for (words, keys, why) in cases {
        let (end, _) = run(words, keys).expect("everybody may lower them");
        assert_eq!(
            (&end["reason"], end["message"].as_str()),
            (&"signal".into(), Some(&*format!("was ended by {why}"))),
            "{end}"
        );
    }
}

#[test]
fn every_readable_key_reaches_the_process() {
    let node = TestNode::start_all(
        r#"
        [services.all]
        command = ["{fixture}", "--sleep"]
        [services.all.resources]
        cpu = 0.5
        cpu_weight = 50
        memory = "64MiB"
        tasks_max = 30
        nice = 5
        scheduler = "batch"
        io_priority = "best_effort:6"
        affinity = "0"
        umask = "0027"
        oom_score_adj = 321
        core_dump_max = 0
        rlimits = { nofile = { soft = 100, hard = 200 }, memlock = "64KiB", cpu = "1h" }
        "#,
    );
    let pid = pid(&node.service("all"));
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).expect("it lives");
    let line = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let limits = read("limits");
    assert_eq!(line(&limits, "Max open files"), "Max open files 100 200 files");
    assert_eq!(line(&limits, "Max locked memory"), "Max locked memory 65536 65536 bytes");
    assert_eq!(line(&limits, "Max core file size"), "Max core file size 0 0 bytes");
    assert_eq!(line(&limits, "Max cpu time"), "Max cpu time 3600 3601 seconds");
    let status = read("status");
    assert_eq!(line(&status, "Cpus_allowed_list"), "Cpus_allowed_list: 0");
    assert_eq!(line(&status, "Umask"), "Umask: 0027");
    assert_eq!(read("oom_score_adj").trim(), "321");
    let stat = read("stat");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    assert_eq!((fields[16], fields[38]), ("5", "3"), "nice and SCHED_BATCH");
}

/// Nobody may raise a hard limit to what the kernel does not have.
const IMPOSSIBLE: &str = "resources = { files_max = 1_073_741_816 }";

#[test]
fn what_cannot_be_enforced_is_said_where_people_look_and_refused_where_it_must_hold() {
    let node = TestNode::start(&format!(
        "[services.lax]\ncommand = [\"{{fixture}}\", \"--sleep\"]\n{IMPOSSIBLE}\n\
         [services.stern]\ncommand = [\"{{fixture}}\", \"--sleep\"]\nenforce = \"strict\"\n\
         restarts_max = 0\n{IMPOSSIBLE}\n"
    ));
    let lax = node.until_state("lax", "ready");
    let lacking = lax["unenforced"][0].as_str().expect("it says what does not hold").to_owned();
    assert!(lacking.starts_with("nofile: RLIMIT_NOFILE = 1073741816 is above"), "{lacking}");
    let table = node.bh(&["status", "lax"]).stdout;
    assert!(table.contains("not enforced: nofile"), "{table}");
    let events = node.bh(&["events", "--no-follow", "--json"]);
    assert!(events.stdout.contains("\"unenforced\""), "{events:?}");

    node.until_state("stern", "failed");
    let end = node.history("stern").remove(0);
    assert_eq!(end["stage"], "preparing what it may use", "{end}");
    let message = end["message"].as_str().expect("a message");
    assert!(message.contains("RLIMIT_NOFILE = 1073741816 is above"), "{message}");
    assert!(message.contains("\nhint: "), "{message}");
}

/// The node's own directories among control groups.
fn groups_of(node: i32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let membership = fs::read_to_string(format!("/proc/{node}/cgroup")).unwrap_or_default();
    let parts: Vec<&str> = membership.lines().filter_map(|line| line.rsplit(':').next()).collect();
    for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        for part in &parts {
            let own = hierarchy.path().join(part.trim_start_matches('/'));
            let entries = fs::read_dir(own).into_iter().flatten().flatten();
            found.extend(entries.map(|entry| entry.path()).filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("blackhole-")
            }));
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn nothing_is_left_among_the_control_groups_whoever_is_killed() {
    let file = format!(
        "{CALM}[services.limited]\ncommand = [\"{{fixture}}\", \"--fork\", \"--sleep\"]\n\
         resources = {{ memory = \"64MiB\", tasks_max = 20, cpu = 0.5 }}\n"
    );
    for victim in ["nobody", "node", "guardian"] {
        let mut node = TestNode::start_all(&file);
        let service = pid(&node.service("limited"));
        let own: Vec<PathBuf> = groups_of(node.node_pid())
            .into_iter()
            .filter(|root| {
                let members = fs::read_to_string(root.join("limited-1/cgroup.procs"));
                members.is_ok_and(|text| text.lines().any(|line| line == service.to_string()))
            })
            .collect();
        if own.is_empty() {
            return skipped("this host lets nobody make control groups");
        }
        match victim {
            "node" => send(node.node_pid(), Signal::KILL),
            "guardian" => node.signal(Signal::KILL),
            _ => node.signal(Signal::TERM),
        }
        node.ended();
        node.nothing_left();
        until("the groups are gone", || own.iter().any(|root| root.exists()), |left| !left);
    }
}

#[test]
fn a_writer_past_its_disk_limit_is_warned_of_and_then_stopped() {
    let node = TestNode::start(&format!(
        "{CALM}[services.hoarder]\n\
         command = [\"{{misbehaving}}\", \"fill\", \"{{data_dir}}/hoarder/heap\", \"400\"]\n\
         resources = {{ disk = \"64MiB\" }}\nrestarts_max = 0\n"
    ));
    let calm = node.until_state("calm", "ready");
    node.until_state("hoarder", "failed");
    let end = node.history("hoarder").remove(0);
    assert_eq!((&end["reason"], &end["signal"]), (&"disk".into(), &"SIGKILL".into()), "{end}");
    let message = end["message"].as_str().expect("a message");
    assert!(message.starts_with("exceeded its disk limit: `"), "{message}");
    assert!(message.contains("MiB of 64.0 MiB"), "{message}");
    let events = node.bh(&["events", "--no-follow", "hoarder"]).stdout;
    assert!(events.contains("near_disk_limit"), "{events}");
    assert_eq!(node.service("calm")["pid"], calm["pid"]);
    let bytes = fs::metadata(node.path("data/hoarder/heap")).expect("it is there").len();
    assert!(bytes < 160 << 20, "it wrote {bytes} bytes");
}

/// From this number on a process has no descriptors, and below it so many are free.
fn end_of_free(pid: i32, free: usize) -> u64 {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").flatten();
    let open: BTreeSet<u64> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    (0..).filter(|number| !open.contains(number)).nth(free).expect("numbers have no end")
}

#[test]
fn a_start_that_fails_for_want_of_descriptors_leaves_no_control_group() {
    let node = TestNode::start_all(
        "[services.family]\ncommand = [\"sleep\", \"1000\"]\nresources = { tasks_max = 20 }\n",
    );
    let groups = groups_for("family-1", pid(&node.service("family")));
    if groups.is_empty() {
        skipped("this host lets nobody limit tasks");
        return;
    }
    let subject = Pid::from_raw(node.node_pid());
    let enough = getrlimit(Resource::Nofile);
    // One is for the connection that asks; each further one lets the start come a step further.
    for free in 1..8 {
        let few = Rlimit { current: Some(end_of_free(node.node_pid(), free)), ..enough };
        prlimit(subject, Resource::Nofile, few).expect("it is ours");
        let scaled = node.bh(&["scale", "family=3"]);
        prlimit(subject, Resource::Nofile, enough).expect("it is ours");
        assert!(scaled.code != 0 || free > 1, "{}", scaled.stdout);
        assert_eq!(node.bh(&["scale", "family=1"]).code, 0);
        for group in &groups {
            for instance in ["family-2", "family-3"] {
                let group = group.with_file_name(instance);
                let what = format!("{} has gone, of {free} free descriptors", group.display());
                until(&what, || group.exists(), |is_there| !is_there);
            }
        }
    }
}

/// A program that is not there keeps the group waiting for one; what it made below keeps the group from
/// going without a look into it.
#[test]
fn a_group_that_cannot_go_for_want_of_descriptors_goes_later() {
    let node = TestNode::start(
        "[services.calm]\ncommand = [\"{fixture}\", \"--sleep\"]\nresources = { tasks_max = 20 }\n\
         [services.absent]\ncommand = [\"{directory}/absent\"]\nresources = { tasks_max = 20 }\n\
         backoff = { initial = \"1h\", max = \"1h\" }\n",
    );
    let groups = groups_for("calm-1", pid(&node.until_state("calm", "ready")));
    if groups.is_empty() {
        skipped("this host lets nobody limit tasks");
        return;
    }
    node.bh(&["scale", "absent=2", "--no-wait"]);
    let groups: Vec<_> = groups.iter().map(|group| group.with_file_name("absent-2")).collect();
    for group in &groups {
        until("it has a group", || group.is_dir(), |is_there| *is_there);
        fs::create_dir(group.join("below")).expect("it is ours");
    }
    let subject = Pid::from_raw(node.node_pid());
    let enough = getrlimit(Resource::Nofile);
    // The connection that asks takes the only one.
    let few = Rlimit { current: Some(end_of_free(node.node_pid(), 1)), ..enough };
    prlimit(subject, Resource::Nofile, few).expect("it is ours");
    let scaled = node.bh(&["scale", "absent=1", "--no-wait"]);
    prlimit(subject, Resource::Nofile, enough).expect("it is ours");
    assert_eq!(scaled.code, 0, "{}", scaled.stderr);
    until("it was told", || node.output(), |text| text.contains("stays for now"));
    for group in &groups {
        until("it has gone", || group.exists(), |is_there| !is_there);
    }
}

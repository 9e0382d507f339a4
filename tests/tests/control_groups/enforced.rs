//! Who takes too much is ended, or waits, by the kernel's own count.

use std::{fs, io::Read, net::TcpListener, path::PathBuf, time::Instant};

use blackhole_tests::{
    DEADLINE, TestNode,
    control_groups::{counter, group_file},
    pid, skipped, until,
};

#[test]
fn a_memory_bomb_is_ended_by_the_kernel_and_history_says_oom() {
    let node = TestNode::start(
        "[services.calm]\ncommand = [\"{fixture}\", \"--sleep\"]\n\
         [services.bomb]\ncommand = [\"{misbehaving}\", \"eat-memory\", \"512\"]\n\
         resources = { memory = \"64MiB\" }\nrestart = \"temporary\"\n",
    );
    let calm = node.until_state("calm", "ready");
    let end = until("it has ended", || node.history("bomb"), |ends| !ends.is_empty()).remove(0);
    let now = node.service("calm");
    assert_eq!((&now["pid"], &now["restarts"]), (&calm["pid"], &0.into()), "{end}");
    if end["unenforced"].as_array().is_some_and(|lacking| !lacking.is_empty()) {
        return skipped("this host lets nobody limit memory");
    }
    assert_eq!((&end["reason"], &end["signal"]), (&"oom".into(), &"SIGKILL".into()), "{end}");
}

const QUOTA: f64 = 0.1;
/// What is left over from one period, or not yet used of the last, is little beside so many.
const PERIODS_MIN: u64 = 60;
const PERIOD_SECONDS: f64 = 0.1;

/// What the kernel counts of a group that has a quota.
#[derive(Debug, Clone, Copy)]
struct Counted {
    periods: u64,
    used_seconds: f64,
}

struct Counters {
    stat: PathBuf,
    spinner: i32,
}

impl Counters {
    fn look(&self) -> Counted {
        let of = |name| counter(&self.stat, name);
        let all = |name| of(name).expect("a counter of the kernel");
        loop {
            let periods = all("nr_periods");
            let used_seconds = match of("usage_usec") {
                Some(micros) => micros as f64 / 1e6,
                None => self.scheduled_seconds(),
            };
            let counted = Counted { periods, used_seconds };
            // Else another period began between the looks.
            if all("nr_periods") == periods {
                return counted;
            }
        }
    }

    /// Of its only thread: on v1 the quota's file does not tell what was used.
    fn scheduled_seconds(&self) -> f64 {
        let text =
            fs::read_to_string(format!("/proc/{}/schedstat", self.spinner)).expect("it lives");
        let nanos = text.split(' ').next().and_then(|word| word.parse::<f64>().ok());
        nanos.expect("a number of nanoseconds") / 1e9
    }
}

/// By the kernel's own count of periods: no more than the quota of the periods that there were, and no less
/// while nobody else wants the CPU. An emulated processor that its host took away while the spinner ran has counted
/// that as use: it is overdrawn, and pays in the periods after.
#[test]
fn a_spinner_gets_its_share_and_no_more() {
    let node = TestNode::start_all(&format!(
        "[services.spinner]\ncommand = [\"{{fixture}}\", \"--spin-until\", \"{{directory}}/calm\"]\n\
         resources = {{ cpu = {QUOTA} }}\n"
    ));
    let spinner = pid(&node.service("spinner"));
    let Some(stat) = group_file("spinner-1", spinner, &["cpu.stat"])
        .filter(|it| counter(it, "nr_periods").is_some())
    else {
        return skipped("this host lets nobody limit cpu");
    };
    let counters = Counters { stat, spinner };
    until("it runs", || counters.look(), |now| now.periods > 0);
    let begun = Instant::now();
    let share = loop {
        let share = share_of_quota(&counters);
        if (0.95..=1.05).contains(&share) || begun.elapsed() > DEADLINE {
            break share;
        }
    };
    assert!(share <= 1.05, "it got {:.1} % of its quota", 100.0 * share);
    fs::write(node.path("calm"), "").expect("a file");
    if share < 0.95 {
        skipped("others want the cpu as much");
    }
}

fn share_of_quota(counters: &Counters) -> f64 {
    let before = counters.look();
    let enough = |now: &Counted| now.periods - before.periods >= PERIODS_MIN;
    let after = until("periods pass", || counters.look(), enough);
    let periods = (after.periods - before.periods) as f64;
    (after.used_seconds - before.used_seconds) / (periods * PERIOD_SECONDS * QUOTA)
}

/// What it may send in a second, and at once.
const EGRESS: f64 = (1 << 20) as f64;
const EGRESS_BURST: f64 = 0.3 * EGRESS + (256 << 10) as f64;

#[test]
fn who_floods_the_network_sends_what_it_may_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("an address");
    let begun = Instant::now();
    let node = TestNode::start_all(&format!(
        "[services.flood]\ncommand = [\"{{misbehaving}}\", \"send\", \"{address}\", \"600000\"]\n\
         resources.network = {{ egress_max = \"1MiB\" }}\n"
    ));
    let lacking = node.service("flood")["unenforced"].clone();
    if lacking.as_array().is_some_and(|lacking| !lacking.is_empty()) {
        return skipped("this host lets nobody limit bandwidth");
    }
    let mut read = vec![0; 3 << 20];
    let (mut flood, _) = listener.accept().expect("a connection");
    flood.read_exact(&mut read).expect("it sends on");
    let seconds = begun.elapsed().as_secs_f64();
    let most = EGRESS * seconds + EGRESS_BURST;
    assert!(read.len() as f64 <= most, "{} bytes in {seconds} s", read.len());
}

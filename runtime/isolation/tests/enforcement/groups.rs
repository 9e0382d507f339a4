//! Limits of a group, on whatever hierarchies this host has.
#![expect(unsafe_code, reason = "a test takes its thread out of the host's mounts")]

use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::ExitStatusExt,
    process::{Command, Output},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use blackhole_isolation::{
    Controller, CpuQuota, Enforcement, GroupError, Groups, Host, IsolationError, Limits, Mounts,
    Notice, Plan, Priorities, ProcessTable, Request, Scheduler, Tells, plan,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount},
    thread::{UnshareFlags, unshare_unsafe},
};

use crate::launch::{misbehave, say, stdout, under};

const PATIENCE: Duration = Duration::from_secs(30);
/// An emulated one takes a fifth of a second to start a program.
const SLOW_HOST_PATIENCE: Duration = Duration::from_secs(60);
const SIGKILL: i32 = 9;

/// Nodes have groups of their own to divide; tests share one, and come and go in it one at a time.
static COMING_OR_GOING: Mutex<()> = Mutex::new(());

fn one_at_a_time() -> MutexGuard<'static, ()> {
    COMING_OR_GOING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A node's groups, gone with the test.
pub(crate) struct OwnGroups {
    host: Host,
}

impl OwnGroups {
    /// `None`, and a word to the reader, where this host lets nobody limit by a controller.
    pub(crate) fn with(needed: &[Controller]) -> Option<Self> {
        Self::at(&Mounts::detect(), needed)
    }

    fn at(mounts: &Mounts, needed: &[Controller]) -> Option<Self> {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let _turn = one_at_a_time();
        let name = format!("blackhole-test-{}-{number}", std::process::id());
        let groups = Groups::open(mounts, &name, &[std::process::id()]).expect("a name");
        for controller in needed {
            if let Err(reason) = groups.offers(*controller) {
                say(&format!("skipped: {controller}: {reason}"));
                groups.close(PATIENCE).expect("no process left");
                return None;
            }
        }
        Some(Self { host: Host::detect().with_groups(groups) })
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn request(&self, limits: Limits) -> Request {
        Request { instance: "web-0".into(), limits, ..Request::default() }
    }

    fn plan(&self, limits: Limits) -> Arc<Plan> {
        Arc::new(plan(&self.request(limits), &self.host).expect("a plan"))
    }
}

impl Drop for OwnGroups {
    fn drop(&mut self) {
        let _turn = one_at_a_time();
        self.host.groups().clone().close(PATIENCE).expect("no process left");
        assert!(self.host.groups().roots().iter().all(|root| !root.exists()));
    }
}

fn run(plan: &Arc<Plan>, arguments: &[&str]) -> Output {
    under(plan, misbehave(arguments)).output().expect("a start")
}

fn has_come(notice: &Notice) -> bool {
    let flags = PollFlags::from_bits_truncate(notice.flags.bits() as u16);
    let mut polled = [PollFd::new(notice, flags)];
    poll(&mut polled, Some(&Timespec::default())).expect("it can be polled") > 0
}

/// The kernel puts off what it tells too often.
fn falls_silent(notice: &Notice) {
    let deadline = Instant::now() + PATIENCE;
    while has_come(notice) {
        notice.acknowledge();
        assert!(Instant::now() < deadline, "it tells of what was acknowledged");
    }
}

#[test]
fn a_memory_bomb_dies_of_its_own_limit_and_is_known_to() {
    let Some(own) = OwnGroups::with(&[Controller::Memory]) else { return };
    let limits = Limits { memory_max: Some(64 << 20), swap_max: Some(0), ..Limits::default() };
    let plan = own.plan(limits);
    let notice = plan.group().unwrap().oom_notice().unwrap().unwrap();
    assert!(!has_come(&notice));
    let output = run(&plan, &["eat-memory", "512"]);
    assert_eq!(output.status.signal(), Some(SIGKILL), "{output:?}");
    assert!(has_come(&notice));
    falls_silent(&notice);
    let oom = plan.group().unwrap().oom().unwrap().unwrap();
    assert!(oom.kills == 1 && oom.own_limit_reached, "{oom:?}");
    let usage = plan.group().unwrap().usage().unwrap();
    assert!(usage.memory_peak_bytes.unwrap() <= 64 << 20, "{usage:?}");
    assert_eq!(stdout(&run(&plan, &["eat-memory", "16"])), "16 MiB", "the next one may live");
    assert_eq!(plan.group().unwrap().oom().unwrap().unwrap().kills, 1);
}

#[test]
fn what_a_killed_node_has_left_is_found_and_closed_by_one_that_needs_no_groups() {
    let _turn = one_at_a_time();
    let mounts = Mounts::detect();
    let name = format!("blackhole-test-left-{}", std::process::id());
    assert!(Groups::left_behind(&mounts, &name).roots().is_empty());
    let groups = Groups::open(&mounts, &name, &[std::process::id()]).expect("a name");
    if groups.offers(Controller::Tasks).is_err() {
        return groups.close(PATIENCE).expect("no process left");
    }
    let host = Host::detect().with_groups(groups.clone());
    let limits = Limits { tasks_max: Some(20), ..Limits::default() };
    let request = Request { instance: "web-0".into(), limits, ..Request::default() };
    let plan = Arc::new(plan(&request, &host).expect("a plan"));
    let mut sleeper = Command::new("sleep");
    sleeper.arg("1000");
    let mut sleeper = under(&plan, sleeper).spawn().expect("a start");
    let found = Groups::left_behind(&mounts, &name);
    assert_eq!(found.roots(), groups.roots());
    // Who reaps it is not who kills it.
    let reaper = std::thread::spawn(move || sleeper.wait().expect("it ends"));
    found.close(PATIENCE).expect("no process left");
    assert_eq!(reaper.join().expect("reaped").signal(), Some(SIGKILL));
    assert!(groups.roots().iter().all(|root| !root.exists()));
}

fn lenient(limits: Limits) -> Request {
    let enforcement = Enforcement::BestEffort;
    Request { instance: "web-0".into(), limits, enforcement, ..Request::default() }
}

#[test]
fn cpus_that_are_not_there_are_left_out_alone() {
    let Some(own) = OwnGroups::with(&[Controller::Cpuset]) else { return };
    let request = lenient(Limits { cpus: "0,900".parse().ok(), ..Limits::default() });
    let lax = Arc::new(plan(&request, &own.host).expect("it need not hold"));
    let told = lax.downgraded()[0].to_string();
    assert!(told.starts_with("cpus: there is no 900 here, only 0"), "{told}");
    let mut status = Command::new("grep");
    status.args(["Cpus_allowed_list", "/proc/self/status"]);
    let held = stdout(&under(&lax, status).output().expect("a start"));
    assert_eq!(held.split_whitespace().last(), Some("0"), "{held}");
    lax.group().expect("the other cpu is there").remove(PATIENCE).expect("nobody is in it");
    let strict = Request { enforcement: Enforcement::Strict, ..request };
    let error = plan(&strict, &own.host).expect_err("it must hold");
    assert!(matches!(error, IsolationError::Group(GroupError::NotEnforceable { key: "cpus", .. })));
}

/// Where the kernel shares real-time time among groups of v1, a new one has none.
#[test]
fn a_share_of_the_cpu_and_a_real_time_scheduler_start_or_are_told_of() {
    let Some(own) = OwnGroups::with(&[Controller::Cpu]) else { return };
    let limits = Limits { cpu: CpuQuota::from_cores(0.5), ..Limits::default() };
    let priorities = Priorities { scheduler: Some(Scheduler::Fifo(10)), ..Priorities::default() };
    let request = Request { priorities, ..lenient(limits) };
    let plan = Arc::new(plan(&request, &own.host).expect("it need not hold"));
    let output = under(&plan, Command::new("true")).output();
    assert!(output.is_ok_and(|output| output.status.success()), "{:?}", plan.downgraded());
}

/// In a namespace of mounts of its own, which is a thread's.
fn with_own_mounts<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(move || {
        // SAFETY: neither memory nor descriptors are among what is unshared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.expect("root may");
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).expect("root may");
        act()
    });
    thread.join().expect("no panic")
}

#[test]
fn a_controller_that_has_gone_is_left_out_where_it_may_be() {
    if !rustix::process::geteuid().is_root() {
        return say("skipped: needs root");
    }
    let Some(own) = OwnGroups::with(&[Controller::Tasks]) else { return };
    let host = own.host.clone();
    let (group, told, error) = with_own_mounts(move || {
        for root in host.groups().roots() {
            let gone = |path: &std::path::Path| unmount(path, UnmountFlags::DETACH).is_ok();
            root.ancestors().find(|path| gone(path)).expect("it is mounted somewhere");
        }
        let request = lenient(Limits { tasks_max: Some(20), ..Limits::default() });
        let lax = plan(&request, &host).expect("it need not hold");
        let strict = plan(&Request { enforcement: Enforcement::Strict, ..request }, &host);
        let group = lax.group().is_some();
        (group, lax.downgraded()[0].to_string(), strict.expect_err("it must hold"))
    });
    assert!(!group && told.starts_with("tasks_max: the `pids` controller is gone: "), "{told}");
    let IsolationError::Group(error) = error else { panic!("{error}") };
    let text = error.to_string();
    assert!(text.contains("the `pids` controller is gone") && text.contains("\nhint: "), "{text}");
}

#[test]
fn a_fork_bomb_is_bounded() {
    let Some(own) = OwnGroups::with(&[Controller::Tasks]) else { return };
    let plan = own.plan(Limits { tasks_max: Some(20), ..Limits::default() });
    let group = plan.group().unwrap();
    let notice = group.tasks_notice().unwrap().unwrap();
    assert!(!has_come(&notice));
    let told = stdout(&run(&plan, &["fork-bomb", "200"]));
    let born: u32 = told.strip_suffix(" children").unwrap().parse().unwrap();
    assert!((10..20).contains(&born), "{told}");
    assert_ne!(group.tasks_refused().unwrap(), Some(0));
    if notice.tells == Tells::Everything {
        assert!(has_come(&notice));
        falls_silent(&notice);
    }
}

#[test]
fn a_spinner_gets_its_quota_and_no_more() {
    let Some(own) = OwnGroups::with(&[Controller::Cpu]) else { return };
    let plan = own.plan(Limits { cpu: CpuQuota::from_cores(0.3), ..Limits::default() });
    // The kernel's timers are late on a busy host, and more so on an emulated one: then it gets a
    // little more, or a little less, than its quota. Without a quota it always gets all.
    let deadline = Instant::now() + SLOW_HOST_PATIENCE;
    loop {
        let percent: u32 = stdout(&run(&plan, &["spin", "3000"])).parse().unwrap();
        if (25..=35).contains(&percent) {
            break;
        }
        if Instant::now() >= deadline {
            assert!(percent < 25, "{percent} %, {:?}", plan.group().unwrap().usage());
            say("skipped: its neighbours leave it less than its quota");
            return;
        }
    }
    let usage = plan.group().unwrap().usage().unwrap();
    assert!(usage.throttled_periods.unwrap() > 0, "{usage:?}");
}

#[test]
fn a_spinner_is_held_back_by_its_quota() {
    let Some(own) = OwnGroups::with(&[Controller::Cpu]) else { return };
    // Less than a spinner gets on the busiest host.
    let plan = own.plan(Limits { cpu: CpuQuota::from_cores(0.02), ..Limits::default() });
    let mut spinner = under(&plan, misbehave(&["spin", "600000"])).spawn().unwrap();
    let group = plan.group().unwrap();
    let deadline = Instant::now() + SLOW_HOST_PATIENCE;
    while group.usage().unwrap().throttled_periods.unwrap() == 0 {
        assert!(Instant::now() < deadline, "{:?}", group.usage());
        std::thread::yield_now();
    }
    spinner.kill().unwrap();
    assert_eq!(spinner.wait().unwrap().signal(), Some(SIGKILL));
}

#[test]
fn a_group_runs_on_its_cpus_only() {
    let Some(own) = OwnGroups::with(&[Controller::Cpuset]) else { return };
    let plan = own.plan(Limits { cpus: Some("0".parse().unwrap()), ..Limits::default() });
    let mut grep = Command::new("/bin/grep");
    grep.args(["Cpus_allowed_list", "/proc/self/status"]);
    assert_eq!(stdout(&under(&plan, grep).output().unwrap()), "Cpus_allowed_list:\t0");
}

#[test]
fn grandchildren_that_ran_away_count_and_are_killed_with_the_group() {
    let Some(own) = OwnGroups::with(&[Controller::Tasks]) else { return };
    let plan = own.plan(Limits { tasks_max: Some(50), ..Limits::default() });
    let group = plan.group().unwrap();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "for i in 1 2 3; do setsid -f sleep 1000 >&- 2>&-; done"]);
    assert!(under(&plan, shell).output().unwrap().status.success());
    let left = group.processes().unwrap();
    assert_eq!(left.len(), 3, "{left:?}");
    let usage = group.usage().unwrap();
    assert_eq!(usage.tasks, Some(3), "{usage:?}");
    let of_all = ProcessTable::read().unwrap().usage(&left);
    assert!(of_all.processes == 3 && of_all.descriptors.unwrap() >= 3, "{of_all:?}");
    group.end(PATIENCE).unwrap();
    assert!(group.processes().unwrap().is_empty());
    group.remove(PATIENCE).unwrap();
    assert!(own.host.groups().names().is_empty());
}

#[test]
fn what_a_crashed_node_left_is_found_adopted_and_removed() {
    let Some(own) = OwnGroups::with(&[Controller::Tasks]) else { return };
    let left = own.plan(Limits { tasks_max: Some(50), ..Limits::default() });
    let mut sleep = Command::new("/bin/sleep");
    sleep.arg("1000");
    let mut orphan = under(&left, sleep).spawn().unwrap();
    let groups = own.host.groups();
    assert_eq!(groups.names(), BTreeSet::from(["web-0".to_owned()]));
    let adopted = groups.existing("web-0").unwrap();
    assert_eq!(adopted.processes().unwrap(), BTreeSet::from([orphan.id()]));
    assert_eq!(groups.remove_all(PATIENCE).removed, ["web-0"]);
    assert_eq!(orphan.wait().unwrap().signal(), Some(SIGKILL));
    assert!(groups.names().is_empty());
}

/// What something is mounted on is not removed.
#[test]
fn a_group_that_stays_keeps_no_other_from_going() {
    if !rustix::process::geteuid().is_root() {
        return say("skipped: needs root");
    }
    let Some(own) = OwnGroups::with(&[Controller::Tasks]) else { return };
    let limits = Limits { tasks_max: Some(50), ..Limits::default() };
    let _plans = ["web-0", "web-1"].map(|instance| {
        let request = Request { instance: instance.into(), ..own.request(limits.clone()) };
        plan(&request, &own.host).expect("a plan")
    });
    let groups = own.host.groups().clone();
    let (removal, names) = with_own_mounts(move || {
        let stay = groups.roots().into_iter().map(|root| root.join("web-0"));
        for directory in stay.filter(|directory| directory.is_dir()) {
            mount_bind("/tmp", directory).expect("root may");
        }
        (groups.remove_all(Duration::ZERO), groups.names())
    });
    assert_eq!(removal.removed, ["web-1"]);
    assert_eq!(removal.stuck[0].0, "web-0");
    assert_eq!(names, BTreeSet::from(["web-0".to_owned()]));
}

#[test]
fn a_living_group_is_given_more_and_less() {
    let Some(own) = OwnGroups::with(&[Controller::Memory]) else { return };
    let of = |mebibytes: u64| Limits {
        memory_max: Some(mebibytes << 20),
        swap_max: Some(0),
        ..Limits::default()
    };
    let plan = own.plan(of(32));
    assert_eq!(run(&plan, &["eat-memory", "100"]).status.signal(), Some(SIGKILL));
    let group = plan.group().unwrap();
    group.limit(&of(200), Enforcement::Strict, &mut Vec::new()).unwrap();
    assert_eq!(stdout(&run(&plan, &["eat-memory", "100"])), "100 MiB");
    group.limit(&of(32), Enforcement::Strict, &mut Vec::new()).unwrap();
    assert_eq!(run(&plan, &["eat-memory", "100"]).status.signal(), Some(SIGKILL));
}

#[test]
fn no_group_is_made_where_no_limit_needs_one() {
    let Some(own) = OwnGroups::with(&[]) else { return };
    assert!(own.plan(Limits::default()).group().is_none());
    assert!(own.host.groups().names().is_empty());
}

#[test]
fn a_limit_that_cannot_hold_is_refused_or_said() {
    let limits = Limits { memory_max: Some(1 << 30), ..Limits::default() };
    let mut request = Request { instance: "web-0".into(), limits, ..Request::default() };
    let without = Host::detect();
    let error = plan(&request, &without).unwrap_err();
    let IsolationError::Group(GroupError::NotEnforceable { key: "memory", reason }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(reason, "there is no usable `memory` controller (the kernel offers none)");
    request.enforcement = Enforcement::BestEffort;
    let plan = plan(&request, &without).unwrap();
    assert!(plan.group().is_none());
    assert_eq!(plan.downgraded()[0].key, "memory");
}

#[test]
fn a_name_that_leaves_the_nodes_directory_is_refused() {
    for name in ["", "..", "a/b", "cgroup.procs", "tasks", "node"] {
        let opened = Groups::open(&Mounts::detect(), name, &[]);
        assert!(matches!(opened, Err(GroupError::Name { .. })), "{name}");
    }
}

/// As on a host that was never given v2: no `cgroup.kill`, nothing to clone into.
#[test]
fn without_v2_a_group_is_killed_process_by_process() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("self")).unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let legacy: String =
        mounts.split_inclusive('\n').filter(|it| !it.contains("cgroup2")).collect();
    fs::write(directory.path().join("self/mountinfo"), legacy).unwrap();
    fs::copy("/proc/self/cgroup", directory.path().join("self/cgroup")).unwrap();
    let mounts = Mounts::detect_at(directory.path());
    let Some(own) = OwnGroups::at(&mounts, &[Controller::Tasks]) else { return };
    let plan = own.plan(Limits { tasks_max: Some(50), ..Limits::default() });
    assert!(plan.cgroup_descriptor().is_none());
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "while :; do setsid -f sleep 1000 >&- 2>&-; done"]);
    let mut bomb = under(&plan, shell).spawn().unwrap();
    let group = plan.group().unwrap();
    let deadline = Instant::now() + SLOW_HOST_PATIENCE;
    while group.processes().unwrap().len() < 20 {
        assert!(Instant::now() < deadline, "{:?}", group.processes());
        std::thread::yield_now();
    }
    group.end(PATIENCE).unwrap();
    assert!(group.processes().unwrap().is_empty());
    assert_eq!(bomb.wait().unwrap().signal(), Some(SIGKILL));
}

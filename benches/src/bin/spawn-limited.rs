//! What each kind of limit adds to a spawn: `spawn-limited ROUNDS [KIND]` starts `/bin/true` without limits and
//! with them, in turns, and prints a line of JSON for each kind, or for one.
//!
//! Where control groups are v1, a bare `vfork` that enters the same groups shows what of that is the kernel's.
#![expect(unsafe_code, reason = "the bare vfork is a yardstick")]
#![expect(clippy::print_stdout, reason = "a program whose result is its output")]

use std::{
    ffi::{CString, c_char},
    fs, io,
    os::unix::ffi::OsStringExt,
    path::Path,
    ptr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use blackhole_benches::machine;
use blackhole_isolation::{
    Bound, CpuList, CpuQuota, Enforcement, Groups, Host, IoPriority, Limits, Mounts, Network,
    Priorities, Request, Resource, Rlimit, Sandbox, Umask, User, View, Weight, plan,
};
use blackhole_process::{Launch, SpawnArguments};
use serde::Serialize;

const PROGRAM: &str = "/bin/true";
/// Of each second, to a group.
const REAL_TIME_US: u32 = 900_000;
/// Groups go when nobody is in them any more.
const EMPTY_WITHIN: Duration = Duration::from_secs(2);

/// One kind, in milliseconds from the call until the program is executed.
#[derive(Serialize)]
struct Line {
    kind: &'static str,
    without: Vec<f64>,
    with: Vec<f64>,
    /// A bare `vfork` into the same groups; empty where none are entered by a write.
    bare: Vec<f64>,
    /// Keys that this host cannot hold.
    lacking: Vec<&'static str>,
}

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let (rounds, only) = (words.next().context("how many rounds?")?.parse()?, words.next());
    blackhole_process::prepare()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let _reaper = tokio::spawn(blackhole_process::reap_orphans());
        let groups = Groups::open(&Mounts::detect(), "blackhole-bench", &[std::process::id()])?;
        let measured = every_kind(&groups, rounds, only.as_deref()).await;
        groups.close(EMPTY_WITHIN)?;
        measured
    })
}

async fn every_kind(groups: &Groups, rounds: usize, only: Option<&str>) -> anyhow::Result<()> {
    let host = Host::detect().with_groups(groups.clone());
    let wanted = |kind: &str| only.is_none_or(|only| only == kind);
    for (kind, request) in requests()?.into_iter().filter(|(kind, _)| wanted(kind)) {
        let line = measure(kind, &request, &host, groups, rounds).await?;
        println!("{}", serde_json::to_string(&line)?);
    }
    Ok(())
}

async fn measure(
    kind: &'static str,
    request: &Request,
    host: &Host,
    groups: &Groups,
    rounds: usize,
) -> anyhow::Result<Line> {
    let plan = plan(request, host)?;
    let lacking = plan.downgraded().iter().map(|it| it.key).collect();
    let builder = || Launch::builder([PROGRAM]).token_variable("TOKEN");
    let (free, limited) = (builder().build()?, builder().isolation(Arc::new(plan)).build()?);
    let entered = entered(groups, &request.instance);
    if machine::is_real_time() {
        share_real_time(groups, &request.instance)?;
    }
    let (mut without, mut with, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        without.push(spawn(&free).await?);
        with.push(spawn(&limited).await?);
        if !entered.is_empty() {
            bare.push(bare_spawn(&entered)?);
        }
    }
    Ok(Line { kind, without, with, bare, lacking })
}

/// The files by which a process enters an instance's groups of v1.
fn entered(groups: &Groups, instance: &str) -> Vec<CString> {
    let roots = groups.roots().into_iter().filter(|_| !instance.is_empty());
    let files = roots.map(|root| root.join(instance).join("tasks")).filter(|it| it.exists());
    files.filter_map(|file| CString::new(file.into_os_string().into_vec()).ok()).collect()
}

/// Real-time processes, which `benches/run` makes of all that it measures, enter no group of v1 without a share of
/// real time. Its group is left without one when the next gets one.
fn share_real_time(groups: &Groups, instance: &str) -> anyhow::Result<()> {
    for root in groups.roots().into_iter().filter(|root| root.join("cpu.rt_runtime_us").exists()) {
        let children = fs::read_dir(root)?.flatten().map(|it| it.path());
        let others = children.filter(|it| it.is_dir() && !it.ends_with(instance));
        let shares = [(root.to_owned(), REAL_TIME_US), (root.join(instance), REAL_TIME_US)];
        for (group, microseconds) in others.map(|it| (it, 0)).chain(shares) {
            let file = group.join("cpu.rt_runtime_us");
            write_patiently(&file, &microseconds.to_string())
                .with_context(|| format!("writing `{}`", file.display()))?;
        }
    }
    Ok(())
}

/// A group that was removed, as by a run before this one, has its share for a moment more.
fn write_patiently(file: &Path, text: &str) -> io::Result<()> {
    let deadline = Instant::now() + EMPTY_WITHIN;
    loop {
        match fs::write(file, text) {
            Err(error)
                if error.kind() == io::ErrorKind::InvalidInput && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            written => return written,
        }
    }
}

async fn spawn(launch: &Launch) -> anyhow::Result<f64> {
    let start = Instant::now();
    let spawned =
        launch.spawn(&SpawnArguments { token: Some("1"), ..SpawnArguments::default() })?;
    let taken = milliseconds(start);
    ensure!(spawned.process.exited().await.is_success(), "`{PROGRAM}` failed");
    ensure!(spawned.process.sweep().await?.is_empty(), "`{PROGRAM}` left something behind");
    Ok(taken)
}

/// Each kind of limit alone, then all of them, then what only some services want.
///
/// Left out are what real-time processes cannot show (another scheduler) and what depends on the host's disks and
/// network (rates).
fn requests() -> anyhow::Result<[(&'static str, Request); 7]> {
    let own_cpus: CpuList = own_cpus()?.parse()?;
    let of_group = Limits {
        cpu: CpuQuota::from_cores(1.5),
        cpu_weight: Weight::new(200),
        cpus: Some(own_cpus.clone()),
        memory_max: Some(256 << 20),
        memory_high: Some(128 << 20),
        tasks_max: Some(100),
        ..Limits::default()
    };
    let limit = |resource| Rlimit::fixed(resource, Bound::At(1 << 10));
    let sandboxed = |preset| Request::default().sandboxed(preset, &[]);
    let strict = Request { view: View::default(), ..sandboxed(Sandbox::Strict) };
    let of_process = |request| Request {
        umask: Umask::new(0o027),
        rlimits: vec![limit(Resource::Files), limit(Resource::Core), limit(Resource::LockedMemory)],
        priorities: Priorities {
            nice: Some(5),
            io: Some(IoPriority::BestEffort(6)),
            affinity: Some(own_cpus.clone()),
            oom_score_adjust: Some(9),
            ..Priorities::default()
        },
        enforcement: Enforcement::BestEffort,
        ..request
    };
    let grouped = |instance: &str, request| Request {
        instance: instance.into(),
        limits: of_group.clone(),
        enforcement: Enforcement::BestEffort,
        ..request
    };
    let view = View { network: Network::None, hidden: vec!["/home".into()], ..View::default() };
    let another = User { user: "nobody".into(), ..User::default() };
    let all = of_process(strict.clone());
    Ok([
        ("another user", Request { user: Some(another.clone()), ..Request::default() }),
        ("limits of a process", of_process(Request::default())),
        ("sandbox standard", sandboxed(Sandbox::Standard)),
        ("sandbox strict, no view", strict),
        ("control group", grouped("group", Request::default())),
        ("every limit", grouped("all", all.clone())),
        ("every limit, and a view", grouped("view", Request { view, user: Some(another), ..all })),
    ])
}

/// Those on which this process may run, as `/proc` lists them.
fn own_cpus() -> anyhow::Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    Ok(list.context("the kernel does not say on which processors this runs")?.trim().to_owned())
}

/// A `vfork` whose child enters groups, leads a session as every service does, and executes.
fn bare_spawn(entered: &[CString]) -> anyhow::Result<f64> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let start = Instant::now();
    let program = CString::new(PROGRAM)?;
    let arguments = [program.as_ptr(), ptr::null()];
    // SAFETY: the child only calls the system; everything it points to was made before and lives.
    let pid = unsafe {
        #[expect(deprecated, reason = "the very call to compare with")]
        let pid = libc::vfork();
        if pid == 0 {
            for file in entered {
                let file = libc::open(file.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                if libc::write(file, c"0".as_ptr().cast(), 1) != 1 {
                    libc::_exit(126);
                }
            }
            libc::setsid();
            libc::execve(program.as_ptr(), arguments.as_ptr(), environ);
            libc::_exit(127);
        }
        pid
    };
    let taken = milliseconds(start);
    let mut status = 0;
    // SAFETY: a child of this process, and a place for its status.
    let reaped = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    ensure!(reaped == pid && status == 0, "the bare `{PROGRAM}` failed");
    Ok(taken)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

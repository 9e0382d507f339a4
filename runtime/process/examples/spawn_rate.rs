//! How near a spawn, exit and reap comes to a bare `vfork`, `exec` and `waitpid`, in one run.
//!
//! `cargo run --release -p blackhole-process --example spawn_rate [ROUNDS] [IDLE_CHILDREN]`
//!
//! Then what every limit costs: the same spawn in a control group with limits, with per-process limits,
//! priorities, no capabilities, a filter of system calls and rules for paths; and with a view of its own
//! of the file system and the network besides. Where it has groups of v1, a bare `vfork` that enters the same
//! groups shows what of that is the kernel's.
#![expect(unsafe_code, reason = "the bare loop is the yardstick")]
#![expect(clippy::print_stdout, reason = "a program whose result is its output")]

use std::ffi::{CString, c_char};
use std::sync::Arc;
use std::time::{Duration, Instant};

use blackhole_isolation::{
    Bound, CpuQuota, Enforcement, Groups, Host, Limits, Mounts, Network, Priorities, Request,
    Resource, Rlimit, Sandbox, Umask, View, plan,
};
use blackhole_process::{Generation, Launch, Process};

const PROGRAM: &str = "/bin/true";
/// Both loops take turns in batches, so that a noisy machine disturbs both alike.
const BATCH: usize = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|it| it.parse::<usize>());
    let rounds = arguments.next().transpose()?.unwrap_or(2000);
    let idle = arguments.next().transpose()?.unwrap_or(0);
    blackhole_process::prepare()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let _reaper = tokio::spawn(blackhole_process::reap_orphans());
        let sleep = Launch::builder(["sleep", "1000"]).build()?;
        let start = |_| sleep.spawn(&Generation::default());
        let idle: Vec<_> = (0..idle).map(start).collect::<Result<_, _>>()?;
        let launch = Launch::builder([PROGRAM]).token_variable("TOKEN").build()?;
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..rounds.div_ceil(BATCH) {
            for _ in 0..BATCH {
                ours.push(one(&launch).await?);
            }
            bare.extend((0..BATCH).map(|_| bare_one(&[])));
        }
        println!("{} rounds beside {} idle children", ours.len(), idle.len());
        compare(("ours", &mut ours), ("bare", &mut bare));
        drop(idle);
        limited(rounds).await
    })
}

/// All rounds with a plan take turns with ones without.
async fn limited(rounds: usize) -> Result<(), Box<dyn std::error::Error>> {
    let groups = Groups::open(&Mounts::detect(), "blackhole-spawn-rate", &[std::process::id()])?;
    let host = Host::detect().with_groups(groups.clone());
    for (what, request) in requests() {
        let plan = plan(&request, &host)?;
        let lacking: Vec<_> = plan.downgraded().iter().map(|it| it.key).collect();
        println!("{what}; not on this host: {lacking:?}");
        let builder = || Launch::builder([PROGRAM]).token_variable("TOKEN");
        let (free, bound) = (builder().build()?, builder().isolation(Arc::new(plan)).build()?);
        let entered = entered(&groups, &request.instance);
        let (mut without, mut with, mut floor) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds.div_ceil(BATCH) {
            for _ in 0..BATCH {
                without.push(spawn_only(&free).await?);
                with.push(spawn_only(&bound).await?);
                floor.extend((!entered.is_empty()).then(|| bare_one(&entered)));
            }
        }
        compare(("limited", &mut with), ("free", &mut without));
        if !floor.is_empty() {
            compare(("limited", &mut with), ("bare in the same groups", &mut floor));
        }
        println!("longest: {:.0?}", with.last().copied().unwrap_or_default());
    }
    Ok(groups.close(Duration::from_secs(2))?)
}

/// The files by which a process enters an instance's groups of v1.
fn entered(groups: &Groups, instance: &str) -> Vec<CString> {
    let roots = groups.roots().into_iter().filter(|_| !instance.is_empty());
    let files = roots.map(|root| root.join(instance).join("tasks")).filter(|it| it.exists());
    files.filter_map(|file| CString::new(file.into_os_string().into_encoded_bytes()).ok()).collect()
}

/// From the call until the program is executed.
async fn spawn_only(launch: &Launch) -> Result<Duration, Box<dyn std::error::Error>> {
    let start = Instant::now();
    let generation = Generation { token: Some("1"), ..Generation::default() };
    let spawned = launch.spawn(&generation)?;
    let elapsed = start.elapsed();
    assert!(spawned.process.exited().await.is_success());
    assert!(spawned.process.sweep().await?.is_empty());
    Ok(elapsed)
}

/// Each kind of limit alone, then all of them.
fn requests() -> [(&'static str, Request); 6] {
    let group = Limits {
        cpu: CpuQuota::from_cores(1.5),
        memory_max: Some(256 << 20),
        tasks_max: Some(100),
        ..Limits::default()
    };
    let limit = |resource| Rlimit::fixed(resource, Bound::At(1 << 10));
    let sandboxed = |preset| Request::default().sandboxed(preset, &[]);
    let strict = Request { view: View::default(), ..sandboxed(Sandbox::Strict) };
    let of_process = |request| Request {
        umask: Umask::new(0o027),
        rlimits: vec![limit(Resource::Files), limit(Resource::Core), limit(Resource::LockedMemory)],
        priorities: Priorities { oom_score_adjust: Some(9), ..Priorities::default() },
        enforcement: Enforcement::BestEffort,
        ..request
    };
    let grouped = |instance: &str, request| Request {
        instance: instance.into(),
        limits: group.clone(),
        enforcement: Enforcement::BestEffort,
        ..request
    };
    let view = View { network: Network::None, hidden: vec!["/home".into()], ..View::default() };
    let all = of_process(strict.clone());
    [
        ("per-process limits", of_process(Request::default())),
        ("sandbox = standard", sandboxed(Sandbox::Standard)),
        ("paths by landlock besides", strict),
        ("a control group", grouped("group", Request::default())),
        ("every limit", grouped("all", all.clone())),
        ("and a view of its own", grouped("hidden", Request { view, ..all })),
    ]
}

async fn one(launch: &Launch) -> Result<Duration, Box<dyn std::error::Error>> {
    let start = Instant::now();
    let generation = Generation { token: Some("1"), ..Generation::default() };
    let spawned = launch.spawn(&generation)?;
    let process: Process = spawned.process;
    assert!(process.exited().await.is_success());
    assert!(process.sweep().await?.is_empty());
    drop((process, spawned.stdout, spawned.stderr));
    Ok(start.elapsed())
}

/// From the start until it has been reaped, or where it enters groups, until the program is executed.
fn bare_one(entered: &[CString]) -> Duration {
    let start = Instant::now();
    let program = CString::new(PROGRAM).expect("no zero byte in it");
    let arguments = [program.as_ptr(), std::ptr::null()];
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: the child only executes or exits; everything it points to was made before.
    unsafe {
        #[expect(deprecated, reason = "the very call to compare with")]
        let pid = libc::vfork();
        if pid == 0 {
            for file in entered {
                let file = libc::open(file.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                if libc::write(file, c"0".as_ptr().cast(), 1) != 1 {
                    libc::_exit(126);
                }
            }
            if !entered.is_empty() {
                libc::setsid();
            }
            libc::execve(program.as_ptr(), arguments.as_ptr(), environ);
            libc::_exit(127);
        }
        let executed = start.elapsed();
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        assert_eq!(status, 0);
        if entered.is_empty() { start.elapsed() } else { executed }
    }
}

fn compare((name, ours): (&str, &mut [Duration]), (other, theirs): (&str, &mut [Duration])) {
    ours.sort_unstable();
    theirs.sort_unstable();
    let show = |what, at: fn(&[Duration]) -> Duration| {
        let (ours, theirs) = (at(ours), at(theirs));
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        println!("{what}: {name} {ours:.0?}, {other} {theirs:.0?}, ratio {ratio:.2}");
    };
    show("median", |all| all[all.len() / 2]);
    show("p90", |all| all[all.len() * 9 / 10]);
    show("mean", |all| all.iter().sum::<Duration>() / u32::try_from(all.len()).unwrap_or(1));
}

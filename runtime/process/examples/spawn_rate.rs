//! How near a spawn, exit and reap comes to a bare `vfork`, `exec` and `waitpid`, in one run.
//!
//! `cargo run --release -p blackhole-process --example spawn_rate [ROUNDS] [IDLE_CHILDREN]`
//!
//! What limits add to it is measured by `benches/run spawn`.
#![expect(unsafe_code, reason = "the bare loop is the yardstick")]
#![expect(clippy::print_stdout, reason = "a program whose result is its output")]

use std::ffi::{CString, c_char};
use std::time::{Duration, Instant};

use blackhole_process::{Launch, Process, SpawnArguments};

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
        let start = |_| sleep.spawn(&SpawnArguments::default());
        let idle: Vec<_> = (0..idle).map(start).collect::<Result<_, _>>()?;
        let launch = Launch::builder([PROGRAM]).token_variable("TOKEN").build()?;
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..rounds.div_ceil(BATCH) {
            for _ in 0..BATCH {
                ours.push(one(&launch).await?);
            }
            bare.extend((0..BATCH).map(|_| bare_one()));
        }
        println!("{} rounds beside {} idle children", ours.len(), idle.len());
        compare(("ours", &mut ours), ("bare", &mut bare));
        Ok(())
    })
}

async fn one(launch: &Launch) -> Result<Duration, Box<dyn std::error::Error>> {
    let start = Instant::now();
    let arguments = SpawnArguments { token: Some("1"), ..SpawnArguments::default() };
    let spawned = launch.spawn(&arguments)?;
    let process: Process = spawned.process;
    assert!(process.exited().await.is_success());
    assert!(process.sweep().await?.is_empty());
    drop((process, spawned.stdout, spawned.stderr));
    Ok(start.elapsed())
}

fn bare_one() -> Duration {
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
            libc::execve(program.as_ptr(), arguments.as_ptr(), environ);
            libc::_exit(127);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        assert_eq!(status, 0);
    }
    start.elapsed()
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

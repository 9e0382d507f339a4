//! Whether a process could run now, and how much it has run, from `/proc`.

use std::{fs, path::Path, time::Duration};

use super::{UsageError, is_gone, parse_stat, read, ticks};

/// What the kernel says of a process's threads at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessScheduling {
    /// Whether one of them runs or waits for a CPU; the others sleep, are stopped or have ended.
    pub is_runnable: bool,
    /// CPU time of all of them since their start, in user and kernel mode.
    pub cpu: Duration,
}

/// Looks at a process and each of its threads; a few small reads.
///
/// # Errors
/// [`UsageError::Gone`] when there is no such process; a zombie still is one and is not runnable.
pub fn scheduling_of(pid: u32) -> Result<ProcessScheduling, UsageError> {
    let process = Path::new("/proc").join(pid.to_string());
    let cpu = ticks(read(pid, process.join("stat"), parse_stat)?.cpu_ticks);
    let tasks = process.join("task");
    let refused = |source| match is_gone(&source) {
        true => UsageError::Gone { pid },
        false => UsageError::Read { path: tasks.clone(), source },
    };
    let mut threads = fs::read_dir(&tasks).map_err(refused)?.flatten();
    let is_runnable = threads.any(|thread| {
        // One that ends meanwhile does not run.
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        state(&stat) == Some('R')
    });
    Ok(ProcessScheduling { is_runnable, cpu })
}

/// `man 5 proc_pid_stat`: the field after the name, which may hold anything.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Child, Command},
        time::Instant,
    };

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    /// A process that is killed when the test ends.
    struct Running(Child);

    impl Running {
        fn start(words: [&str; 3]) -> Self {
            Self(Command::new(words[0]).args(&words[1..]).spawn().unwrap())
        }

        fn until(&self, what: &str, wanted: impl Fn(&ProcessScheduling) -> bool) {
            let deadline = Instant::now() + DEADLINE;
            loop {
                let seen = scheduling_of(self.0.id()).unwrap();
                if wanted(&seen) {
                    return;
                }
                assert!(Instant::now() < deadline, "{what}: never came true; last seen: {seen:?}");
                std::thread::yield_now();
            }
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn who_spins_is_runnable_until_it_is_stopped() {
        let spinner = Running::start(["sh", "-c", "while :; do :; done"]);
        spinner.until("it has run", |seen| seen.is_runnable && !seen.cpu.is_zero());
        let pid = rustix::process::Pid::from_child(&spinner.0);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        spinner.until("it is stopped", |seen| !seen.is_runnable);
    }

    #[test]
    fn who_sleeps_is_not_runnable_and_who_is_gone_is_said_to_be() {
        let sleeper = Running::start(["sh", "-c", "exec sleep 1000"]);
        sleeper.until("it sleeps", |seen| !seen.is_runnable);
        let pid = sleeper.0.id();
        drop(sleeper);
        assert!(matches!(scheduling_of(pid), Err(UsageError::Gone { .. })));
    }

    #[test]
    fn a_thread_that_is_not_the_first_one_counts() {
        let script = "import threading, time\n\
                      def spin():\n while True: pass\n\
                      threading.Thread(target=spin).start()\ntime.sleep(1000)";
        let spinner = Running::start(["python3", "-c", script]);
        let first = format!("/proc/{}/stat", spinner.0.id());
        spinner.until("the first thread sleeps while another one runs", |seen| {
            state(&fs::read_to_string(&first).unwrap()) == Some('S') && seen.is_runnable
        });
    }

    #[test]
    fn a_name_with_brackets_hides_no_state() {
        assert_eq!(state("7 (a ) R (b) S 1 2"), Some('S'));
        assert_eq!(state("7 (cut"), None);
    }
}

//! The node under abuse: its file, its places, its lives.

use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
};

use anyhow::{Context, Result};

use super::{
    action::Socket,
    processes::{self, MADE_BY_SERVICE},
};

/// Where everything of the node is; the same in all its lives.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    pub(super) http_port: u16,
}

impl Place {
    pub(super) fn runtime(&self) -> PathBuf {
        self.directory.join("run")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.directory.join("log")
    }

    pub(super) fn output(&self) -> PathBuf {
        self.directory.join("output")
    }

    pub(super) fn control(&self) -> PathBuf {
        self.runtime().join("control.sock")
    }

    /// The socket of the first instance of a service.
    pub(super) fn serving(&self, service: &str) -> PathBuf {
        self.runtime().join(format!("{service}-1.sock"))
    }

    /// The file of a socket that has one for all its lives.
    pub(super) fn file_of(&self, socket: Socket) -> Option<PathBuf> {
        match socket {
            Socket::Control => Some(self.control()),
            Socket::Identity => Some(self.serving("identity")),
            Socket::Storage => Some(self.serving("storage")),
            Socket::Http | Socket::Notify => None,
        }
    }

    /// What every process of the node carries in its environment.
    pub(super) fn mark(&self) -> String {
        format!("BLACKHOLE_RUNTIME_DIR={}", self.runtime().display())
    }
}

/// One `bh run` after the other, in the same place.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) place: Arc<Place>,
    guardian: Child,
    /// Counts up with every start.
    pub(super) life: u32,
}

impl Subject {
    /// Writes the file and starts the node; waits for nothing.
    pub(super) fn start(directory: &Path) -> Result<Self> {
        let http_port = free_port()?;
        let place = Arc::new(Place { directory: directory.to_owned(), http_port });
        let own = std::env::current_exe().context("could not find this program")?;
        fs::write(directory.join("config.toml"), file_text(http_port, &own))
            .context("could not write the file for the node")?;
        let guardian = launch(&place)?;
        Ok(Self { place, guardian, life: 1 })
    }

    /// Starts the node again, after its end.
    pub(super) fn start_again(&mut self) -> Result<()> {
        self.guardian = launch(&self.place)?;
        self.life += 1;
        Ok(())
    }

    pub(super) fn guardian_pid(&self) -> i32 {
        self.guardian.id().cast_signed()
    }

    /// The node's process, when it lives.
    pub(super) fn node_pid(&self) -> Option<i32> {
        processes::children(self.guardian_pid()).into_iter().find(|pid| processes::is_node(*pid))
    }

    /// How the guardian has ended, if it has.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.guardian.try_wait().context("could not wait for the guardian")
    }
}

/// Nothing may outlive a run, whatever became of it.
impl Drop for Subject {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.guardian.kill();
        let _ = self.guardian.wait();
    }
}

fn launch(place: &Place) -> Result<Child> {
    let output = fs::File::options().create(true).append(true).open(place.output());
    let output = output.context("could not open the file for the node's output")?;
    let directory = |name: &str, path: PathBuf| format!("--{name}-dir={}", path.display());
    let own = std::env::current_exe().context("could not find this program")?;
    Command::new(own)
        .args(["run".as_ref(), place.directory.join("config.toml").as_os_str()])
        .arg(directory("runtime", place.runtime()))
        .arg(directory("data", place.data()))
        .arg(directory("log", place.logs()))
        .arg("--no-logs")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("could not share the node's output")?)
        .stderr(output)
        .process_group(0)
        .spawn()
        .context("could not start the node")
}

/// Nobody else takes it in the moment until the node does, or the run says so.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("could not find a free port")?;
    Ok(listener.local_addr().context("could not find a free port")?.port())
}

/// The demo, with more of what can go wrong: processes that start others and daemons, one that talks,
/// a group, one that must say that it lives.
fn file_text(http_port: u16, own: &Path) -> String {
    let own = own.display();
    format!(
        r#"
[node]
name = "chaos"
[supervisor]
restarts_max = 1000000
restarts_window = "1s"
[http]
listen = "127.0.0.1:{http_port}"
[logs]
file_size_max = "256KiB"
files_max = 2

[groups.pair]
strategy = "one_for_all"
services = ["left", "right"]

[services.identity]
{FAST}
settings = {{ token_lifetime = "30d" }}
resources = {{ memory = "1GiB", files_max = 4096, tasks_max = 256 }}

[services.storage]
depends_on = ["identity"]
{FAST}
resources = {{ memory = "1GiB", files_max = 4096, tasks_max = 256 }}

[services.clock]
command = ["sh", "-c", "while true; do date; sleep 0.2; done"]
depends_on = ["storage"]
{FAST}

[services.family]
command = ["sh", "-c", "sleep 1000 & sleep 1001 & {MADE_BY_SERVICE} setsid sh -c 'sleep 1002 & sleep 1003' & while true; do sleep 1; done"]
{FAST}
resources = {{ tasks_max = 64 }}

[services.talker]
command = ["sh", "-c", "trap 'seq 1 60000' USR1; echo up; while true; do sleep 0.05; done"]
ready = {{ log = "up" }}
{FAST}

[services.left]
command = ["{own}", "--notify"]
ready = "notify"
live = {{ notify = true, timeout = "4s" }}
{FAST}

[services.right]
command = ["sleep", "infinity"]
{FAST}
"#
    )
}

const FAST: &str = "backoff = { initial = \"20ms\", max = \"500ms\", reset_after = \"2s\" }
stop = { grace = \"2s\" }";

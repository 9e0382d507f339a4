//! One operating-system process: spawn, pidfd, signals, output, passed sockets, exit; and the guardian.
//!
//! [`Launch`] says how to start a process and starts it; [`Process`] is the running one. What processes may
//! use is planned in `blackhole-isolation`; when and why they are started is decided elsewhere.

mod child;
mod children;
mod clone;
mod core_dumps;
mod descriptors;
mod environment;
mod exec_watch;
mod exit_status;
pub mod guardian;
mod inherited;
mod init;
mod launch;
mod lifeline;
mod lookup;
mod memory;
mod own_environment;
mod process;
mod separation;
mod session;
mod signal;
mod slots;
pub mod snapshot;
pub mod sockets;
mod spawn;
mod spawn_error;
mod sweep;

pub use descriptors::prepare;
pub use exit_status::ExitStatus;
pub use inherited::{NotInherited, take_inherited};
pub use launch::{
    LISTEN_FDS_START, Launch, LaunchBuilder, LaunchError, SOCKETS_MAX, SpawnArguments,
};
pub use lifeline::{Lifeline, LifelineError};
pub use memory::{let_go_of_free_memory, let_go_of_the_beginning, share_one_heap};
pub use own_environment::take_variable;
pub use process::Process;
pub use signal::{Signal, UnknownSignal};
pub use spawn::{Spawned, live_on_this_thread};
pub use spawn_error::{SpawnError, Stage};
pub use sweep::{Leftover, SWEEP_TIMEOUT, Swept, kill_everything, reap_orphans};

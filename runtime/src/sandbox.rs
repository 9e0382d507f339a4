//! What a service is kept from, and what only it may know, said in code.

use std::path::Path;

use blackhole_config::{Table, Value};
use blackhole_isolation::Part;

/// What a service is kept from: `[services.X.sandbox]`. A part that the host does not permit stops the
/// start, unless it is [`optional`](Self::optional).
///
/// ```
/// use blackhole::{Sandbox, SandboxPart, ServiceSpec};
///
/// let walled = Sandbox::standard().private_tmp().hidden("/home").optional(SandboxPart::Hidden);
/// let api = ServiceSpec::command(["python3", "api.py"]).sandbox(walled);
/// # drop(api);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Sandbox(Table);

impl Sandbox {
    /// Nothing but what is said here.
    pub fn empty() -> Self {
        Self(Table::new())
    }

    /// No capabilities, no new privileges, and the default filter of system calls.
    #[track_caller]
    pub fn standard() -> Self {
        Self::empty().set("preset", "standard")
    }

    /// The strict filter of system calls, a `/tmp` of its own, and files written only there and in the
    /// service's own directory.
    #[track_caller]
    pub fn strict() -> Self {
        Self::empty().set("preset", "strict")
    }

    /// Exactly these capabilities, as in `["net_bind_service"]`.
    #[track_caller]
    pub fn capabilities<T: Into<String>>(self, names: impl IntoIterator<Item = T>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        self.set("capabilities", names)
    }

    /// Executing a program never gives more rights.
    #[track_caller]
    pub fn no_new_privileges(self) -> Self {
        self.set("no_new_privileges", true)
    }

    /// Which system calls: `none` (all), `default`, `strict`, or a file of names.
    #[track_caller]
    pub fn seccomp(self, filter: impl Into<String>) -> Self {
        self.set("seccomp", filter.into())
    }

    /// This and all below it may be read; needs [`execute`](Self::execute) beside it, in which the program
    /// itself lies. Files that none of these three calls names may not be touched, once one is; each may be
    /// called several times.
    #[track_caller]
    pub fn read(mut self, path: impl AsRef<Path>) -> Self {
        self.0.table("paths").push("read", path.as_ref());
        self
    }

    /// This and all below it may be read, written, made and removed; the service's own directory always
    /// may.
    #[track_caller]
    pub fn write(mut self, path: impl AsRef<Path>) -> Self {
        self.0.table("paths").push("write", path.as_ref());
        self
    }

    /// This and all below it may be read and executed. Default: everything.
    #[track_caller]
    pub fn execute(mut self, path: impl AsRef<Path>) -> Self {
        self.0.table("paths").push("execute", path.as_ref());
        self
    }

    /// A `/tmp` and a `/var/tmp` of its own, in memory.
    #[track_caller]
    pub fn private_tmp(self) -> Self {
        self.set("private_tmp", true)
    }

    /// Seen, but not to be changed; may be called several times.
    #[track_caller]
    pub fn read_only(mut self, path: impl AsRef<Path>) -> Self {
        self.0.push("read_only", path.as_ref());
        self
    }

    /// Seen as empty; may be called several times.
    #[track_caller]
    pub fn hidden(mut self, path: impl AsRef<Path>) -> Self {
        self.0.push("hidden", path.as_ref());
        self
    }

    /// Only a loopback device of its own.
    #[track_caller]
    pub fn without_network(self) -> Self {
        self.set("network", "none")
    }

    /// A part without which it may start where the host does not permit it; may be called several times.
    #[track_caller]
    pub fn optional(mut self, part: Part) -> Self {
        self.0.push("optional", part.key());
        self
    }

    /// Any key of the table, as the file would say it.
    #[track_caller]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.set(key, value);
        self
    }

    pub(crate) fn into_table(self) -> Table {
        self.0
    }
}

/// Where something comes from that only a service and its node may know. It is read again at every start.
///
/// ```
/// use blackhole::{Secret, ServiceSpec};
///
/// let api = ServiceSpec::command(["sh", "-c", "exec api --key-file $CREDENTIALS_DIRECTORY/key"])
///     .secret("key", Secret::environment("API_KEY"));
/// # drop(api);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Secret(Table);

impl Secret {
    /// A file.
    #[track_caller]
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::of("file", path.as_ref())
    }

    /// A variable of the node's environment, which no service inherits then.
    #[track_caller]
    pub fn environment(name: impl Into<String>) -> Self {
        Self::of("env", name.into())
    }

    /// A file of this name in the node's own `$CREDENTIALS_DIRECTORY`, as systemd passes it.
    #[track_caller]
    pub fn credential(name: impl Into<String>) -> Self {
        Self::of("credential", name.into())
    }

    #[track_caller]
    fn of(key: &str, value: impl Into<Value>) -> Self {
        let mut table = Table::new();
        table.set(key, value);
        Self(table)
    }

    pub(crate) fn into_table(self) -> Table {
        self.0
    }
}

//! `[node]`: the name, and where things are kept.

use std::path::{Path, PathBuf};

use blackhole_isolation::Enforcement;

use super::Context;
use crate::{
    Node,
    problem::{Draft, Problems},
    raw::{NodeName, RawNode},
    read::Field,
};

/// The name of a node on a host whose name is none.
const NAME_FALLBACK: &str = "node";

pub(super) fn validate(
    raw: Option<&RawNode>,
    context: Context<'_>,
    problems: &mut Problems,
) -> Node {
    let absent = RawNode::default();
    let raw = raw.unwrap_or(&absent);
    let name = match raw.name.value() {
        Some(name) => name.0.clone(),
        None if NodeName::is_valid(&context.host.hostname) => context.host.hostname.clone(),
        None => NAME_FALLBACK.to_owned(),
    };
    let mut directory = |field: &Field<String>, default: PathBuf| {
        let Some(located) = field.given() else {
            return default;
        };
        let text = &located.value;
        if text.is_empty() || text.starts_with('~') {
            let rule = if text.is_empty() { "is empty" } else { "must not begin with `~`" };
            let hint = match &context.host.home {
                Some(home) if text.starts_with("~/") => {
                    format!("write \"{}{}\"", home.display(), &text[1..])
                }
                _ => "write an absolute path".to_owned(),
            };
            problems.push(Draft::new(&located.place, rule).found(format!("{text:?}")).hint(hint));
        } else if text.contains(['{', '}']) {
            let rule = "is where placeholders point to, and cannot have one itself";
            problems.push(Draft::new(&located.place, rule).found(format!("{text:?}")));
        }
        context.source.base(&located.place.origin, context.host).join(text)
    };
    let default = Defaults { context, name: &name };
    let runtime_dir = directory(&raw.runtime_dir, default.runtime_dir());
    let data_dir = directory(&raw.data_dir, default.data_dir());
    let log_dir = directory(&raw.log_dir, default.log_dir());
    // A file is written once and run on many hosts: what one of them lacks is said there.
    let enforcement = raw.enforce.value().copied().unwrap_or(Enforcement::BestEffort);
    Node { name, runtime_dir, data_dir, log_dir, enforcement }
}

struct Defaults<'a> {
    context: Context<'a>,
    name: &'a str,
}

impl Defaults<'_> {
    fn runtime_dir(&self) -> PathBuf {
        let host = self.context.host;
        match &host.xdg_runtime_dir {
            _ if host.uid == 0 => Path::new("/run/blackhole").join(self.name),
            Some(folder) => folder.join("blackhole").join(self.name),
            // Never a shared temporary folder: where there is no session, in the user's own state.
            None => self.state().join("run"),
        }
    }

    fn data_dir(&self) -> PathBuf {
        let host = self.context.host;
        match &host.xdg_data_home {
            _ if host.uid == 0 => Path::new("/var/lib/blackhole").join(self.name),
            Some(folder) => folder.join("blackhole").join(self.name),
            None => self.home().join(".local/share/blackhole").join(self.name),
        }
    }

    fn log_dir(&self) -> PathBuf {
        match self.context.host.uid {
            0 => Path::new("/var/log/blackhole").join(self.name),
            _ => self.state().join("log"),
        }
    }

    fn state(&self) -> PathBuf {
        match &self.context.host.xdg_state_home {
            Some(folder) => folder.join("blackhole").join(self.name),
            None => self.home().join(".local/state/blackhole").join(self.name),
        }
    }

    fn home(&self) -> &Path {
        let host = self.context.host;
        host.home.as_deref().unwrap_or(&host.current_dir)
    }
}

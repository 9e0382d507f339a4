//! The file of services, with what flags and the environment say over it.
//!
//! Hands `config` everything that it wants to know of this process; every rule is there.

use std::{env, fs::File, io::Write, path::Path, path::PathBuf};

use blackhole_config::{Color, HostFacts, Loaded, Overrides, Source, load, misspelt_variable};
use blackhole_node::host;
use blackhole_sdk::LOG_FILTER;
use clap::Args;

use crate::{cli::Global, error::Error, native_services};

/// Options that win over the file.
#[derive(Debug, Clone, Args)]
pub(crate) struct FileOptions {
    /// Set a key of the file, such as `services.api.instances=3`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where services keep their data; default: BLACKHOLE_DATA_DIR, else `node.data_dir`
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where log files are kept; default: BLACKHOLE_LOG_DIR, else `node.log_dir`
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
}

impl FileOptions {
    /// Reads and checks the file. Warnings are left to the caller.
    pub(crate) fn load(&self, file: &Path, global: &Global) -> Result<Loaded, Error> {
        let no_input = |source| Error::NoInput { path: file.to_owned(), source };
        File::open(file).map_err(no_input)?;
        let source = Source::Path(file.to_owned());
        let loaded = load(source, &self.overrides(global), &host_facts()?);
        loaded.map_err(|rejected| Error::Rejected(Box::new(rejected)))
    }

    fn overrides(&self, global: &Global) -> Overrides {
        let mut overrides = Overrides::from_environment(variables());
        let directories = [
            ("--runtime-dir", "node.runtime_dir", &global.runtime_dir),
            ("--data-dir", "node.data_dir", &self.data_dir),
            ("--log-dir", "node.log_dir", &self.log_dir),
        ];
        for (flag, key, dir) in directories {
            if let Some(dir) = dir {
                overrides.flag(flag, key, &dir.to_string_lossy());
            }
        }
        if let Some(name) = &global.node {
            overrides.flag("--node", "node.name", name);
        }
        self.set.iter().for_each(|assignment| overrides.set(assignment));
        overrides
    }
}

/// Variables without a value count as not set, as the shell's `VARIABLE= bh` means them.
fn variables() -> impl Iterator<Item = (String, String)> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(_, value)| !value.is_empty())
}

fn host_facts() -> Result<HostFacts, Error> {
    host::facts(native_services::contained().names()).map_err(Error::WorkingDirectory)
}

/// What may surprise: warnings about the file, and variables that are almost one of ours.
pub(crate) fn print_warnings(loaded: &Loaded) {
    let mut text = loaded.render_warnings(Color::Always);
    for (name, _) in variables().filter(|(name, _)| name != LOG_FILTER) {
        if let Some(meant) = misspelt_variable(&name) {
            text.push_str(&format!("warning: {name} means nothing here; is {meant} meant?\n"));
        }
    }
    // Nobody is left to be warned when the standard error is gone.
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

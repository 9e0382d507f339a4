//! circus, from PyPI: `benches/run` puts it beside supervisord.
//!
//! It looks for dead children every `check_delay` seconds, which is 5 by default.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Subject, said_version, search};

struct Circus {
    program: PathBuf,
}

pub(super) fn installed() -> Vec<Box<dyn Subject>> {
    let found = search("circusd");
    found.into_iter().map(|program| Box::new(Circus { program }) as _).collect()
}

impl Subject for Circus {
    fn name(&self) -> &'static str {
        "circus"
    }

    fn version(&self) -> String {
        said_version(&self.program)
    }

    fn prepare(&self, directory: &Path, program: &Path, count: usize) -> anyhow::Result<Command> {
        let place = directory.display();
        let mut file = String::new();
        writeln!(file, "[circus]\ncheck_delay = 0.05\nwarmup_delay = 0\nloglevel = critical")?;
        writeln!(
            file,
            "endpoint = ipc://{place}/endpoint\npubsub_endpoint = ipc://{place}/pubsub"
        )?;
        for number in 0..count {
            writeln!(file, "[watcher:s{number}]\ncmd = {}\ncopy_env = true", program.display())?;
            writeln!(file, "max_retry = -1\nwarmup_delay = 0\ngraceful_timeout = 5")?;
        }
        let path = directory.join("circus.ini");
        fs::write(&path, file)?;
        let mut command = Command::new(&self.program);
        command.arg(path);
        Ok(command)
    }

    fn remark(&self) -> Option<&'static str> {
        Some(
            "it looks for dead children every `check_delay`, which is 5 s by default and 0.05 s here: its restarts come \
             up to so much later, 20 in a second at most. Each look takes some 8 ms with 200 children (see its idle \
             time), so that it would do little else with a shorter one",
        )
    }

    fn count_max(&self) -> Option<(usize, &'static str)> {
        Some((200, "it takes minutes to begin with more"))
    }
}

//! supervisord, from PyPI: `benches/run` puts it into `target/peers`.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Subject, said_version, search};

struct Supervisord {
    program: PathBuf,
}

pub(super) fn installed() -> Vec<Box<dyn Subject>> {
    let found = search("supervisord");
    found.into_iter().map(|program| Box::new(Supervisord { program }) as _).collect()
}

impl Subject for Supervisord {
    fn name(&self) -> &'static str {
        "supervisord"
    }

    fn version(&self) -> String {
        said_version(&self.program)
    }

    fn prepare(&self, directory: &Path, program: &Path, count: usize) -> anyhow::Result<Command> {
        let place = directory.display();
        let mut file = String::new();
        writeln!(file, "[supervisord]\nnodaemon = true\nloglevel = critical\nminfds = 8192")?;
        writeln!(file, "logfile = /dev/null\nlogfile_maxbytes = 0\npidfile = {place}/pid")?;
        for number in 0..count {
            writeln!(file, "[program:s{number}]\ncommand = {}", program.display())?;
            writeln!(file, "autorestart = true\nstartsecs = 0\nstartretries = 1000000")?;
            writeln!(file, "stdout_logfile = /dev/null\nstdout_logfile_maxbytes = 0")?;
            writeln!(file, "stderr_logfile = /dev/null\nstderr_logfile_maxbytes = 0")?;
        }
        let path = directory.join("supervisord.conf");
        fs::write(&path, file)?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(path);
        Ok(command)
    }
}

//! `bh run`, as a user starts it: it also shows events, to nobody.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::Subject;
use crate::BH;

pub(crate) struct Blackhole {
    pub(crate) bh: PathBuf,
}

impl Subject for Blackhole {
    fn name(&self) -> &'static str {
        BH
    }

    fn version(&self) -> String {
        let output = Command::new(&self.bh).arg("--version").output();
        let said = output.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
        said.unwrap_or_default().trim_start_matches("bh ").to_owned()
    }

    fn prepare(&self, directory: &Path, program: &Path, count: usize) -> anyhow::Result<Command> {
        let mut file = String::new();
        for number in 0..count {
            writeln!(file, "[services.s{number}]")?;
            writeln!(file, "command = [\"{}\"]", program.display())?;
            writeln!(file, "restarts_max = 1000000")?;
            writeln!(file, "backoff = {{ initial = 0 }}")?;
        }
        let path = directory.join("config.toml");
        fs::write(&path, file)?;
        let mut command = Command::new(&self.bh);
        command.arg("run").arg(path);
        for (flag, name) in [("--runtime-dir", "run"), ("--data-dir", "data"), ("--log-dir", "log")]
        {
            command.arg(flag).arg(directory.join(name));
        }
        Ok(command)
    }

    fn vital(&self) -> Vec<&'static str> {
        vec!["the guardian", "the node"]
    }
}

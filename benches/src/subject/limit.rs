//! The bare loop.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{LIMIT, Subject};

pub(super) struct Limit {
    pub(super) program: PathBuf,
}

impl Subject for Limit {
    fn name(&self) -> &'static str {
        LIMIT
    }

    fn version(&self) -> String {
        "vfork, exec, waitpid".to_owned()
    }

    fn prepare(&self, _: &Path, program: &Path, count: usize) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.program);
        command.arg(program).arg(count.to_string());
        Ok(command)
    }
}

//! pm2, from npm: `benches/run` puts it into `target/peers`.
//!
//! `pm2-runtime` is its form for containers: in the foreground, ended by a signal.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use super::{Subject, said_version, search};

struct Pm2 {
    program: PathBuf,
}

pub(super) fn installed() -> Vec<Box<dyn Subject>> {
    let found = search("pm2-runtime");
    found.into_iter().map(|program| Box::new(Pm2 { program }) as _).collect()
}

impl Subject for Pm2 {
    fn name(&self) -> &'static str {
        "pm2"
    }

    fn version(&self) -> String {
        said_version(&self.program)
    }

    fn prepare(&self, directory: &Path, program: &Path, count: usize) -> anyhow::Result<Command> {
        let app = |number| {
            json!({
                "name": format!("s{number}"),
                "script": program,
                "interpreter": "none",
                "restart_delay": 0,
                "min_uptime": 0,
                "max_restarts": 1_000_000,
                "out_file": "/dev/null",
                "error_file": "/dev/null",
            })
        };
        let apps: Vec<_> = (0..count).map(app).collect();
        let path = directory.join("ecosystem.json");
        fs::write(&path, json!({ "apps": apps }).to_string())?;
        let mut command = Command::new(&self.program);
        command.arg("start").arg(path).env("PM2_HOME", directory.join("home"));
        Ok(command)
    }

    fn count_max(&self) -> Option<(usize, &'static str)> {
        Some((200, "it takes minutes to begin with more"))
    }
}

//! `bh version`.

use std::io::Write;

use blackhole_protocol::link;
use clap::Args;
use serde::Serialize;

use crate::{
    error::Error,
    exit_code::ExitCode,
    output::{self, Form},
};

const CONTROL_API: &str = "blackhole.control.v1";

/// Prints the version of this program
///
/// With the control API and the link that it speaks. `bh status` tells the version of a running
/// node, which may be another one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh version
  bh version --json | jq -r .version")]
pub(crate) struct Version {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Versions {
    version: &'static str,
    control_api: &'static str,
    link: u16,
}

impl Version {
    pub(crate) fn execute(self) -> Result<ExitCode, Error> {
        let versions = Versions {
            version: env!("CARGO_PKG_VERSION"),
            control_api: CONTROL_API,
            link: link::VERSION,
        };
        let mut stdout = output::stdout();
        match Form::asked(self.json) {
            Form::Json => output::write_json_line(&mut stdout, &versions)?,
            Form::Text => writeln!(
                stdout,
                "bh {} (control API {}, link {})",
                versions.version, versions.control_api, versions.link
            )?,
        }
        Ok(ExitCode::Ok)
    }
}

//! `bh check`.

use std::{io::Write, path::PathBuf};

use blackhole_config::{Explained, Loaded, explain, schema};
use clap::Args;

use crate::{
    cli::Global,
    error::Error,
    exit_code::ExitCode,
    file::{self, FileOptions},
    holding_table,
    output::{self, Form},
};

/// Checks a file and starts nothing
///
/// Reports every problem at once, with its place, what is wrong there and how to put it right;
/// the exit code is 78 when there is one. With `--explain` it tells a key's value and who set it:
/// flags win over BLACKHOLE_* variables, those over the file, and the file over defaults.
/// `--explain sandbox` tells what each preset and each service's limits and privileges come to on
/// this host: enforced, downgraded or refused, and why. What does not hold here is noted, and is
/// no mistake: the file may be for another host.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bh check config.toml
  bh check config.toml --explain services.api.backoff.max
  bh check config.toml --explain sandbox         what would hold on this host
  bh check config.toml --set services.api.instances=3 --explain services.api.instances
  bh check --schema > blackhole.schema.json      lets editors complete the file")]
pub(crate) struct Check {
    /// The file of services
    #[arg(value_name = "FILE", required_unless_present = "schema")]
    file: Option<PathBuf>,
    /// Tell this key's value and where it came from
    #[arg(long, value_name = "KEY")]
    explain: Option<String>,
    /// Print the JSON Schema of the file
    #[arg(long, conflicts_with_all = ["file", "explain", "json"])]
    schema: bool,
    #[command(flatten)]
    options: FileOptions,
    /// Print one JSON object, also about problems
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn execute(self, global: &Global) -> Result<ExitCode, Error> {
        let Some(file) = &self.file else { return print_schema() };
        let form = Form::asked(self.json);
        let loaded = match self.options.load(file, global) {
            Err(Error::Rejected(rejected)) if form == Form::Json => {
                output::write_json_line(&mut output::stdout(), &rejected.to_json())?;
                return Ok(ExitCode::BadFile);
            }
            loaded => loaded?,
        };
        match &self.explain {
            Some(key) => match holding_of(key) {
                Some(Holding::All) => print_holding(&loaded, None, form),
                Some(Holding::Of(service)) => print_both(&loaded, key, service, form),
                None => print_explained(&loaded, key, form),
            },
            None => {
                let mut loaded = loaded;
                holding_table::note(&mut loaded);
                print_verdict(&loaded, form)
            }
        }
    }
}

/// Keys whose meaning depends on the host.
enum Holding<'a> {
    All,
    Of(&'a str),
}

fn holding_of(key: &str) -> Option<Holding<'_>> {
    match key.split('.').collect::<Vec<_>>().as_slice() {
        ["sandbox"] => Some(Holding::All),
        ["services", service, "sandbox" | "resources"] => Some(Holding::Of(service)),
        _ => None,
    }
}

fn print_holding(loaded: &Loaded, only: Option<&str>, form: Form) -> Result<ExitCode, Error> {
    let sections = holding_table::sections(loaded, only);
    let mut stdout = output::stdout();
    match form {
        Form::Json => output::write_json_line(&mut stdout, &holding_table::to_json(&sections))?,
        Form::Text => write!(stdout, "{}", holding_table::render(loaded, &sections))?,
    }
    Ok(ExitCode::Ok)
}

/// A key's value, and what it comes to on this host.
fn print_both(loaded: &Loaded, key: &str, service: &str, form: Form) -> Result<ExitCode, Error> {
    if form == Form::Text {
        print_explained(loaded, key, form)?;
        return print_holding(loaded, Some(service), form);
    }
    let mut explained = explained(loaded, key)?.to_json();
    let sections = holding_table::sections(loaded, Some(service));
    let verdicts = sections.iter().flat_map(|(_, verdicts)| verdicts);
    explained["here"] = verdicts.map(holding_table::verdict_to_json).collect();
    output::write_json_line(&mut output::stdout(), &explained)?;
    Ok(ExitCode::Ok)
}

fn explained(loaded: &Loaded, key: &str) -> Result<Explained, Error> {
    explain(loaded, key).map_err(|unknown| Error::Usage(unknown.to_string()))
}

fn print_schema() -> Result<ExitCode, Error> {
    let text = serde_json::to_string_pretty(&schema()).expect("a schema is JSON");
    writeln!(output::stdout(), "{text}")?;
    Ok(ExitCode::Ok)
}

fn print_explained(loaded: &Loaded, key: &str, form: Form) -> Result<ExitCode, Error> {
    let explained = explained(loaded, key)?;
    let mut stdout = output::stdout();
    match form {
        Form::Json => output::write_json_line(&mut stdout, &explained.to_json())?,
        Form::Text => writeln!(stdout, "{explained}")?,
    }
    Ok(ExitCode::Ok)
}

fn print_verdict(loaded: &Loaded, form: Form) -> Result<ExitCode, Error> {
    let mut stdout = output::stdout();
    match form {
        Form::Json => output::write_json_line(&mut stdout, &loaded.to_json())?,
        Form::Text => {
            file::print_warnings(loaded);
            let count = loaded.config.services.len();
            let services = if count == 1 { "service" } else { "services" };
            writeln!(stdout, "ok: {count} {services}")?;
        }
    }
    Ok(ExitCode::Ok)
}

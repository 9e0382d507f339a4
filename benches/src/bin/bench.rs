//! `bench [NAME…] [--json] [--brief] [--only SUBJECT,…] [--guard] [--write PAGE]`: measures families and says what came out.
//!
//! Started by `benches/run`, which builds and installs what is measured.
#![expect(clippy::print_stdout, reason = "a program whose result is its output")]
#![expect(clippy::print_stderr, reason = "it takes long, and whoever waits wants to see why")]

use std::{
    env, fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use blackhole_benches::{
    family::{self, Extent, Family, Findings, Setting},
    machine::Machine,
    report::{self, Report},
};

struct Asked {
    families: Vec<&'static Family>,
    form: Form,
    page: Option<PathBuf>,
    /// Only these subjects, and the limit.
    only: Option<Vec<String>>,
    extent: Extent,
    /// A goal that is not met is a failure.
    is_guarded: bool,
}

#[derive(PartialEq, Eq)]
enum Form {
    Table,
    Json,
}

fn main() -> anyhow::Result<()> {
    let asked = asked(env::args().skip(1))?;
    let machine = Machine::here();
    let own = env::current_exe()?;
    let programs = own.parent().context("this program has no directory")?;
    let (mut reports, mut failed) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for (place, family) in asked.families.iter().enumerate() {
        let far = format!("[{} of {}] {}", place + 1, asked.families.len(), family.name);
        let tell = |what: &str| eprintln!("{} {far}: {what}", minutes(began.elapsed()));
        let only = asked.only.clone();
        let setting = Setting { programs, extent: asked.extent, only, tell: &tell };
        let findings = (family.measure)(&setting).unwrap_or_else(|error| {
            eprintln!("{}: failed: {error:#}", family.name);
            failed.push(family.name);
            // The others are measured none the less, and the page says that this one was not.
            Findings { remarks: vec![format!("**did not run**: {error:#}")], ..Findings::default() }
        });
        let report = Report::new(family, findings);
        match asked.form {
            Form::Table => println!("{}", report.section()),
            Form::Json => print!("{}", report.json_lines()?),
        }
        reports.push(report);
    }
    if let Some(path) = asked.page {
        let page = report::page(&machine, &minutes(began.elapsed()), &reports);
        fs::write(&path, page).with_context(|| format!("writing `{}`", path.display()))?;
    }
    if !failed.is_empty() {
        bail!("not measured: {}", failed.join(", "))
    }
    if asked.is_guarded && !reports.iter().all(Report::is_met) {
        bail!("a goal is not met")
    }
    Ok(())
}

/// Minutes and seconds.
fn minutes(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

fn asked(mut words: impl Iterator<Item = String>) -> anyhow::Result<Asked> {
    let mut asked = Asked {
        families: Vec::new(),
        form: Form::Table,
        page: None,
        only: None,
        extent: Extent::Whole,
        is_guarded: false,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("`{word}` needs a value"));
        match word.as_str() {
            "--json" => asked.form = Form::Json,
            "--guard" => asked.is_guarded = true,
            "--brief" => asked.extent = Extent::Brief,
            "--write" => asked.page = Some(value()?.into()),
            "--only" => {
                asked.only = Some(value()?.split(',').map(str::to_owned).collect());
            }
            flag if flag.starts_with('-') => bail!("there is no flag `{flag}`"),
            name => asked.families.push(find(name)?),
        }
    }
    if asked.families.is_empty() {
        asked.families = family::ALL.iter().collect();
    }
    Ok(asked)
}

fn find(name: &str) -> anyhow::Result<&'static Family> {
    let Some(family) = family::ALL.iter().find(|family| family.name == name) else {
        let known: Vec<&str> = family::ALL.iter().map(|family| family.name).collect();
        bail!("there is no family `{name}`\nhint: known: {}", known.join(", "))
    };
    Ok(family)
}

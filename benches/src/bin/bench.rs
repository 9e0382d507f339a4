//! `bench [NAME…] [--json] [--brief] [--only SUBJECT,…] [--write PAGE]`: measures families and says what came out.
//!
//! Started by `benches/run`, which builds and installs what is measured.
#![expect(clippy::print_stdout, reason = "a program whose result is its output")]
#![expect(clippy::print_stderr, reason = "it takes long, and whoever waits wants to see why")]

use std::{env, fs, path::PathBuf};

use anyhow::{Context, bail};
use blackhole_benches::{
    machine::Machine,
    report::Report,
    subject::{self, Subject},
    supervision::{self, Extent},
};

const FAMILIES: [&str; 1] = ["supervision"];

struct Asked {
    families: Vec<String>,
    form: Form,
    page: Option<PathBuf>,
    /// Only these subjects, and the limit.
    only: Option<String>,
    extent: Extent,
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
    let child = programs.join("stamp-static").canonicalize();
    let child = child.context("the child is not built; use `benches/run`")?;
    let mut subjects = subject::installed(programs)?;
    if let Some(only) = &asked.only {
        let is_wanted = |it: &dyn Subject| {
            it.name() == subject::LIMIT || only.split(',').any(|name| name == it.name())
        };
        subjects.retain(|subject| is_wanted(subject.as_ref()));
    }
    let mut figures = Vec::new();
    for family in &asked.families {
        match family.as_str() {
            "supervision" => figures.extend({
                let tell = |what: &str| eprintln!("supervision: {what}");
                supervision::measure(&subjects, &child, asked.extent, tell)?
            }),
            unknown => bail!("there is no `{unknown}`\nhint: known: {}", FAMILIES.join(", ")),
        }
    }
    let report = Report::new(figures);
    match asked.form {
        Form::Table => println!("{}\n{}", report.table(), report.goals()),
        Form::Json => print!("{}", report.json_lines()?),
    }
    if let Some(path) = asked.page {
        let versions: Vec<_> = subjects.iter().map(|it| (it.name(), it.version())).collect();
        fs::write(&path, report.page(&machine, &versions))
            .with_context(|| format!("writing `{}`", path.display()))?;
    }
    Ok(())
}

fn asked(mut words: impl Iterator<Item = String>) -> anyhow::Result<Asked> {
    let mut asked = Asked {
        families: Vec::new(),
        form: Form::Table,
        page: None,
        only: None,
        extent: Extent::Whole,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("`{word}` needs a value"));
        match word.as_str() {
            "--json" => asked.form = Form::Json,
            "--brief" => asked.extent = Extent::Brief,
            "--write" => asked.page = Some(value()?.into()),
            "--only" => asked.only = Some(value()?),
            flag if flag.starts_with('-') => bail!("there is no flag `{flag}`"),
            family => asked.families.push(family.to_owned()),
        }
    }
    if asked.families.is_empty() {
        asked.families = FAMILIES.map(str::to_owned).to_vec();
    }
    Ok(asked)
}

//! What a program says in code means what a file says, and is refused by the same rules.

use std::{path::Path, time::Duration};

use blackhole_config::{HostFacts, Loaded, Overrides, Rejected, Source, Table, Value, load};

use toml::de::{DeTable, DeValue};

use crate::host::host;

fn load_code(table: Table, over: Option<Source>) -> Result<Loaded, Rejected> {
    let source = Source::Code { table, over: over.map(Box::new), folder: "/etc/blackhole".into() };
    load(source, &Overrides::default(), &host())
}

/// The file's text as calls would have written it.
fn as_code(text: &str) -> Table {
    fn integer(digits: &str, radix: u32) -> Value {
        i64::from_str_radix(digits, radix).map_or(Value::Text(digits.into()), Value::Integer)
    }
    fn value(written: &DeValue<'_>) -> Value {
        match written {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => integer(number.as_str(), number.radix()),
            DeValue::Float(number) => Value::Float(number.as_str().parse().expect("a number")),
            DeValue::Boolean(bool) => Value::Bool(*bool),
            DeValue::Datetime(moment) => Value::Text(moment.to_string()),
            DeValue::Array(values) => {
                Value::List(values.iter().map(|element| value(element.get_ref())).collect())
            }
            DeValue::Table(entries) => Value::Table(table(entries)),
        }
    }
    fn table(entries: &DeTable<'_>) -> Table {
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut table = Table::new();
        for (key, entry) in entries {
            table.set(key.get_ref().to_string(), value(entry.get_ref()));
        }
        table
    }
    table(DeTable::parse(text).expect("the file is TOML").get_ref())
}

fn files(folder: &str) -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|it| it == "toml")).collect()
}

#[test]
fn every_example_means_the_same_in_code() {
    for path in files("examples") {
        let folder = path.parent().expect("a folder").to_path_buf();
        let text = std::fs::read_to_string(&path).expect("a file");
        let table = as_code(&text);
        let name = path.display().to_string();
        let file = Source::Text { name, text, folder: folder.clone() };
        let code = Source::Code { table, over: None, folder };
        let [file, code] = [file, code].map(|source| {
            let loaded = load(source, &Overrides::default(), &host());
            format!("{:#?}", loaded.unwrap_or_else(|rejected| panic!("{rejected}")).config)
        });
        assert_eq!(file, code, "{}", path.display());
    }
}

/// Files that are wrong as files, before they mean anything, have no counterpart in code.
#[test]
fn every_mistake_of_a_file_is_one_in_code() {
    let mut compared = 0;
    for path in files("rejected") {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if DeTable::parse(&text).is_err() {
            continue;
        }
        compared += 1;
        let folder = path.parent().expect("a folder").to_path_buf();
        let host = HostFacts { current_dir: folder.clone(), ..host() };
        let table = as_code(&text);
        let file = Source::Path(path.clone());
        let code = Source::Code { table, over: None, folder };
        let [mut file, mut code] = [file, code].map(|source| {
            let rejected = load(source, &Overrides::default(), &host).expect_err("it is refused");
            let problems = rejected.problems.into_iter();
            problems.map(|problem| (problem.key_path, problem.message)).collect::<Vec<_>>()
        });
        // Code has no dates that it could mistake for something else.
        let dates: Vec<String> = file
            .iter()
            .filter(|(_, message)| message.ends_with("not a date or time"))
            .map(|(key, _)| key.clone())
            .collect();
        for problems in [&mut file, &mut code] {
            problems.retain(|(key, _)| !dates.contains(key));
        }
        // Their order is that of the calls.
        file.sort();
        code.sort();
        assert_eq!(file, code, "{}", path.display());
    }
    assert!(compared >= 20, "only {compared} files");
}

#[test]
fn a_problem_of_code_names_the_key_and_the_line_that_wrote_it() {
    let mut table = Table::new();
    let line = line!() + 1;
    table.table("services").table("api").set("command", ["true"]).set("restart", "allways");
    let rejected = load_code(table, None).expect_err("there is no such restart");
    let problem = &rejected.problems[0];
    assert_eq!(problem.key_path, "services.api.restart");
    assert!(problem.file.ends_with("coding.rs"), "{}", problem.file);
    assert_eq!(problem.line, line as usize);
    let column = problem.column;
    let report = rejected.to_string().replace(file!(), "coding.rs");
    let report = report.replace(&format!("{line}:{column}"), "LINE");
    assert_eq!(
        report,
        "error: `services.api.restart` must be one of \"permanent\", \"transient\", \"temporary\"\n\
         --> coding.rs:LINE\n = note: found \"allways\"\n = hint: what others call \"always\" is \"permanent\" here\n\n\
         this program: 1 error"
    );
}

#[test]
fn code_wins_over_the_file_below_it_key_by_key() {
    let text = "[services.api]\ncommand = [\"sleep\", \"1\"]\ninstances = 2\n\
                backoff = { initial = \"1s\", max = \"2s\" }\n";
    let file = Source::Text { name: "below.toml".into(), text: text.into(), folder: "/srv".into() };
    let mut table = Table::new();
    let services = table.table("services");
    services.table("api").table("backoff").set("max", Duration::from_millis(1500));
    services.table("worker").set("command", ["true"]).push("depends_on", "api");
    let config = load_code(table, Some(file)).expect("it is valid").config;
    let api = &config.services[0];
    assert_eq!((api.instances.get(), api.backoff.initial), (2, Duration::from_secs(1)));
    assert_eq!(api.backoff.max, Duration::from_millis(1500));
    let members: Vec<&str> = config.supervisor.members.iter().map(|name| name.as_str()).collect();
    assert_eq!(members, ["api", "worker"]);
}

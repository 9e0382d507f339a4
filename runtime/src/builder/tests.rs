//! Everything that a file can say, code can say: each key of the schema with `set`, and each table and
//! each key of a service with a call of its own.

mod calls;
mod keys;

use blackhole_config::{HostFacts, Overrides, Source, Table, load};

use super::NodeBuilder;
use crate::service::{Context, Routes, Service, ServiceError};

/// What a description means, or every problem with it: key and rule, in the order of the keys.
#[derive(Debug, PartialEq)]
enum Meaning {
    Config(String),
    Refused(Vec<(String, String)>),
}

/// The service that is described; natives are known by their names.
const SERVICE: &str = "it";

struct It;

impl Service for It {
    const NAME: &'static str = SERVICE;
    type Settings = serde::de::IgnoredAny;

    async fn start(_: Context<Self::Settings>) -> Result<Self, ServiceError> {
        Ok(Self)
    }

    fn register(&self, _: &mut Routes) {}
}

fn of_text(text: String) -> Meaning {
    meaning(Source::Text { name: "a text".into(), text, folder: "/etc".into() })
}

fn of_code(builder: NodeBuilder) -> Meaning {
    let mut table: Table = builder.table;
    table.absorb(builder.members.table);
    meaning(Source::Code { table, over: None, folder: "/etc".into() })
}

fn meaning(source: Source) -> Meaning {
    let host = HostFacts {
        hostname: "test-host".into(),
        current_dir: "/".into(),
        native_services: vec![SERVICE.into()],
        ..HostFacts::default()
    };
    match load(source, &Overrides::default(), &host) {
        Ok(loaded) => Meaning::Config(format!("{:#?}", loaded.config)),
        Err(rejected) => {
            let problems = rejected.problems.into_iter();
            let mut told: Vec<_> = problems.map(|it| (it.key_path, it.message)).collect();
            told.sort();
            Meaning::Refused(told)
        }
    }
}

//! What there is to measure, by name.
//!
//! A family is a module with a `measure`; to add one, write it and name it here. `benches/run`,
//! `--json` and the page find it by this list.

use std::path::Path;

use crate::{Figure, footprint, growth, instructions, link, native, spawn, supervision};

/// Things that are measured together, against the same limit.
#[derive(Debug)]
pub struct Family {
    /// As it is asked for, and as it stands in lines of JSON.
    pub name: &'static str,
    /// What its figures are about, in one line of the page.
    pub about: &'static str,
    /// Its cases, and what is counted in each.
    pub cases: &'static [(&'static str, &'static str)],
    /// Measures all of it, its subjects in turns.
    pub measure: fn(&Setting<'_>) -> anyhow::Result<Findings>,
}

/// Every family, in the order of the page.
pub const ALL: [Family; 7] = [
    Family {
        name: "supervision",
        about: "Starting, replacing, holding and stopping children.",
        cases: &supervision::CASES,
        measure: supervision::measure,
    },
    Family {
        name: "spawn",
        about: "What limits add to a start, from the call until the program is executed.",
        cases: &spawn::CASES,
        measure: spawn::measure,
    },
    Family {
        name: "link",
        about: "Messages between actors of two processes.",
        cases: &link::CASES,
        measure: link::measure,
    },
    Family {
        name: "native",
        about: "How long the clients of a native service are without it.",
        cases: &native::CASES,
        measure: native::measure,
    },
    Family {
        name: "growth",
        about: "Exponents of cost against size: 1 is linear.",
        cases: &growth::CASES,
        measure: growth::measure,
    },
    Family {
        name: "footprint",
        about: "What `bh` takes before it does anything.",
        cases: &footprint::CASES,
        measure: footprint::measure,
    },
    Family {
        name: "instructions",
        about: "Instructions of the hot paths, counted by valgrind, for one repetition of each.",
        cases: &instructions::CASES,
        measure: instructions::measure,
    },
];

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Enough for a result that is kept.
    Whole,
    /// Enough to see whether a change helps: a minute or two for each family.
    Brief,
}

/// What a family is given.
pub struct Setting<'a> {
    /// The folder of `bh` and of this package's own programs.
    pub programs: &'a Path,
    /// How much is measured.
    pub extent: Extent,
    /// Only these peers; all that are installed if absent.
    pub only: Option<Vec<String>>,
    /// Hears what is being measured.
    pub tell: &'a dyn Fn(&str),
}

impl Setting<'_> {
    /// Whether a peer, or `bh`, is to be measured. The limit always is.
    pub fn wants(&self, subject: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|name| name == subject))
    }

    /// One of this package's programs, or `bh`.
    ///
    /// # Errors
    /// When it is not built.
    pub fn program(&self, name: &str) -> anyhow::Result<std::path::PathBuf> {
        let path = self.programs.join(name);
        anyhow::ensure!(path.exists(), "`{}` is missing: use `benches/run`", path.display());
        Ok(path.canonicalize()?)
    }
}

/// What came out of one family.
#[derive(Debug, Default)]
pub struct Findings {
    /// In the order of measuring.
    pub figures: Vec<Figure>,
    /// Of everything that was measured: its name and its version.
    pub versions: Vec<(&'static str, String)>,
    /// What a reader must know to judge the figures, such as who was left out and why.
    pub remarks: Vec<String>,
}

//! The table in the README says what was observed: by the fixture `observe` on this host, or, where
//! `BLACKHOLE_OBSERVED` names a file, by the runs whose lines that file holds.
//!
//! Columns that nobody observed stay as they are. `UPDATE_MATRIX=1` writes what differs.

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

const COLUMNS: [&str; 6] = ["v1-root", "v1-user", "v2-root", "v2-user", "none-root", "none-user"];
const HEAD: &str =
    "| limit | v1, root | v1, user | v2, root | v2, user | none, root | none, user |";
const BEGIN: &str = "<!-- matrix -->\n";
const END: &str = "<!-- end of matrix -->\n";
/// From what is best to what is worst.
const OUTCOMES: [&str; 4] = ["enforced", "accepted", "downgraded", "refused"];
/// Hosts of the same kind differ in these: whether there is swap, a disk's scheduler, a disk that can be
/// throttled, all of root's capabilities, namespaces of users, v2 beside v1. The table has the best that was seen,
/// and a host that does worse is believed; the emulated machines, which are always the same, are not.
const DEPENDS_ON_HOST: [&str; 12] = [
    "swap max",
    "io weight",
    "io per device",
    "bandwidth",
    "io per device: buffered writes",
    "i/o priority: later",
    "rlimits above the node's",
    "private /tmp",
    "read-only paths",
    "hidden paths",
    "no network",
    "own processes",
];

/// The only cell in which a host does better than the emulated machines: they have no v2 beside v1.
const BETTER_ELSEWHERE: (&str, &str) = ("v1-root", "bandwidth");

/// Shares of time, which an emulated machine cannot measure while its host is busy: there a share that
/// was too large says nothing, and the table keeps what it has.
const BY_THE_CLOCK: [&str; 2] = ["cpu quota", "cpu weight"];

/// Who observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Here,
    EmulatedMachines,
}

impl Where {
    fn may_do_worse(self, column: &str, limit: &str) -> bool {
        match self {
            Self::Here => DEPENDS_ON_HOST.contains(&limit),
            Self::EmulatedMachines => (column, limit) == BETTER_ELSEWHERE,
        }
    }
}

/// Rows in the order in which they were first seen.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Matrix {
    rows: Vec<(String, BTreeMap<String, String>)>,
}

impl Matrix {
    fn cells(&mut self, limit: &str) -> &mut BTreeMap<String, String> {
        let known = self.rows.iter().position(|(name, _)| name == limit);
        let index = known.unwrap_or_else(|| {
            self.rows.push((limit.to_owned(), BTreeMap::new()));
            self.rows.len() - 1
        });
        &mut self.rows[index].1
    }

    fn parse(table: &str) -> Self {
        let mut matrix = Self::default();
        for line in table.lines().skip(2) {
            let mut words = line.trim_matches(['|', ' ']).split(" | ").map(str::trim);
            let limit = words.next().unwrap_or_default();
            for (column, word) in COLUMNS.iter().zip(words).filter(|(_, word)| *word != "?") {
                matrix.cells(limit).insert((*column).to_owned(), word.to_owned());
            }
        }
        matrix
    }

    fn observed(lines: &str, by: Where) -> Self {
        let mut matrix = Self::default();
        for line in lines.lines().filter(|line| line.starts_with("observed | ")) {
            let words: Vec<&str> = line.split(" | ").map(str::trim).collect();
            let [_, column, limit, outcome, why] = words.as_slice() else {
                panic!("no observation: {line}")
            };
            if by == Where::EmulatedMachines
                && *outcome == "ignored"
                && BY_THE_CLOCK.contains(limit)
            {
                continue;
            }
            assert_ne!(
                *outcome, "ignored",
                "{column}: {limit} was accepted and did not hold: {why}"
            );
            matrix.cells(limit).insert((*column).to_owned(), (*outcome).to_owned());
        }
        matrix
    }

    /// What was observed, over what is known of columns that were not.
    fn over(self, known: &Self, by: Where) -> Self {
        let mut merged = self.clone();
        for (limit, cells) in &known.rows {
            for (column, word) in cells {
                let cell =
                    merged.cells(limit).entry(column.clone()).or_insert_with(|| word.clone());
                let rank = |word: &str| OUTCOMES.iter().position(|it| *it == word);
                if by.may_do_worse(column, limit) && rank(word) < rank(cell) {
                    cell.clone_from(word);
                }
            }
        }
        merged
    }

    /// Rows that nobody observed this time keep their places.
    fn in_order_of(mut self, known: &Self) -> Self {
        let place = |limit: &String| known.rows.iter().position(|(name, _)| name == limit);
        self.rows.sort_by_key(|(limit, _)| place(limit).unwrap_or(usize::MAX));
        self
    }

    fn table(&self) -> String {
        let mut text = format!("{HEAD}\n|{}\n", "---|".repeat(COLUMNS.len() + 1));
        for (limit, cells) in &self.rows {
            let words = COLUMNS.map(|column| cells.get(column).map_or("?", String::as_str));
            text += &format!("| {limit} | {} |\n", words.join(" | "));
        }
        text
    }
}

/// A host with v1 hierarchies is called so even if it has v2 as well: there the controllers are on v1.
fn kind() -> &'static str {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let has = |kind: &str| mounts.lines().any(|line| line.contains(&format!(" - {kind} ")));
    match (mounts.contains(",memory") && has("cgroup"), has("cgroup2")) {
        (true, _) => "v1",
        (false, true) => "v2",
        (false, false) => "none",
    }
}

fn observe(mut command: Command) -> String {
    let output = command.output().expect("the fixture starts");
    let (text, error) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(text).expect("text")
}

fn observe_here() -> String {
    let program = || Command::new(env!("CARGO_BIN_EXE_observe"));
    let mut none = program();
    if !rustix::process::geteuid().is_root() {
        none.args(["none-user", "--without-groups"]);
        return observe(none);
    }
    none.args(["none-root", "--without-groups"]);
    let mut own = program();
    own.arg(format!("{}-root", kind())).args(["--disk", env!("CARGO_TARGET_TMPDIR")]);
    let own = if kind() == "none" { String::new() } else { observe(own) };
    own + &observe(none) + &as_user()
}

/// The programs are copied to where an ordinary user can execute them.
fn as_user() -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let everybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory.path(), everybody).expect("it is ours");
    for program in [env!("CARGO_BIN_EXE_observe"), env!("CARGO_BIN_EXE_misbehave")] {
        let name = Path::new(program).file_name().expect("a file");
        fs::copy(program, directory.path().join(name)).expect("there is room");
    }
    let mut user = Command::new("setpriv");
    user.args(["--reuid=1000", "--regid=1000", "--clear-groups"])
        .arg(directory.path().join("observe"))
        .args(["none-user", "--without-groups"])
        .current_dir("/");
    observe(user)
}

#[test]
fn the_table_in_the_readme_is_what_was_observed() {
    let (by, lines) = match env::var_os("BLACKHOLE_OBSERVED") {
        Some(file) => {
            let lines = fs::read_to_string(file).expect("the lines that were observed");
            (Where::EmulatedMachines, lines)
        }
        None => (Where::Here, observe_here()),
    };
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).expect("the README is there");
    let (before, rest) = readme.split_once(BEGIN).expect("the table begins");
    let (table, after) = rest.split_once(END).expect("the table ends");
    let known = Matrix::parse(table);
    let now = Matrix::observed(&lines, by).over(&known, by).in_order_of(&known).table();
    if env::var_os("UPDATE_MATRIX").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{now}{END}{after}")).expect("it is written");
        return;
    }
    assert!(
        now == table,
        "what was observed:\n{lines}\nthe table would be\n{now}\nand is\n{table}\n\
         hint: UPDATE_MATRIX=1 cargo test -p blackhole-isolation --test matrix"
    );
}

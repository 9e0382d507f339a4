//! The parser of bytes from outside that no file of ours contains, for who tries to break it: files of
//! environment variables.
//!
//! It takes any bytes and panics where a promise of the parser is broken. It is no interface for programs.

use crate::{raw::variable_name_rule, validate::environment::parse};

/// A file of variables: each line is one, or nothing, or is told to be wrong; what was read can be written
/// so that it is read as the same.
pub fn environment_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (variables, wrong) = parse(&text);
    assert!(variables.len() + wrong.len() <= text.lines().count(), "more than lines");
    for (name, value) in variables {
        assert_eq!(variable_name_rule(&name), None, "{name:?}");
        assert!(!value.contains('\0'), "{name} would end before its end");
        let written = format!("export {name}=\"{}\"", escaped(&value));
        assert_eq!(parse(&written), (vec![(name, value)], Vec::new()), "{written}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

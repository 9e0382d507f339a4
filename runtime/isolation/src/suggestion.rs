//! The known name that a reader probably meant.

/// Below this likeness (0 to 1) two names have nothing to do with each other.
const LIKENESS_MIN: f64 = 0.85;

/// A last line for an error about `unknown`: the known name most like it, if any is.
pub(crate) fn hint<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> String {
    let unknown = unknown.to_ascii_lowercase();
    known
        .map(|name| (strsim::jaro_winkler(&unknown, name), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map_or_else(String::new, |(_, name)| format!("\nhint: did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_answered_and_what_is_far_from_every_name_is_not() {
        let hint = |unknown| hint(unknown, ["socket", "dup", "net_bind_service"].into_iter());
        assert_eq!(hint("SOCKET"), "\nhint: did you mean `socket`?");
        assert_eq!(hint("net_bind_servce"), "\nhint: did you mean `net_bind_service`?");
        assert_eq!(hint("madeup_call"), "");
    }
}

//! What a datagram says: lines of `KEY=value`. Pure; the bytes come from outside and are not
//! trusted.

use std::time::Duration;

/// Longer status texts are cut, in characters.
const STATUS_LENGTH_MAX: usize = 256;

/// One thing that the child told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `READY=1`: it is up, or done with reloading.
    Ready,
    /// `RELOADING=1`: it reads its configuration again; `READY=1` follows.
    Reloading,
    /// `STOPPING=1`: it has begun to stop.
    Stopping,
    /// `STATUS=…`: what it is doing, for people; one line without control characters.
    Status(String),
    /// `ERRNO=…`: why it is about to fail.
    Errno(u16),
    /// `WATCHDOG=1`: a sign of life.
    WatchdogKicked,
    /// `WATCHDOG=trigger`: it knows itself to be stuck.
    WatchdogTriggered,
    /// `WATCHDOG_USEC=…`: from now on signs of life come at least this often.
    WatchdogTimeout(Duration),
    /// `EXTEND_TIMEOUT_USEC=…`: starting or stopping takes at least so long from now.
    TimeoutExtended(Duration),
}

/// An assignment that is not obeyed, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// The main process is the one that the node started.
    #[error("`MAINPID={0}` is refused: the main process is the one that was started")]
    MainPid(String),
    /// The node keeps listening sockets by itself (`listen`), and stores no others.
    #[error("`{0}` is refused: the node stores no descriptors, use `listen`")]
    DescriptorStore(&'static str),
    /// The value has the wrong form.
    #[error("`{key}={value}` is refused: expected {expected}")]
    Malformed {
        /// The key.
        key: &'static str,
        /// As sent, cut if long.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
}

/// Reads a datagram. Keys that are unknown here are skipped, as the protocol asks; so are lines
/// without `=` and bytes that are not UTF-8.
pub(crate) fn parse(datagram: &[u8]) -> (Vec<Change>, Vec<ChangeRefused>) {
    let text = String::from_utf8_lossy(datagram);
    let (mut changes, mut refused) = (Vec::new(), Vec::new());
    for (key, value) in text.split('\n').filter_map(|line| line.split_once('=')) {
        match assignment(key, value.trim_end_matches('\0')) {
            Some(Ok(change)) => changes.push(change),
            Some(Err(refusal)) => refused.push(refusal),
            None => {}
        }
    }
    (changes, refused)
}

fn assignment(key: &str, value: &str) -> Option<Result<Change, ChangeRefused>> {
    Some(match key {
        "READY" => flag("READY", value, Change::Ready),
        "RELOADING" => flag("RELOADING", value, Change::Reloading),
        "STOPPING" => flag("STOPPING", value, Change::Stopping),
        "STATUS" => Ok(Change::Status(one_line(value))),
        "ERRNO" => {
            let errno = value.parse().ok().filter(|errno| (1..4096).contains(errno));
            errno.map(Change::Errno).ok_or_else(|| malformed("ERRNO", value, "an error number"))
        }
        "WATCHDOG" => match value {
            "1" => Ok(Change::WatchdogKicked),
            "trigger" => Ok(Change::WatchdogTriggered),
            _ => Err(malformed("WATCHDOG", value, "`1` or `trigger`")),
        },
        "WATCHDOG_USEC" => microseconds("WATCHDOG_USEC", value).map(Change::WatchdogTimeout),
        "EXTEND_TIMEOUT_USEC" => {
            microseconds("EXTEND_TIMEOUT_USEC", value).map(Change::TimeoutExtended)
        }
        "MAINPID" => Err(ChangeRefused::MainPid(one_line(value))),
        "FDSTORE" => Err(ChangeRefused::DescriptorStore("FDSTORE")),
        "FDSTOREREMOVE" => Err(ChangeRefused::DescriptorStore("FDSTOREREMOVE")),
        _ => return None,
    })
}

fn flag(key: &'static str, value: &str, change: Change) -> Result<Change, ChangeRefused> {
    if value == "1" { Ok(change) } else { Err(malformed(key, value, "`1`")) }
}

fn microseconds(key: &'static str, value: &str) -> Result<Duration, ChangeRefused> {
    match value.parse() {
        Ok(micros) if micros > 0 => Ok(Duration::from_micros(micros)),
        Ok(_) | Err(_) => Err(malformed(key, value, "microseconds, more than 0")),
    }
}

fn malformed(key: &'static str, value: &str, expected: &'static str) -> ChangeRefused {
    ChangeRefused::Malformed { key, value: one_line(value), expected }
}

/// What a child says of itself, for people: on one line, and cut at [`STATUS_LENGTH_MAX`] characters.
pub(crate) fn one_line(value: &str) -> String {
    let printable = |character: char| {
        if character.is_control() { ' ' } else { character }
    };
    value.chars().map(printable).take(STATUS_LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_assignment_of_a_datagram_counts_in_its_order() {
        let datagram = b"RELOADING=1\nMONOTONIC_USEC=123\nSTATUS=reading \x1b[31mit\nREADY=1\n\
            WATCHDOG=1\nWATCHDOG=trigger\nWATCHDOG_USEC=20000000\nEXTEND_TIMEOUT_USEC=5\n\
            ERRNO=2\nSTOPPING=1\nX_OTHER=1\nBARRIER=1\nnonsense\n";
        let (changes, refused) = parse(datagram);
        assert_eq!(refused, []);
        assert_eq!(
            changes,
            [
                Change::Reloading,
                Change::Status("reading  [31mit".to_owned()),
                Change::Ready,
                Change::WatchdogKicked,
                Change::WatchdogTriggered,
                Change::WatchdogTimeout(Duration::from_secs(20)),
                Change::TimeoutExtended(Duration::from_micros(5)),
                Change::Errno(2),
                Change::Stopping,
            ]
        );
    }

    #[test]
    fn what_is_refused_says_why_and_the_rest_counts() {
        let datagram = b"MAINPID=7\nFDSTORE=1\nREADY=yes\nWATCHDOG_USEC=0\nERRNO=-1\nREADY=1";
        let (changes, refused) = parse(datagram);
        assert_eq!(changes, [Change::Ready]);
        let texts: Vec<String> = refused.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(texts.join("\n"), @"
        `MAINPID=7` is refused: the main process is the one that was started
        `FDSTORE` is refused: the node stores no descriptors, use `listen`
        `READY=yes` is refused: expected `1`
        `WATCHDOG_USEC=0` is refused: expected microseconds, more than 0
        `ERRNO=-1` is refused: expected an error number
        ");
    }

    proptest! {
        #[test]
        fn no_datagram_breaks_the_parser_or_grows(
            datagram in proptest::collection::vec(any::<u8>(), 0..4096)
        ) {
            let lines = datagram.split(|&byte| byte == b'\n').count();
            let (changes, refused) = parse(&datagram);
            prop_assert!(changes.len() + refused.len() <= lines);
        }

        #[test]
        fn no_value_breaks_the_parser_or_prints_control_characters(
            key in "READY|STATUS|ERRNO|WATCHDOG|WATCHDOG_USEC|EXTEND_TIMEOUT_USEC|MAINPID|FDSTORE",
            value in "\\PC*|[0-9]{1,40}|.*",
        ) {
            let (changes, refused) = parse(format!("{key}={value}").as_bytes());
            prop_assert!(changes.len() + refused.len() >= 1);
            for change in changes {
                if let Change::Status(text) = change {
                    prop_assert!(!text.chars().any(char::is_control));
                    prop_assert!(text.chars().count() <= STATUS_LENGTH_MAX);
                }
            }
        }
    }
}

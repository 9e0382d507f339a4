//! How numbers, times and states are written for people and in JSON.

use blackhole_protocol::control::v1::{InstanceState, NodeState, ServiceKind, UsageScope};
use jiff::{Timestamp, fmt::temporal::DateTimePrinter, tz::TimeZone};
use prost_types as proto;

const MILLISECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// A moment as the standard library of times has it; `None` when it is absent or out of range.
pub(crate) fn moment(at: Option<&proto::Timestamp>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
}

/// RFC 3339 in UTC, with milliseconds.
pub(crate) fn rfc3339(at: Option<&proto::Timestamp>) -> Option<String> {
    moment(at).map(|at| MILLISECONDS.timestamp_to_string(&at))
}

/// A moment in UTC, as [`rfc3339`].
pub(crate) fn utc(at: Timestamp) -> String {
    MILLISECONDS.timestamp_to_string(&at)
}

/// Date and time in the host's time zone, with milliseconds, for people.
pub(crate) fn local(at: Option<&proto::Timestamp>) -> String {
    let local = moment(at).map(|at| at.to_zoned(TimeZone::system()));
    local.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string())
}

/// Seconds with three decimals.
pub(crate) fn seconds(duration: Option<&proto::Duration>) -> Option<f64> {
    let duration = duration?;
    let milliseconds = duration.seconds * 1000 + i64::from(duration.nanos / 1_000_000);
    #[expect(clippy::cast_precision_loss, reason = "an uptime has far fewer than 53 bits")]
    Some(milliseconds as f64 / 1000.0)
}

/// The two largest units, as `3d 4h`, `5m 6s`, `7s` or `80ms`.
pub(crate) fn duration(duration: Option<&proto::Duration>) -> String {
    let Some(duration) = duration else {
        return "-".to_owned();
    };
    span(duration.seconds, i64::from(duration.nanos / 1_000_000))
}

/// How long ago, as `5m 6s ago`.
pub(crate) fn ago(at: Option<&proto::Timestamp>, now: Timestamp) -> String {
    moment(at).map_or_else(String::new, |at| {
        format!("{} ago", span(now.duration_since(at).as_secs().max(0), 0))
    })
}

fn span(seconds: i64, milliseconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes, seconds) {
        (0, 0, 0, 0) if milliseconds > 0 => format!("{milliseconds}ms"),
        (0, 0, 0, _) => format!("{seconds}s"),
        (0, 0, _, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// As `812 KiB` or `1.2 GiB`.
pub(crate) fn bytes(count: Option<u64>) -> String {
    let Some(count) = count else {
        return "-".to_owned();
    };
    #[expect(clippy::cast_precision_loss, reason = "one decimal is printed")]
    let kibibytes = count as f64 / 1024.0;
    match kibibytes {
        small if small < 1024.0 => format!("{small:.0} KiB"),
        middle if middle < 1024.0 * 1024.0 => format!("{:.1} MiB", middle / 1024.0),
        large => format!("{:.1} GiB", large / (1024.0 * 1024.0)),
    }
}

/// Bytes that a message carries among other amounts.
pub(crate) fn whole_bytes(amount: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the conversion saturates, and an amount is whole and not negative"
    )]
    let bytes = amount as u64;
    bytes
}

/// `ready`, `backing_off` and so on: the last part of the value's name in the .proto file.
pub(crate) fn instance_state(state: InstanceState) -> String {
    word(state.as_str_name(), "INSTANCE_STATE_")
}

/// `starting`, `running`, `stopping`.
pub(crate) fn node_state(state: NodeState) -> String {
    word(state.as_str_name(), "NODE_STATE_")
}

/// `command`, `native`, `embedded`.
pub(crate) fn service_kind(kind: ServiceKind) -> String {
    word(kind.as_str_name(), "SERVICE_KIND_")
}

/// `group`, `processes`, `node`.
pub(crate) fn usage_scope(scope: UsageScope) -> String {
    word(scope.as_str_name(), "USAGE_SCOPE_")
}

fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// The text with control characters written out, so that what a service says about itself cannot
/// steer the terminal or break a table.
pub(crate) fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut visible, character| {
        if character.is_control() {
            visible.extend(character.escape_default());
        } else {
            visible.push(character);
        }
        visible
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_their_two_largest_units() {
        let written = |seconds, nanos| duration(Some(&proto::Duration { seconds, nanos }));
        assert_eq!(written(0, 80_000_000), "80ms");
        assert_eq!(written(59, 999_000_000), "59s");
        assert_eq!(written(61, 0), "1m 1s");
        assert_eq!(written(3 * 3600 + 59, 0), "3h 0m");
        assert_eq!(written(2 * 86400 + 5 * 3600, 0), "2d 5h");
        assert_eq!(duration(None), "-");
    }

    #[test]
    fn sizes_have_the_unit_that_suits_them() {
        assert_eq!(bytes(Some(0)), "0 KiB");
        assert_eq!(bytes(Some(900 * 1024)), "900 KiB");
        assert_eq!(bytes(Some(1536 * 1024)), "1.5 MiB");
        assert_eq!(bytes(Some(3 << 30)), "3.0 GiB");
    }

    #[test]
    fn a_text_cannot_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\nb");
    }

    #[test]
    fn times_that_are_absent_or_impossible_are_none() {
        assert_eq!(rfc3339(None), None);
        assert_eq!(rfc3339(Some(&proto::Timestamp { seconds: i64::MAX, nanos: 0 })), None);
    }
}

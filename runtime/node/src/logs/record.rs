//! What one line of a service's output becomes.

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use blackhole_protocol::InstanceId;
use prost_types::Timestamp;

/// A line that a service printed.
///
/// Texts are safe to show: control characters and bytes that are not UTF-8 were replaced by visible
/// escapes when the line was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it was read or, where the service wrote a plausible time of its own, that time.
    pub at: SystemTime,
    /// The node's name.
    pub node: Arc<str>,
    /// Which process printed it.
    pub origin: Arc<Origin>,
    /// Where it was printed.
    pub stream: Stream,
    /// How important it is.
    pub level: Level,
    /// The text.
    pub message: String,
    /// What else a JSON line said: the text of a JSON object, or empty.
    pub fields: String,
}

/// The process that printed a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The service and its instance.
    pub instance: InstanceId,
    /// Which incarnation of the instance.
    pub generation: u64,
    /// Its process id, as the node sees it.
    pub pid: u32,
}

/// Which output of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

impl Stream {
    /// Both, in the order of their numbers.
    pub(crate) const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// `stdout` or `stderr`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// Position in [`Stream::ALL`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }
}

/// How important a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Every step.
    Trace,
    /// For developers.
    Debug,
    /// Ordinary; also what is not said otherwise.
    Info,
    /// Will be retried or got around.
    Warn,
    /// Someone must act; includes what other systems call fatal, critical, alert or emergency.
    Error,
}

impl Level {
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The text names no [`Level`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a level: known levels are trace, debug, info, warn, error")]
pub struct UnknownLevel;

impl FromStr for Level {
    type Err = UnknownLevel;

    /// Understands, in any case, the words of syslog, of Google's `severity` and of common libraries.
    fn from_str(word: &str) -> Result<Self, UnknownLevel> {
        const WORDS: [(&str, Level); 19] = [
            ("info", Level::Info),
            ("error", Level::Error),
            ("warn", Level::Warn),
            ("warning", Level::Warn),
            ("debug", Level::Debug),
            ("trace", Level::Trace),
            ("information", Level::Info),
            ("notice", Level::Info),
            ("log", Level::Info),
            ("default", Level::Info),
            ("err", Level::Error),
            ("fatal", Level::Error),
            ("panic", Level::Error),
            ("crit", Level::Error),
            ("critical", Level::Error),
            ("alert", Level::Error),
            ("emerg", Level::Error),
            ("emergency", Level::Error),
            ("verbose", Level::Trace),
        ];
        let known = WORDS.iter().find(|(known, _)| word.eq_ignore_ascii_case(known));
        known.map(|(_, level)| *level).ok_or(UnknownLevel)
    }
}

/// One item of a stream of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A record.
    Record(Arc<Record>),
    /// So many records are missing here, because the receiver was slower than the services.
    Skipped(u64),
}

/// RFC 3339 in UTC with microseconds, always 27 characters, so that texts sort like times.
/// Times outside the years 1970 to 9999 become the nearest of these.
pub fn timestamp(at: SystemTime) -> String {
    const LATEST: Duration = Duration::from_secs(253_402_300_799);
    let since_epoch = at.duration_since(UNIX_EPOCH).unwrap_or_default().min(LATEST);
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let micros = since_epoch.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Reads RFC 3339; a space instead of the `T` and a missing offset (UTC) are accepted.
pub fn parse_timestamp(text: &str) -> Option<SystemTime> {
    text.parse::<Timestamp>().ok()?.try_into().ok()
}

/// Year, month and day of a day counted from 1970-01-01, by Howard Hinnant's `civil_from_days`.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_agree_with_an_independent_implementation() {
        for seconds in (0..253_402_300_799_u64).step_by(86_400 * 13 + 3_607) {
            let at = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(7);
            let text = timestamp(at);
            assert_eq!(text.len(), 27, "{text}");
            assert_eq!(parse_timestamp(&text), Some(at), "{text}");
        }
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(timestamp(before), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn level_words_are_understood_in_any_case() {
        assert_eq!("WARNING".parse(), Ok(Level::Warn));
        assert_eq!("Fatal".parse(), Ok(Level::Error));
        assert_eq!("loud".parse::<Level>(), Err(UnknownLevel));
    }
}

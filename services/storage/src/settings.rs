//! `[services.storage.settings]` of the file.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

use crate::HashAlgorithm;

/// What the file may set. Absent keys have defaults; unknown ones are refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How large a block may be; `"1GiB"` unless set.
    pub size_max: ByteSize,
    /// What names a block whose uploader does not choose: `"blake3"` (the default) or `"sha2-256"`.
    pub hash: HashAlgorithm,
    /// How many uploads may run at a time; 64 unless set. Each takes up to 4.5 MiB of memory.
    pub uploads_max: u16,
    /// How many downloads may run at a time; 256 unless set. Each takes up to 512 KiB of memory.
    pub downloads_max: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            size_max: ByteSize(1 << 30),
            hash: HashAlgorithm::Blake3,
            uploads_max: 64,
            downloads_max: 256,
        }
    }
}

/// A number of bytes: in the file a number, or text with a unit such as `"1.5GiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// Why a text is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a size\nhint: a number and a unit such as B, KiB, MB or GiB: \"512MiB\"")]
pub struct ByteSizeError;

/// The same as everywhere in the file. Longer ones first, so that `B` does not match the end of `MiB`.
const UNITS: [(&str, u64); 13] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
];

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let unit = UNITS.iter().find_map(|&(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
        let (number, bytes) = unit.unwrap_or((text, 1));
        let (whole, fraction) =
            number.trim_end().split_once('.').unwrap_or((number.trim_end(), ""));
        let whole = digits(whole)?.checked_mul(bytes).ok_or(ByteSizeError)?;
        if !number.contains('.') {
            return Ok(Self(whole));
        }
        let scale = 10_u64.checked_pow(fraction.len().try_into().map_err(|_| ByteSizeError)?);
        let scale = u128::from(scale.ok_or(ByteSizeError)?);
        let part = u128::from(digits(fraction)?) * u128::from(bytes) / scale;
        let part = u64::try_from(part).map_err(|_| ByteSizeError)?;
        whole.checked_add(part).map(Self).ok_or(ByteSizeError)
    }
}

/// `u64::from_str` would take a sign.
fn digits(text: &str) -> Result<u64, ByteSizeError> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| ByteSizeError)
    } else {
        Err(ByteSizeError)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ByteSizeVisitor)
    }
}

struct ByteSizeVisitor;

impl de::Visitor<'_> for ByteSizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number of bytes, or text such as \"512MiB\"")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<ByteSize, E> {
        let unexpected = de::Unexpected::Signed(value);
        u64::try_from(value).map(ByteSize).map_err(|_| E::invalid_value(unexpected, &self))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<ByteSize, E> {
        value.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_keys_have_defaults() {
        let settings: Settings = serde_json::from_str("{}").unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.size_max, ByteSize(1_073_741_824));
        assert_eq!(settings.hash, HashAlgorithm::Blake3);
    }

    #[test]
    fn every_key_can_be_set() {
        let text = r#"{"size_max":"2MiB","hash":"sha2-256","uploads_max":3,"downloads_max":4}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        let expected = Settings {
            size_max: ByteSize(2 << 20),
            hash: HashAlgorithm::Sha2_256,
            uploads_max: 3,
            downloads_max: 4,
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_known_ones() {
        let error = serde_json::from_str::<Settings>(r#"{"max_size":1}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `max_size`, expected one of `size_max`"), "{error}");
    }

    #[test]
    fn sizes_are_numbers_or_texts_with_a_unit() {
        let size = |text| serde_json::from_str::<ByteSize>(text).map(|size| size.0);
        assert_eq!(size("17").unwrap(), 17);
        assert_eq!(size("\"17\"").unwrap(), 17);
        assert_eq!(size("\"17 B\"").unwrap(), 17);
        assert_eq!(size("\"1.5GiB\"").unwrap(), 1_610_612_736);
        assert_eq!(size("\"2MB\"").unwrap(), 2_000_000);
        let refused = [
            "-1",
            "1.5",
            "\"\"",
            "\"GiB\"",
            "\"+1\"",
            "\"-1B\"",
            "\"1.GiB\"",
            "\".5B\"",
            "\"1XB\"",
            "\"99999999999TiB\"",
        ];
        for text in refused {
            assert!(size(text).is_err(), "{text} was taken for a size");
        }
    }
}

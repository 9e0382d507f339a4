//! The rules that identity.proto states for fields, checked where requests enter.

use std::collections::HashMap;

use crate::error::Error;

const PROPERTIES_MAX: usize = 64;
const PROPERTY_KEY_LENGTH_MAX: usize = 128;
const PROPERTY_VALUE_LENGTH_MAX: usize = 4096;
const WORD_LENGTH_MAX: usize = 64;
const PASSWORD_LENGTH_MIN: usize = 8;
/// The longest password, in bytes.
pub(crate) const PASSWORD_LENGTH_MAX: usize = 1024;
/// The longest batch.
pub(crate) const BATCH_LENGTH_MAX: usize = 1000;

pub(crate) fn refuse(field: impl Into<String>, rule: impl Into<String>) -> Error {
    Error::Input { field: field.into(), rule: rule.into() }
}

/// `key`, which is also what an empty text means.
pub(crate) fn method(method: &str) -> Result<(), Error> {
    match method {
        "" | "key" => Ok(()),
        other => Err(refuse("method", format!("must be `key`, and `{other}` is not supported"))),
    }
}

pub(crate) fn properties(properties: &HashMap<String, String>) -> Result<(), Error> {
    let count = properties.len();
    if count > PROPERTIES_MAX {
        let rule = format!("has {count} entries, and {PROPERTIES_MAX} is the most");
        return Err(refuse("properties", rule));
    }
    for (key, value) in properties {
        if key.is_empty() || key.len() > PROPERTY_KEY_LENGTH_MAX {
            let rule =
                format!("has a key of {} bytes, not 1 to {PROPERTY_KEY_LENGTH_MAX}", key.len());
            return Err(refuse("properties", rule));
        }
        if value.len() > PROPERTY_VALUE_LENGTH_MAX {
            let (field, length) = (format!("properties[{key}]"), value.len());
            let rule = format!("has {length} bytes, and {PROPERTY_VALUE_LENGTH_MAX} is the most");
            return Err(refuse(field, rule));
        }
    }
    Ok(())
}

/// A username or a role.
pub(crate) fn word(field: &'static str, text: &str) -> Result<(), Error> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if first && text.len() <= WORD_LENGTH_MAX && text.bytes().all(allowed) {
        return Ok(());
    }
    let rule = "must be 1 to 64 of `a-z`, `0-9`, `.`, `_`, `-`, beginning with a letter";
    Err(refuse(field, rule))
}

/// A password that is to be kept; one that is only compared may have any length up to the bound.
pub(crate) fn new_password(password: &str) -> Result<(), Error> {
    if (PASSWORD_LENGTH_MIN..=PASSWORD_LENGTH_MAX).contains(&password.len()) {
        return Ok(());
    }
    let rule = format!("must have {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} bytes");
    Err(refuse("password", rule))
}

//! Numbers with their ranges.

use serde_json::{Value as Json, json};

use crate::{
    problem::{Draft, Problems},
    read::{Read, parsed},
    tree::{Node, Value},
};

/// An integer from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count<const MIN: i64, const MAX: i64>(pub(crate) i64);

/// Of I/O or CPU time relative to siblings, as cgroup v2 counts it.
pub(crate) type Weight = Count<1, 10_000>;
/// The scheduling priority; lower is more.
pub(crate) type Nice = Count<-20, 19>;
/// How gladly the kernel kills it when memory is short.
pub(crate) type OomScore = Count<-1000, 1000>;

impl<const MIN: i64, const MAX: i64> Read for Count<MIN, MAX> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let integer = match &node.value {
            Value::Integer(number) => number.integer(),
            other => {
                let rule = format_args!("must be an integer, not {}", node.kind());
                let hint = match other {
                    Value::Text(text) if text.parse::<i64>().is_ok() => {
                        Some(format!("write `{text}` without quotes"))
                    }
                    _ => None,
                };
                problems.push(Draft::value(node, rule).maybe_hint(hint));
                return None;
            }
        };
        match integer.filter(|n| (MIN..=MAX).contains(n)) {
            Some(integer) => Some(Self(integer)),
            None => {
                problems.push(Draft::value(node, format_args!("must be from {MIN} to {MAX}")));
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl<const MIN: i64, const MAX: i64> Count<MIN, MAX> {
    /// The number; `MIN` and `MAX` of every use fit.
    pub(crate) fn u32(self) -> u32 {
        u32::try_from(self.0).expect("the range of this key lies in u32")
    }

    /// The number; `MIN` of every use is at least 1.
    pub(crate) fn non_zero(self) -> std::num::NonZeroU32 {
        std::num::NonZeroU32::new(self.u32()).expect("the range of this key begins at 1")
    }
}

/// A number from `min` to `max`, both included.
fn number(node: &Node, problems: &mut Problems, min: f64, max: f64, rule: &str) -> Option<f64> {
    let number = match &node.value {
        Value::Integer(number) => number.integer().map(|integer| integer as f64),
        Value::Float(number) => number.digits.parse::<f64>().ok(),
        _ => {
            let rule = format_args!("must be a number, not {}", node.kind());
            problems.push(Draft::value(node, rule));
            return None;
        }
    };
    let inside = number.filter(|number| (min..=max).contains(number));
    if inside.is_none() {
        problems.push(Draft::value(node, rule));
    }
    inside
}

macro_rules! reals {
    ($( $(#[doc = $doc:literal])* $name:ident: $min:expr, $max:expr, $rule:literal; )*) => { $(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub(crate) struct $name(pub(crate) f64);

        impl Read for $name {
            fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
                number(node, problems, $min, $max, $rule).map(Self)
            }

            fn schema() -> Json {
                json!({ "type": "number", "minimum": $min, "maximum": $max })
            }
        }
    )* };
}

reals! {
    /// By how much each wait is longer than the one before.
    AtLeastOne: 1.0, 1000.0, "must be from 1 to 1000";
    /// A part of a whole.
    Share: 0.0, 1.0, "must be from 0 to 1";
}

/// Permission bits that new files do not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Umask(pub(crate) u32);

impl Read for Umask {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        const RULE: &str = "must be permission bits in octal, from \"0000\" to \"0777\"";
        let bits = match &node.value {
            Value::Integer(number) if number.radix == 8 => number.integer(),
            Value::Integer(_) => {
                let hint = format!("write \"0{}\" or `0o{}`", node.value, node.value);
                problems.push(Draft::value(node, RULE).hint(hint));
                return None;
            }
            _ => parsed(node, problems, |text| {
                i64::from_str_radix(text, 8).map_err(|_| {
                    let hint = text.strip_prefix("0o").map(|bits| format!("write \"0{bits}\""));
                    (RULE.to_owned(), hint)
                })
            })
            .map(Some)?,
        };
        match bits.filter(|bits| (0..=0o777).contains(bits)).and_then(|b| u32::try_from(b).ok()) {
            Some(bits) => Some(Self(bits)),
            None => {
                problems.push(Draft::value(node, RULE));
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [
            { "type": "string", "pattern": "^0?[0-7]{1,3}$" },
            { "type": "integer", "minimum": 0, "maximum": 0o777 },
        ] })
    }
}

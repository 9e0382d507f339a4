//! Lists of CPUs as the kernel writes them: `0-3,6`.

use std::{collections::BTreeSet, fmt, str::FromStr};

use rustix::thread::CpuSet;

/// A set of CPUs; not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuList(BTreeSet<usize>);

/// Text that is no list of CPUs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a list of cpus\nhint: write numbers and ranges, as in `0-3,6`")]
pub struct CpuListError {
    /// As written.
    pub text: String,
}

impl CpuList {
    pub(crate) fn raw(&self) -> CpuSet {
        let mut raw = CpuSet::new();
        self.0.iter().for_each(|cpu| raw.set(*cpu));
        raw
    }
}

impl CpuList {
    fn of(cpus: impl Iterator<Item = usize>) -> Option<Self> {
        let cpus: BTreeSet<_> = cpus.collect();
        (!cpus.is_empty()).then_some(Self(cpus))
    }

    /// Those that are also among `others`.
    pub(crate) fn within(&self, others: &Self) -> Option<Self> {
        Self::of(self.0.intersection(&others.0).copied())
    }

    /// Those that are not among `others`.
    pub(crate) fn without(&self, others: &Self) -> Option<Self> {
        Self::of(self.0.difference(&others.0).copied())
    }

    pub(crate) fn of_raw(raw: &CpuSet) -> Option<Self> {
        Self::of((0..CpuSet::MAX_CPU).filter(|cpu| raw.is_set(*cpu)))
    }
}

impl FromStr for CpuList {
    type Err = CpuListError;

    fn from_str(text: &str) -> Result<Self, CpuListError> {
        let parts: Option<Vec<_>> = text.trim().split(',').map(range).collect();
        let cpus: BTreeSet<usize> = parts.into_iter().flatten().flatten().collect();
        match cpus.is_empty() {
            true => Err(CpuListError { text: text.to_owned() }),
            false => Ok(Self(cpus)),
        }
    }
}

fn range(part: &str) -> Option<std::ops::RangeInclusive<usize>> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last && last < CpuSet::MAX_CPU).then_some(first..=last)
}

impl fmt::Display for CpuList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut rest = self.0.iter().copied().peekable();
        while let Some(first) = rest.next() {
            let mut last = first;
            while let Some(next) = rest.next_if_eq(&(last + 1)) {
                last = next;
            }
            match first == last {
                true => write!(formatter, "{separator}{first}")?,
                false => write!(formatter, "{separator}{first}-{last}")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written_as_the_kernel_does() {
        for (written, shown) in [("0", "0"), ("3,1,2", "1-3"), ("0-1, 4-4,6", "0-1,4,6")] {
            assert_eq!(written.parse::<CpuList>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", "a", "3-1", "0,", "-1", "0-99999999"] {
            assert!(text.parse::<CpuList>().is_err(), "{text}");
        }
    }
}

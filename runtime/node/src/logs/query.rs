//! What can be asked of the logs.

use std::{sync::Arc, time::SystemTime};

use blackhole_protocol::{InstanceId, Name};
use regex::Regex;

/// Records to look for; by default all.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Whose.
    pub instances: Filter,
    /// Only at or after this time.
    pub since: Option<SystemTime>,
    /// Only with a message or fields that match.
    pub grep: Option<Regex>,
    /// Only the last so many that match.
    pub tail: Option<usize>,
}

/// A choice of instances; by default all.
#[derive(Debug, Clone, Default)]
pub struct Filter(Option<Arc<[Selector]>>);

/// Some instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Every instance of a service.
    Service(Name),
    /// One instance.
    Instance(InstanceId),
}

impl Filter {
    /// Every instance.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only these; none when empty.
    pub fn only(selectors: impl IntoIterator<Item = Selector>) -> Self {
        Self(Some(selectors.into_iter().collect()))
    }

    /// Whether the instance is among the chosen ones.
    pub fn matches(&self, instance: &InstanceId) -> bool {
        self.0.as_ref().is_none_or(|selectors| {
            selectors.iter().any(|selector| match selector {
                Selector::Service(service) => *service == instance.service,
                Selector::Instance(chosen) => chosen == instance,
            })
        })
    }
}

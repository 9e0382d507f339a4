//! What happens when this host cannot enforce what the file asks for.

use std::error::Error;

use crate::GroupError;

/// What happens when this host cannot enforce what the file asks for. Never nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// The instance is not started.
    #[default]
    Strict,
    /// The instance is started, and what does not hold is said ([`crate::Plan::downgraded`]).
    BestEffort,
}

/// Something asked for that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downgrade {
    /// As in the file.
    pub key: &'static str,
    /// What is lacking, for a reader.
    pub reason: String,
}

impl Enforcement {
    /// Turns an error met while `key` was being set into a downgrade, if that is permitted.
    pub(crate) fn relent(
        self,
        key: &'static str,
        error: GroupError,
        downgraded: &mut Vec<Downgrade>,
    ) -> Result<(), GroupError> {
        match (self, error) {
            (Self::BestEffort, GroupError::NotEnforceable { reason, .. }) => {
                downgraded.push(Downgrade { key, reason });
                Ok(())
            }
            (Self::BestEffort, error) => {
                let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
                downgraded.push(Downgrade { key, reason: format!("{error}{cause}") });
                Ok(())
            }
            (Self::Strict, error) => Err(error),
        }
    }
}

//! What a process may use: planned in the parent, applied in the child between clone and exec.

/// What one process may use; `Plan::default()` changes nothing.
#[derive(Debug, Default)]
pub struct Plan {}

/// A step of a plan that the kernel refused.
#[derive(Debug, Clone, Copy)]
pub struct Refused {
    /// What was being done, as a phrase: "switching user".
    pub step: &'static str,
    /// The kernel's answer.
    pub errno: i32,
}

impl Plan {
    /// Applies the plan to the calling process. Async-signal-safe: no allocation, no locks.
    pub fn apply_in_child(&self) -> Result<(), Refused> {
        Ok(())
    }
}

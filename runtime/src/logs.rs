//! How much of the services' output is kept, said in code.

use std::time::Duration;

use blackhole_config::{Table, Value};

use crate::Size;

/// How much of the output is kept, for each instance: `[logs]`.
///
/// ```
/// use blackhole::{Logs, Node, Size};
///
/// let node = Node::builder().logs(Logs::new().file_size_max(Size::mib(1)).files_max(2));
/// # assert!(node.in_temporary_directory().check().is_ok());
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Logs(Table);

impl Logs {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A larger file is closed and a new one begun. Default: 16 MiB.
    #[track_caller]
    pub fn file_size_max(self, size: Size) -> Self {
        self.set("file_size_max", size)
    }

    /// An older file is closed and a new one begun. Default: 24 h.
    #[track_caller]
    pub fn file_age_max(self, age: Duration) -> Self {
        self.set("file_age_max", age)
    }

    /// How many closed files are kept. Default: 5.
    #[track_caller]
    pub fn files_max(self, files_max: u32) -> Self {
        self.set("files_max", files_max)
    }

    /// Closed files that are older are removed. Default: 7 days.
    #[track_caller]
    pub fn retention(self, retention: Duration) -> Self {
        self.set("retention", retention)
    }

    /// A longer line is split. Default: 64 KiB.
    #[track_caller]
    pub fn line_length_max(self, length: Size) -> Self {
        self.set("line_length_max", length)
    }

    #[track_caller]
    fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.set(key, value);
        self
    }

    pub(crate) fn into_table(self) -> Table {
        self.0
    }
}

//! The services that this binary contains.

/// Their names, as the file calls them.
pub(crate) fn names() -> Vec<String> {
    ["identity", "storage"].map(str::to_owned).to_vec()
}

//! What crosses a process boundary: gRPC definitions, link messages, names, environment. No IO.

pub mod environment;
pub mod link;
mod names;

pub use names::{InstanceId, NAME_LENGTH_MAX, Name, NameError};

/// The node's control API, spoken on `<runtime_dir>/control.sock`.
pub mod control {
    /// Version 1.
    #[expect(
        clippy::all,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::too_many_lines,
        missing_docs,
        reason = "generated"
    )]
    pub mod v1 {
        include!("generated/blackhole.control.v1.rs");
    }
}

/// Decentralised identifiers, password authentication and signed tokens.
pub mod identity {
    /// Version 1.
    #[expect(
        clippy::all,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::too_many_lines,
        missing_docs,
        reason = "generated"
    )]
    pub mod v1 {
        include!("generated/blackhole.identity.v1.rs");
    }
}

/// Content-addressed blocks.
pub mod storage {
    /// Version 1.
    #[expect(
        clippy::all,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::too_many_lines,
        missing_docs,
        reason = "generated"
    )]
    pub mod v1 {
        include!("generated/blackhole.storage.v1.rs");
    }
}

/// Encoded `FileDescriptorSet`s for gRPC server reflection.
pub mod descriptors {
    /// Every service definition of this crate, with the well-known types they import.
    pub const ALL: &[u8] = include_bytes!("generated/descriptors.bin");
}

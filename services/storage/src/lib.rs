//! Content-addressed blocks on disk.
//!
//! [`Storage`] is the native service; [`BlockService`] answers its gRPC methods, out of a [`Store`],
//! which is synchronous and knows nothing of the network.

mod service;
mod settings;
mod storage;

mod store;

pub use service::BlockService;
pub use settings::{ByteSize, ByteSizeError, Settings};

pub use storage::Storage;
pub use store::{
    Block, BlockId, BlockIdError, BlockReader, BlockWriter, Expectation, HashAlgorithm, Page, Span,
    Store, StoreError, Stored,
};

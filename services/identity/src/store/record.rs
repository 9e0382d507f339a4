//! What is kept, as bytes that later versions can read: protobuf, with numbers that never change.

use std::collections::HashMap;

use prost::Message;
use prost_types::Timestamp;

use super::StoreError;

/// An identifier that was made here.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DidRecord {
    #[prost(message, optional, tag = "1")]
    pub(crate) created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "2")]
    pub(crate) updated_at: Option<Timestamp>,
    #[prost(bool, tag = "3")]
    pub(crate) deactivated: bool,
    #[prost(map = "string, string", tag = "4")]
    pub(crate) properties: HashMap<String, String>,
    #[prost(bool, tag = "5")]
    pub(crate) derive_key_agreement: bool,
    /// The seed of the private key; empty when its holder is somebody else.
    #[prost(bytes = "vec", tag = "6")]
    pub(crate) secret_key: Vec<u8>,
}

/// An account.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AccountRecord {
    #[prost(string, tag = "1")]
    pub(crate) user_id: String,
    #[prost(string, tag = "2")]
    pub(crate) did: String,
    #[prost(string, tag = "3")]
    pub(crate) role: String,
    /// In PHC form.
    #[prost(string, tag = "4")]
    pub(crate) password_hash: String,
    #[prost(message, optional, tag = "5")]
    pub(crate) created_at: Option<Timestamp>,
}

/// Reads a record.
pub(super) fn decode<R: Message + Default>(bytes: &[u8]) -> Result<R, StoreError> {
    R::decode(bytes).map_err(StoreError::Record)
}

impl DidRecord {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        decode(bytes)
    }
}

impl AccountRecord {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        decode(bytes)
    }
}

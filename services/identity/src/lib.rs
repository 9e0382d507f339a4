//! Decentralised identifiers, password authentication, signed tokens.
//!
//! [`Identity`] is the service `blackhole.identity.v1.IdentityService`. Its state is one file,
//! `identity.redb` in its data directory, which one process at a time may hold.

mod accounts;
mod api;
mod did;
mod document;
mod error;
mod events;
mod identifiers;
mod input;
#[doc(hidden)]
pub mod outside;
mod passwords;
mod service;
mod settings;
mod store;
mod tokens;

pub use service::Identity;
pub use settings::Settings;

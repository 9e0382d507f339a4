//! Calls between services: connections over Unix sockets and mutual TLS.

mod channel;
mod connection;
pub mod health;
mod http1;
mod http2;
mod target;
mod tls;

pub use channel::{Connector, channel};
pub use connection::{ConnectError, Connection, Protocol, connect};
pub use http1::{HttpError, HttpUrl, HttpUrlError, http_status};
pub use target::{Target, TargetError};
pub use tls::{TlsError, TlsFiles};

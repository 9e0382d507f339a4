//! The service as its clients meet it: real files, and real gRPC over a Unix socket.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as tests may")]

mod alone;
mod damage;
mod harness;
mod input;
mod interruption;
mod listing;
mod native;
mod transfer;

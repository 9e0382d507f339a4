//! The service as its clients meet it: real files, and real gRPC over a Unix socket.

mod alone;
mod damage;
mod harness;
mod input;
mod interruption;
mod listing;
mod native;
mod transfer;

//! `bh run`, end to end.

mod children;
mod deaths;
mod examples;
mod many;
mod native;
mod operation;
mod probes;
mod top;
mod users;

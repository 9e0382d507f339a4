//! `bh run`, end to end.

mod children;
mod deaths;
mod many;
mod operation;
mod probes;

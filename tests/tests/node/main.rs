//! `bh run`, end to end.

mod adapting;
mod alerts;
mod children;
mod deaths;
mod examples;
mod holding;
mod limits;
mod many;
mod native;
mod nested;
mod operation;
mod probes;
mod readme;
mod sandboxes;
mod secrets;
mod top;
mod users;

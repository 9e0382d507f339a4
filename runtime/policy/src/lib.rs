//! Every decision of the runtime as plain synchronous code: events in, commands out.
//!
//! Nothing here reads a clock, draws a random number, logs, or touches a file: time is a
//! [`Moment`](moment::Moment) that is handed in, jitter is a number that is handed in. The crate
//! depends on std alone, so that nobody can cheat.

pub mod backoff;
pub mod budget;
pub mod health;
pub mod instance;
pub mod moment;
pub mod rehearsal;
pub mod scaling;
pub mod silence;
pub mod supervision;
pub mod usage_alert;

//! Scenarios for supervisors: read, made up, played through the policy machine and through OTP's own
//! supervisor, and compared.

pub mod comparison;
pub mod erlang;
pub mod invention;
pub mod scenario;
pub mod story;

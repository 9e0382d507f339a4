//! What a plan takes away is really gone: real children, the real kernel.
#![expect(unsafe_code, reason = "a plan is applied between fork and exec")]

mod bandwidth;
mod groups;
mod launch;
mod privileges;
mod quota;
mod sandbox;

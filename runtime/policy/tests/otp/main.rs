//! The cases of OTP 25's `supervisor_SUITE` that apply, by their names, told to the strict machine.
//!
//! Three of the 88 do not apply: `get_callback_module` asks for an Erlang module, and
//! `format_log_1` and `format_log_2` check the text of Erlang's log reports. What the machine can do
//! that OTP's cannot is in `additions`.

mod additions;
mod admin;
mod code_change;
mod desk;
mod misc;
mod play;
mod restart;
mod significant;
mod start;
mod stop;
mod termination;

//! The cases of OTP 25's `supervisor_SUITE` that apply, by their names, told to the strict machine.
//!
//! Three of the 88 do not apply: `get_callback_module` asks for an Erlang module, and
//! `format_log_1` and `format_log_2` check the text of Erlang's log reports. What the machine can do
//! that OTP's cannot is in `additions`.
//!
//! Where the machine is not like OTP's supervisor on purpose:
//!
//! * `{ok, Pid, Extra}`: a start brings nothing but the incarnation, and what else there is to say about
//!   that its owner knows (`extra_return`).
//! * `which_child/2` of later releases is no call: [`Supervisor::phase`] answers it.
//! * `shutdown_error` and the other error reports: how a child left was told to the machine by its owner,
//!   who reports it; [`Transition`]s say only what the machine alone knows.
//! * Values of the wrong type (`invalid_strategy`, `invalid_restart_type`, a negative intensity) cannot be
//!   written. A scenario of the trace tool can have them, and is refused in OTP's words.
//! * An instance that ignores its restart is forgotten; OTP 25 keeps `undefined` among the pids and crashes
//!   over it at its end.
//!
//! [`Supervisor::phase`]: blackhole_policy::supervision::Supervisor::phase
//! [`Transition`]: blackhole_policy::supervision::Transition

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

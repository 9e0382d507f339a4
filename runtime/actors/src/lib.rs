//! ractor with OTP supervision: the supervisor actor, child specifications, the link.

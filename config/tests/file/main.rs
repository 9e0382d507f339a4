//! Whole files: those that are accepted, and those that are not.

mod host;
mod loading;
mod rejecting;

//! Whole files: those that are accepted, and those that are not.

mod adapting;
mod arrangement;
mod coding;
mod defaults;
mod explaining;
mod host;
mod loading;
mod overriding;
mod rejecting;
mod robustness;
mod surprising;

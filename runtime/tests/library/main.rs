//! The library as its users have it: nodes described in code, inside a program of their own.

mod describing;
mod examples;
mod pooling;
mod steering;

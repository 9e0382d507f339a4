//! What a person sees who types `bh`: the real binary against a node that answers from a script.

mod bh;
mod completions_and_man;
mod errors;
mod fake_node;
mod files;
mod help;
mod listings;
mod operations;

//! The live table of `bh top`: what was seen, how it is ordered, and what a page of it looks like.
//!
//! It neither talks to a node nor to a terminal: looks and keys come in, text goes out.

mod measure;
mod page;
mod record;
mod spark;
mod watched;

pub(crate) use self::page::{Order, Reaction, Sort, Table};

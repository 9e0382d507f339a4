//! What a file may say, and every rule about it.
//!
//! Three steps, three types: `Raw` (as written) → `validate` (every problem at once) → [`Config`]
//! (valid by construction; nothing downstream checks again). [`load`] does all three.

mod explain;
mod load;
mod model;
#[doc(hidden)]
pub mod outside;
mod overrides;
mod problem;
mod raw;
mod read;
mod render;
mod schema;
mod source;
mod syntax;
mod template;
mod tree;
mod validate;
mod written;

pub use blackhole_isolation::Sandbox as Preset;
pub use explain::{Explained, UnknownKey, ValueOrigin, explain};
pub use load::{Loaded, Rejected, load};
pub use model::*;
pub use overrides::{Overrides, is_configuration, misspelt_variable};
pub use problem::{Problem, Severity};
pub use render::Color;
pub use schema::schema;
pub use source::{FILE_SIZE_MAX, HostFacts, Source};
pub use template::{Misspelt, Scope, Template};
pub use written::{Table, Value};

/// Every key with its default: the reference text.
pub const DEFAULT: &str = include_str!("../default.toml");

/// What `bh init` writes: a commented file that runs as it is.
pub const STARTER: &str = include_str!("../examples/demo.toml");

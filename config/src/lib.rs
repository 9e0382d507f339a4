//! What a file may say, and every rule about it.
//!
//! Three steps, three types: `Raw` (as written) → `validate` (every problem at once) → [`Config`]
//! (valid by construction; nothing downstream checks again).

mod model;
mod template;

pub use model::*;
pub use template::{Scope, Template};

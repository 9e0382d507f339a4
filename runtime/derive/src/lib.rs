//! The derives of messages between processes.
//!
//! [`Message`](macro@Message) makes an actor's message enum one that crosses process boundaries;
//! [`Schema`](macro@Schema) gives a type the hash of its shape, which peers compare before they believe
//! each other's bytes. What the hashes are compared for is not known here.

mod message;
mod schema;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes an enum the message type of an actor that other processes may speak to.
///
/// Each variant's fields are values that serde can carry; a variant that is a question has one field
/// of the type `Reply<T>`, anywhere among them. The derive looks for that name: a renamed import of
/// `Reply` is not recognised.
///
/// The generated code names its runtime `::blackhole`. A crate that has it by another name says so:
/// `#[blackhole(crate = "blackhole_sdk")]`.
#[proc_macro_derive(Message, attributes(blackhole))]
pub fn message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    message::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Adds the associated constant `SCHEMA: u64`: a hash of the names and types that make up the type,
/// as its source spells them. The types of its fields are known by name only: where their shapes
/// matter, their own `SCHEMA` is to be combined with it.
#[proc_macro_derive(Schema)]
pub fn schema(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    schema::expand(&input).into()
}

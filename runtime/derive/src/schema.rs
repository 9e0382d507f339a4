//! The hash of a type's shape.
//!
//! The shape is a text: names, order and types, and what serde is told about them, without comments,
//! visibility or spacing. So a renamed field is another shape although it has the same bytes: a
//! rename most often means another meaning.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Data, DeriveInput, Fields};

pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    let name = &input.ident;
    let (generics, types, clause) = input.generics.split_for_impl();
    let hash = hash(&shape(input));
    quote! {
        impl #generics #name #types #clause {
            /// The hash of this type's shape.
            pub const SCHEMA: u64 = #hash;
        }
    }
}

/// The shape as a text.
pub(crate) fn shape(input: &DeriveInput) -> String {
    let mut text = format!("{}{}", serde(&input.attrs), input.ident);
    match &input.data {
        Data::Enum(data) => {
            for variant in &data.variants {
                text += &format!("|{}{}", serde(&variant.attrs), variant.ident);
                fields(&variant.fields, &mut text);
            }
        }
        Data::Struct(data) => fields(&data.fields, &mut text),
        Data::Union(_) => text += "union",
    }
    text
}

fn fields(fields: &Fields, text: &mut String) {
    for field in fields {
        let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        let kind = spaceless(&field.ty);
        *text += &format!(",{}{name}:{kind}", serde(&field.attrs));
    }
}

fn serde(attributes: &[Attribute]) -> String {
    let told = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
    told.map(|attribute| spaceless(&attribute.meta)).collect()
}

/// How a compiler spaces tokens differs between its versions.
fn spaceless(tokens: &impl ToTokens) -> String {
    let text = tokens.to_token_stream().to_string();
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

/// FNV-1a, 64 bits: <http://www.isthe.com/chongo/tech/comp/fnv/>.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn a_shape_is_names_order_and_types() {
        let input: DeriveInput = parse_quote! {
            /// Not this.
            pub(crate) enum Counter {
                #[serde(rename = "plus")]
                Add(u64),
                Get { since: Option < u64 >, reply: Reply<u64> },
                Reset,
            }
        };
        assert_eq!(
            shape(&input),
            "Counter|serde(rename=\"plus\")Add,:u64|Get,since:Option<u64>,reply:Reply<u64>|Reset"
        );
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }
}

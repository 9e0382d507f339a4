//! How a message enum is encoded and decoded: the number of its variant, then its fields in order.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Data, DeriveInput, Error, Field, Fields, GenericArgument, Path, PathArguments, Result, Type,
    Variant, spanned::Spanned,
};

use crate::schema;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(input.span(), "a message is an enum: a variant for each request"));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new(
            input.generics.span(),
            "a message has no parameters: its shape must be the same on both sides",
        ));
    }
    let runtime = runtime(input)?;
    let (name, text) = (&input.ident, input.ident.to_string());
    let schema = schema::hash(&schema::shape(input));
    let variants: Vec<Parts<'_>> =
        data.variants.iter().enumerate().map(Parts::of).collect::<Result<_>>()?;
    let encode = variants.iter().map(|variant| variant.encode());
    let decode = variants.iter().map(|variant| variant.decode());
    Ok(quote! {
        impl #runtime::message::Message for #name {
            const NAME: &'static str = #text;
            const SCHEMA: u64 = #schema;

            fn encode(
                self,
                encoder: &mut #runtime::message::Encoder<'_>,
            ) -> ::core::result::Result<(), #runtime::message::EncodeError> {
                match self { #(#encode)* }
            }

            fn decode(
                decoder: &mut #runtime::message::Decoder<'_>,
            ) -> ::core::result::Result<Self, #runtime::message::DecodeError> {
                match decoder.variant()? {
                    #(#decode)*
                    unknown => ::core::result::Result::Err(decoder.unknown_variant(unknown)),
                }
            }
        }
    })
}

/// `#[blackhole(crate = "…")]`, or `::blackhole`.
fn runtime(input: &DeriveInput) -> Result<Path> {
    let mut runtime = syn::parse_quote!(::blackhole);
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("blackhole")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("the only thing to be said here is `crate = \"…\"`"));
            }
            runtime = meta.value()?.parse::<syn::LitStr>()?.parse()?;
            Ok(())
        })?;
    }
    Ok(runtime)
}

/// One variant.
struct Parts<'a> {
    index: u32,
    variant: &'a Variant,
    /// The field that is the reply, and the type of its answer.
    reply: Option<(usize, &'a Type)>,
}

impl<'a> Parts<'a> {
    fn of((index, variant): (usize, &'a Variant)) -> Result<Self> {
        let index = u32::try_from(index).map_err(|_| Error::new(variant.span(), "too many"))?;
        let mut replies =
            variant.fields.iter().enumerate().filter_map(|(at, field)| Some((at, answer(field)?)));
        let reply = replies.next();
        match replies.next() {
            Some(_) => Err(Error::new(variant.span(), "a question has one `Reply`")),
            None => Ok(Self { index, variant, reply }),
        }
    }

    fn names(&self) -> Vec<syn::Ident> {
        (0..self.variant.fields.len()).map(|at| format_ident!("field{at}")).collect()
    }

    /// `{ since: field0, reply: field1 }`, which is both a pattern and an expression.
    fn shape(&self) -> TokenStream {
        let names = self.names();
        match &self.variant.fields {
            Fields::Unit => quote!(),
            Fields::Unnamed(_) => quote!((#(#names),*)),
            Fields::Named(fields) => {
                let fields = fields.named.iter().map(|field| &field.ident);
                quote!({ #(#fields: #names),* })
            }
        }
    }

    fn is_reply(&self, at: usize) -> bool {
        self.reply.is_some_and(|(reply, _)| reply == at)
    }

    fn encode(&self) -> TokenStream {
        let (name, shape, index) = (&self.variant.ident, self.shape(), self.index);
        let fields = self.names().into_iter().enumerate().map(|(at, field)| {
            if self.is_reply(at) {
                quote!(encoder.reply(#field);)
            } else {
                quote!(encoder.value(&#field)?;)
            }
        });
        quote! {
            Self::#name #shape => {
                encoder.variant(#index);
                #(#fields)*
                ::core::result::Result::Ok(())
            }
        }
    }

    /// The reply last: nothing of it is in the bytes, and who asked is told what was wrong with them.
    fn decode(&self) -> TokenStream {
        let (name, shape, index) = (&self.variant.ident, self.shape(), self.index);
        let names = self.names().into_iter().enumerate();
        let (replies, values): (Vec<_>, Vec<_>) = names.partition(|(at, _)| self.is_reply(*at));
        let values = values.into_iter().map(|(_, field)| quote!(let #field = decoder.value()?;));
        let replies = replies.into_iter().map(|(_, field)| quote!(let #field = decoder.reply()?;));
        quote! {
            #index => {
                #(#values)*
                #(#replies)*
                ::core::result::Result::Ok(Self::#name #shape)
            }
        }
    }
}

/// The `T` of a field of the type `Reply<T>`.
fn answer(field: &Field) -> Option<&Type> {
    let Type::Path(path) = &field.ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Reply")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(answer)) => Some(answer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn refusal(input: DeriveInput) -> String {
        expand(&input).expect_err("it is refused").to_string()
    }

    #[test]
    fn what_cannot_be_a_message_is_refused_with_the_reason() {
        assert!(
            refusal(parse_quote!(
                struct Ask;
            ))
            .contains("is an enum")
        );
        assert!(
            refusal(parse_quote!(
                enum Ask<T> {
                    It(T),
                }
            ))
            .contains("no parameters")
        );
        let two = parse_quote!(
            enum Ask {
                It(Reply<u8>, Reply<u8>),
            }
        );
        assert!(refusal(two).contains("one `Reply`"));
        let odd = parse_quote!(
            #[blackhole(colour = "red")]
            enum Ask {
                It,
            }
        );
        assert!(refusal(odd).contains("crate ="));
    }
}

//! The parsers of bytes from outside, for who tries to break them: identifiers and tokens, as callers send
//! them.
//!
//! Each takes any bytes and panics where a promise of the parser is broken. It is no interface for
//! programs.

use std::time::{Duration, SystemTime};

use crate::{
    did::Did,
    tokens::{Claims, LENGTH_MAX, Tokens},
};

/// The seed of the key that signs the tokens of the corpus.
const SEED: [u8; 32] = [7; 32];
/// What stands in the only one that was signed.
const SIGNED_FOR: &str = "somebody";

/// A `did:key` identifier: what is accepted is the only text for its key.
pub fn identifier(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(did) = text.parse::<Did>() else { return };
    assert_eq!(did.to_string(), text, "a key has two identifiers");
    assert!(did.key_agreement_multibase().starts_with("z6LS"), "{text} derives no key");
}

/// A token: nobody is believed who was not signed for, and everybody who was.
pub fn token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let tokens = Tokens::new(&SEED).expect("a key");
    if let Ok(claims) = tokens.verify(&text, SystemTime::UNIX_EPOCH) {
        assert_eq!(claims, claims_of(SIGNED_FOR), "{text} is believed");
    }
    let claims = claims_of(&text);
    let signed = tokens.sign(claims.clone(), SystemTime::UNIX_EPOCH).expect("signed");
    if signed.len() <= LENGTH_MAX {
        let believed = tokens.verify(&signed, SystemTime::UNIX_EPOCH);
        assert_eq!(believed.expect("it was signed here"), claims);
    }
}

fn claims_of(user: &str) -> Claims {
    Claims {
        user_id: user.to_owned(),
        did: "did:key:z".to_owned(),
        role: "user".to_owned(),
        expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_has_a_token_that_is_believed() {
        let corpus = include_str!("../../../tests/corpus/token/signed");
        let tokens = Tokens::new(&SEED).expect("a key");
        let claims = claims_of(SIGNED_FOR);
        let signed = tokens.sign(claims.clone(), SystemTime::UNIX_EPOCH).expect("signed");
        assert_eq!(corpus, signed);
        assert_eq!(tokens.verify(corpus, SystemTime::UNIX_EPOCH).expect("valid"), claims);
    }
}

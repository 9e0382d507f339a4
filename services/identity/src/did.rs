//! `did:key` identifiers over Ed25519: <https://w3c-ccg.github.io/did-key-spec/>.

use std::{fmt, str::FromStr};

use ed25519_dalek::{SigningKey, VerifyingKey};
use multibase::Base;

const PREFIX: &str = "did:key:";
/// The multicodec of an Ed25519 public key, as a varint.
const ED25519: [u8; 2] = [0xed, 0x01];
/// The multicodec of an X25519 public key, as a varint.
const X25519: [u8; 2] = [0xec, 0x01];
/// The longest text that is looked at; a real one has 56 characters.
const LENGTH_MAX: usize = 128;

/// An identifier, which is a public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Did(VerifyingKey);

/// Why a text or a key is no identifier.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum DidError {
    #[error("it does not begin with `did:key:z`")]
    Method,
    #[error("what follows `did:key:` is not base58btc")]
    Encoding,
    #[error("its key is not an Ed25519 public key")]
    Key,
}

impl Did {
    /// A fresh key pair.
    pub(crate) fn generate() -> Result<(Self, SigningKey), getrandom::Error> {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed)?;
        let key = SigningKey::from_bytes(&seed);
        Ok((Self(key.verifying_key()), key))
    }

    /// The identifier of a public key.
    pub(crate) fn from_public_key(bytes: &[u8]) -> Result<Self, DidError> {
        let bytes = bytes.try_into().map_err(|_| DidError::Key)?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| DidError::Key)?;
        // A few keys could be written in two ways, of which one is the key's.
        let is_canonical = key.to_edwards().compress().as_bytes() == bytes;
        if key.is_weak() || !is_canonical { Err(DidError::Key) } else { Ok(Self(key)) }
    }

    /// The key as `z6Mk…`.
    pub(crate) fn multibase(&self) -> String {
        encode(ED25519, self.0.as_bytes())
    }

    /// The X25519 key that is derived from it, as `z6LS…`.
    pub(crate) fn key_agreement_multibase(&self) -> String {
        encode(X25519, self.0.to_montgomery().as_bytes())
    }
}

fn encode(codec: [u8; 2], key: &[u8; 32]) -> String {
    multibase::encode(Base::Base58Btc, [&codec[..], key].concat())
}

impl fmt::Display for Did {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{}", self.multibase())
    }
}

impl FromStr for Did {
    type Err = DidError;

    fn from_str(text: &str) -> Result<Self, DidError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(DidError::Method)?;
        if !encoded.starts_with('z') {
            return Err(DidError::Method);
        }
        if encoded.len() > LENGTH_MAX {
            return Err(DidError::Encoding);
        }
        let (_, bytes) = multibase::decode(encoded).map_err(|_| DidError::Encoding)?;
        Self::from_public_key(bytes.strip_prefix(&ED25519).ok_or(DidError::Key)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the did:key specification's test vectors, as other implementations have them too.
    const VECTOR: &str = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
    const VECTOR_KEY_AGREEMENT: &str = "z6LShs9GGnqk85isEBzzshkuVWrVKsRp24GnDuHk8QWkARMW";

    #[test]
    fn the_specifications_vector_is_read_and_derived_from() {
        let did: Did = VECTOR.parse().expect("an identifier");
        assert_eq!(did.to_string(), VECTOR);
        assert_eq!(did.key_agreement_multibase(), VECTOR_KEY_AGREEMENT);
    }

    #[test]
    fn a_fresh_identifier_survives_its_text() {
        let (did, key) = Did::generate().expect("random numbers");
        assert!(did.to_string().starts_with("did:key:z6Mk"));
        assert!(did.to_string().parse() == Ok(did));
        assert!(Did::from_public_key(key.verifying_key().as_bytes()) == Ok(did));
    }

    #[test]
    fn what_is_no_identifier_is_told_why() {
        let refused = |text: &str| text.parse::<Did>().err().expect(text);
        assert_eq!(refused("did:web:example.org"), DidError::Method);
        assert_eq!(refused("did:key:f00"), DidError::Method);
        assert_eq!(refused("did:key:z0OIl"), DidError::Encoding);
        assert_eq!(refused(&format!("did:key:z{}", "1".repeat(200))), DidError::Encoding);
        assert_eq!(refused("did:key:z6Mk"), DidError::Key);
        assert_eq!(refused(&format!("{VECTOR}#key")), DidError::Encoding);
        // A P-256 key, from the same vectors.
        let other = "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169";
        assert_eq!(refused(other), DidError::Key);
        assert_eq!(Did::from_public_key(&[0; 32]).err(), Some(DidError::Key), "a weak key");
    }

    /// A number that is not reduced by the prime, 2^255 - 19, names the same point.
    #[test]
    fn a_key_has_one_identifier() {
        let unreduced = (0..19).map(|above| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xed + above, 0x7f);
            bytes
        });
        let is_usable =
            |bytes: &[u8; 32]| VerifyingKey::from_bytes(bytes).is_ok_and(|key| !key.is_weak());
        let usable: Vec<[u8; 32]> = unreduced.filter(is_usable).collect();
        assert!(!usable.is_empty(), "the library refuses them itself");
        assert!(usable.iter().all(|bytes| Did::from_public_key(bytes) == Err(DidError::Key)));
    }
}

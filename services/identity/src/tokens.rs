//! Tokens: PASETO v4.public, signed with a key that never leaves the store.

use std::time::{Duration, SystemTime};

use ed25519_dalek::SigningKey;
use pasetors::{
    Public,
    errors::Error as PasetoError,
    keys::{AsymmetricPublicKey, AsymmetricSecretKey},
    token::UntrustedToken,
    version4::{PublicToken, V4},
};
use serde::{Deserialize, Serialize};

/// Bound into every signature, so that the key's other signatures, if there ever are any, are no tokens.
const PURPOSE: &[u8] = b"blackhole.identity.v1 token";

/// The longest text that is looked at, in bytes.
pub(crate) const LENGTH_MAX: usize = 4096;

/// Why a token was not made or not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token is not valid: {0}")]
    Refused(&'static str),
    #[error("could not sign a token")]
    Sign(#[source] PasetoError),
}

/// Who a token speaks for, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) user_id: String,
    pub(crate) did: String,
    pub(crate) role: String,
    pub(crate) expires_at: SystemTime,
}

/// PASETO's registered claims, and ours.
#[derive(Serialize, Deserialize)]
struct Payload {
    sub: String,
    did: String,
    role: String,
    #[serde(with = "humantime_serde")]
    iat: SystemTime,
    #[serde(with = "humantime_serde")]
    exp: SystemTime,
}

/// Signs and verifies.
pub(crate) struct Tokens {
    secret: AsymmetricSecretKey<V4>,
    public: AsymmetricPublicKey<V4>,
}

impl Tokens {
    /// With the key of this seed.
    pub(crate) fn new(seed: &[u8; 32]) -> Result<Self, TokenError> {
        let key = SigningKey::from_bytes(seed);
        let secret = zeroize::Zeroizing::new(key.to_keypair_bytes());
        Ok(Self {
            secret: AsymmetricSecretKey::from(&*secret).map_err(TokenError::Sign)?,
            public: AsymmetricPublicKey::from(key.verifying_key().as_bytes())
                .map_err(TokenError::Sign)?,
        })
    }

    pub(crate) fn sign(&self, claims: Claims, now: SystemTime) -> Result<String, TokenError> {
        let Claims { user_id: sub, did, role, expires_at: exp } = claims;
        let payload = serde_json::to_vec(&Payload { sub, did, role, iat: now, exp })
            .map_err(|_| TokenError::Sign(PasetoError::ClaimInvalidJson))?;
        PublicToken::sign(&self.secret, &payload, None, Some(PURPOSE)).map_err(TokenError::Sign)
    }

    pub(crate) fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
        if token.len() > LENGTH_MAX {
            return Err(TokenError::Refused("it is too long"));
        }
        let malformed = TokenError::Refused("it is not a v4.public token");
        let Ok(untrusted) = UntrustedToken::<Public, V4>::try_from(token) else {
            return Err(malformed);
        };
        let trusted = PublicToken::verify(&self.public, &untrusted, None, Some(PURPOSE))
            .map_err(|_| TokenError::Refused("it was not signed here, or was altered"))?;
        let payload: Payload = serde_json::from_str(trusted.payload()).map_err(|_| malformed)?;
        if payload.exp <= now {
            return Err(TokenError::Refused("it has expired"));
        }
        let Payload { sub: user_id, did, role, exp: expires_at, .. } = payload;
        Ok(Claims { user_id, did, role, expires_at })
    }
}

/// When a token that is made now expires: in whole seconds, as callers are told them.
pub(crate) fn expiry(now: SystemTime, lifetime: Duration) -> SystemTime {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = since.saturating_add(lifetime).as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(expires_at: SystemTime) -> Claims {
        let text = |text: &str| text.to_owned();
        Claims { user_id: text("u"), did: text("did:key:z"), role: text("user"), expires_at }
    }

    fn refusal(tokens: &Tokens, token: &str, now: SystemTime) -> &'static str {
        match tokens.verify(token, now).expect_err("refused") {
            TokenError::Refused(why) => why,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_token_is_believed_until_the_second_it_expires() {
        let tokens = Tokens::new(&[7; 32]).expect("a key");
        let now = SystemTime::now();
        let expires_at = expiry(now, Duration::from_secs(60));
        let token = tokens.sign(claims(expires_at), now).expect("signed");
        assert!(token.starts_with("v4.public."));
        let just_before = expires_at - Duration::from_millis(1);
        assert_eq!(tokens.verify(&token, just_before).expect("valid"), claims(expires_at));
        assert_eq!(refusal(&tokens, &token, expires_at), "it has expired");
    }

    #[test]
    fn every_altered_character_is_noticed() {
        let tokens = Tokens::new(&[7; 32]).expect("a key");
        let now = SystemTime::now();
        let token = tokens.sign(claims(now + Duration::from_secs(60)), now).expect("signed");
        for index in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[index] = if altered[index] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).expect("text");
            assert!(tokens.verify(&altered, now).is_err(), "character {index}");
        }
        let other = Tokens::new(&[8; 32]).expect("a key");
        assert_eq!(refusal(&other, &token, now), "it was not signed here, or was altered");
    }

    #[test]
    fn anything_else_is_refused() {
        let tokens = Tokens::new(&[7; 32]).expect("a key");
        let now = SystemTime::now();
        for bad in ["", "x", "v4.public.", "v4.public.AAAA", "v3.public.AAAA", "v4.local.AAAA"] {
            refusal(&tokens, bad, now);
        }
        assert_eq!(refusal(&tokens, &"x".repeat(5000), now), "it is too long");
    }
}

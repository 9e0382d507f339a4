//! What names a block: the digest of its bytes, written as a CID (version 1, raw codec, base32).

use std::{fmt, str::FromStr};

use cid::{Cid, multibase::Base, multihash::Multihash};
use serde::Deserialize;
use sha2::Digest;

/// The multicodec code of "raw bytes".
const RAW: u64 = 0x55;

/// Of both digests, in bytes.
const DIGEST_LENGTH: usize = 32;

/// The digests that can name a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum HashAlgorithm {
    /// BLAKE3 with 32 bytes.
    #[serde(rename = "blake3")]
    Blake3,
    /// SHA-256.
    #[serde(rename = "sha2-256")]
    Sha2_256,
}

impl HashAlgorithm {
    /// The multihash code.
    const fn code(self) -> u64 {
        match self {
            Self::Blake3 => 0x1e,
            Self::Sha2_256 => 0x12,
        }
    }

    fn with_code(code: u64) -> Option<Self> {
        [Self::Blake3, Self::Sha2_256].into_iter().find(|algorithm| algorithm.code() == code)
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Blake3 => "blake3",
            Self::Sha2_256 => "sha2-256",
        })
    }
}

/// The name of a block. Displayed and parsed as a CID in its one canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockId {
    algorithm: HashAlgorithm,
    digest: [u8; DIGEST_LENGTH],
}

impl BlockId {
    /// Which digest it is.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let multihash = Multihash::<DIGEST_LENGTH>::wrap(self.algorithm.code(), &self.digest)
            .expect("the digest fits");
        let text = cid::CidGeneric::new_v1(RAW, multihash).to_string_of_base(Base::Base32Lower);
        formatter.write_str(&text.expect("version 1 has a form in every base"))
    }
}

/// Why a text does not name a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockIdError {
    /// It is no CID at all.
    #[error("not a CID")]
    Cid,
    /// It names something other than raw bytes.
    #[error("the codec is {0:#x}, and a block's is raw (0x55)")]
    Codec(u64),
    /// It uses a digest that the store does not know.
    #[error(
        "the digest has the multihash code {0:#x}, and only blake3 (0x1e) and sha2-256 (0x12), of 32 bytes, are kept"
    )]
    Digest(u64),
    /// There is another way to write it, which is the only one accepted.
    #[error("not in canonical form, which is version 1 in lower-case base32: `{0}`")]
    Form(BlockId),
}

impl FromStr for BlockId {
    type Err = BlockIdError;

    fn from_str(text: &str) -> Result<Self, BlockIdError> {
        let cid = Cid::try_from(text).map_err(|_| BlockIdError::Cid)?;
        if cid.codec() != RAW {
            return Err(BlockIdError::Codec(cid.codec()));
        }
        let code = cid.hash().code();
        let algorithm = HashAlgorithm::with_code(code).ok_or(BlockIdError::Digest(code))?;
        let digest = cid.hash().digest().try_into().map_err(|_| BlockIdError::Digest(code))?;
        let id = Self { algorithm, digest };
        if id.to_string() == text { Ok(id) } else { Err(BlockIdError::Form(id)) }
    }
}

/// Computes a block's name from its bytes, piece by piece.
#[derive(Debug)]
pub(super) enum Hasher {
    /// Boxed because its state is 2 KiB.
    Blake3(Box<blake3::Hasher>),
    Sha2_256(sha2::Sha256),
}

impl Hasher {
    pub(super) fn new(algorithm: HashAlgorithm) -> Self {
        match algorithm {
            HashAlgorithm::Blake3 => Self::Blake3(Box::default()),
            HashAlgorithm::Sha2_256 => Self::Sha2_256(sha2::Sha256::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
            Self::Sha2_256(hasher) => hasher.update(bytes),
        }
    }

    pub(super) fn finish(self) -> BlockId {
        match self {
            Self::Blake3(hasher) => {
                BlockId { algorithm: HashAlgorithm::Blake3, digest: hasher.finalize().into() }
            }
            Self::Sha2_256(hasher) => {
                BlockId { algorithm: HashAlgorithm::Sha2_256, digest: hasher.finalize().into() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(algorithm: HashAlgorithm, bytes: &[u8]) -> String {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish().to_string()
    }

    /// Computed without this crate, from the digests that the two specifications print.
    #[test]
    fn the_empty_block_has_the_names_that_the_world_knows() {
        assert_eq!(
            name(HashAlgorithm::Sha2_256, b""),
            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
        );
        assert_eq!(
            name(HashAlgorithm::Blake3, b""),
            "bafkr4ifpcne3t5pzugtkaqcn5i3nzskjtpfslsnnyejlpte2spfoihzsmi"
        );
    }

    #[test]
    fn a_name_is_parsed_into_what_printed_it() {
        for algorithm in [HashAlgorithm::Blake3, HashAlgorithm::Sha2_256] {
            let text = name(algorithm, b"hello");
            let id: BlockId = text.parse().unwrap();
            assert_eq!(id.algorithm(), algorithm);
            assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_the_canonical_name_of_raw_bytes_is_refused() {
        let id: BlockId = name(HashAlgorithm::Blake3, b"hello").parse().unwrap();
        let cid: Cid = id.to_string().parse().unwrap();
        let parse = |text: &str| text.parse::<BlockId>().unwrap_err();
        assert_eq!(parse(""), BlockIdError::Cid);
        assert_eq!(parse("../../etc/passwd"), BlockIdError::Cid);
        assert_eq!(parse(&id.to_string()[..20]), BlockIdError::Cid);
        assert_eq!(parse(&id.to_string().to_uppercase()), BlockIdError::Form(id));
        assert_eq!(parse(&format!("/ipfs/{id}")), BlockIdError::Form(id));
        assert_eq!(parse(&cid.to_string_of_base(Base::Base58Btc).unwrap()), BlockIdError::Form(id));
        let dag = Cid::new_v1(0x70, *cid.hash()).to_string();
        assert_eq!(parse(&dag), BlockIdError::Codec(0x70));
        let short = Multihash::<64>::wrap(0x1e, &[0; 16]).unwrap();
        assert_eq!(parse(&Cid::new_v1(RAW, short).to_string()), BlockIdError::Digest(0x1e));
        let sha1 = Multihash::<64>::wrap(0x11, &[0; 20]).unwrap();
        assert_eq!(parse(&Cid::new_v1(RAW, sha1).to_string()), BlockIdError::Digest(0x11));
        assert_eq!(
            parse("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"),
            BlockIdError::Codec(0x70)
        );
    }
}

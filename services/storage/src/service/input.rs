//! What clients send, checked, and turned into the store's words. Every refusal names the field.

use blackhole_protocol::storage::v1::{
    DownloadRequest, HashAlgorithm as HashAlgorithmMessage, UploadHeader,
};

use super::ServiceError;
use crate::{BlockId, Expectation, HashAlgorithm, Span};

/// Of `data` in one message of an upload, in bytes.
pub(super) const DATA_SIZE_MAX: usize = (4 << 20) - 64;

/// Of a whole message: enough for the tag and the length of the largest data.
pub(super) const MESSAGE_SIZE_MAX: usize = 4 << 20;

/// Blocks on a page, if the client does not choose.
const PAGE_SIZE: usize = 100;

/// Blocks on a page.
const PAGE_SIZE_MAX: usize = 1000;

pub(super) fn refuse(field: &'static str, problem: impl Into<String>) -> ServiceError {
    ServiceError::Field { field, problem: problem.into() }
}

pub(super) fn block_id(field: &'static str, text: &str) -> Result<BlockId, ServiceError> {
    text.parse().map_err(|source| ServiceError::BlockId { field, source })
}

/// What a header announces, with the service's own digest unless it names one.
pub(super) fn expectation(
    header: &UploadHeader,
    default: HashAlgorithm,
) -> Result<Expectation, ServiceError> {
    let algorithm = hash_algorithm(header.hash_algorithm)?;
    if header.cid.is_empty() {
        return Ok(Expectation::Any(algorithm.unwrap_or(default), header.size));
    }
    let id = block_id("header.cid", &header.cid)?;
    match algorithm {
        Some(algorithm) if algorithm != id.algorithm() => {
            let problem = format!("{algorithm}, but `cid` is a digest by {}", id.algorithm());
            Err(refuse("header.hash_algorithm", problem))
        }
        Some(_) | None => Ok(Expectation::Id(id, header.size)),
    }
}

fn hash_algorithm(number: i32) -> Result<Option<HashAlgorithm>, ServiceError> {
    match HashAlgorithmMessage::try_from(number) {
        Ok(HashAlgorithmMessage::Unspecified) => Ok(None),
        Ok(HashAlgorithmMessage::Blake3) => Ok(Some(HashAlgorithm::Blake3)),
        Ok(HashAlgorithmMessage::Sha2256) => Ok(Some(HashAlgorithm::Sha2_256)),
        Err(_) => Err(refuse("header.hash_algorithm", format!("{number} is none that is known"))),
    }
}

pub(super) fn message_of(algorithm: HashAlgorithm) -> HashAlgorithmMessage {
    match algorithm {
        HashAlgorithm::Blake3 => HashAlgorithmMessage::Blake3,
        HashAlgorithm::Sha2_256 => HashAlgorithmMessage::Sha2256,
    }
}

pub(super) fn span(request: &DownloadRequest) -> Span {
    Span { offset: request.offset, length: request.length }
}

pub(super) fn page_size(number: u32) -> Result<usize, ServiceError> {
    match usize::try_from(number) {
        Ok(0) => Ok(PAGE_SIZE),
        Ok(size) if size <= PAGE_SIZE_MAX => Ok(size),
        _ => Err(refuse("page_size", format!("{number} is more than {PAGE_SIZE_MAX}"))),
    }
}

pub(super) fn page_token(text: &str) -> Result<Option<BlockId>, ServiceError> {
    let token = (!text.is_empty()).then(|| text.parse()).transpose();
    token.map_err(|_| refuse("page_token", "not the `next_page_token` of an earlier answer"))
}

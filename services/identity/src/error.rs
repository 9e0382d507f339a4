//! What can go wrong, and the one place where it becomes a gRPC status.

use tonic::Status;

use crate::{did::DidError, passwords::PasswordError, store::StoreError, tokens::TokenError};

/// Why a request was not granted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{field}` {rule}")]
    Input { field: String, rule: String },
    #[error("`{field}` is not an identifier: {source}")]
    Did { field: &'static str, source: DidError },
    #[error("`{0}` was not made here")]
    UnknownDid(String),
    #[error("`{0}` was deleted")]
    DeletedDid(String),
    #[error("`{0}` was made here before")]
    DidExists(String),
    #[error("the username `{0}` is taken")]
    UsernameTaken(String),
    #[error("the username or the password is wrong")]
    WrongCredentials,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Input { .. } | Error::Did { .. } => Self::invalid_argument(text),
            Error::UnknownDid(_) => Self::not_found(text),
            Error::DeletedDid(_) => Self::failed_precondition(text),
            Error::DidExists(_) | Error::UsernameTaken(_) => Self::already_exists(text),
            Error::WrongCredentials | Error::Token(TokenError::Refused(_)) => {
                Self::unauthenticated(text)
            }
            Error::Password(PasswordError::Busy) => Self::resource_exhausted(text),
            Error::Store(StoreError::Full) => Self::resource_exhausted(text),
            Error::Store(StoreError::Busy | StoreError::Reopening | StoreError::Stopping) => {
                Self::unavailable(text)
            }
            Error::Password(PasswordError::Hash(_) | PasswordError::Stopping)
            | Error::Token(TokenError::Sign(_))
            | Error::Store(StoreError::Redb(_) | StoreError::Record(_))
            | Error::Random(_) => internal(&error),
            Error::Store(StoreError::Open { .. }) => closed(&error),
        }
    }
}

/// An instance that cannot open the state, for example because descriptors have run out, is replaced: a caller that
/// tries again may find it open.
fn closed(error: &Error) -> Status {
    tracing::error!(error = error as &dyn std::error::Error, "a request failed");
    Status::unavailable("the identity service could not open its state; try again, or see its log")
}

/// The details are for the log, not for the caller.
fn internal(error: &Error) -> Status {
    tracing::error!(error = error as &dyn std::error::Error, "a request failed");
    Status::internal("the identity service failed; its log says why")
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn whose_state_cannot_be_opened_is_to_be_asked_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::new(directory.path().to_owned());
        let refused = store.read(|_| Ok::<(), Error>(())).await.expect_err("that is a directory");
        assert_eq!(Status::from(refused).code(), Code::Unavailable);
    }
}

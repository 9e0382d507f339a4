//! Accounts: a name, a password, and an identifier.

use blackhole_protocol::identity::v1::{
    AuthenticateRequest, CreateAccountRequest, CreateAccountResponse, CreateDidRequest,
};
use prost::Message;
use redb::{ReadableTable, WriteTransaction};
use zeroize::Zeroizing;

use crate::{
    error::Error,
    identifiers::{NewDid, now},
    input,
    passwords::{Passwords, Verdict},
    store::{ACCOUNTS, AccountRecord, Store, StoreError, Writer},
};

const DEFAULT_ROLE: &str = "user";

/// Makes an account and its identifier, both or neither.
pub(crate) async fn create(
    store: &Store,
    writer: &Writer,
    passwords: &Passwords,
    request: CreateAccountRequest,
) -> Result<CreateAccountResponse, Error> {
    let CreateAccountRequest { username, password, role } = request;
    let password = Zeroizing::new(password);
    input::word("username", &username)?;
    input::new_password(&password)?;
    let role = if role.is_empty() { DEFAULT_ROLE.to_owned() } else { role };
    input::word("role", &role)?;
    // Only so that a taken name does not cost a hash; what counts is the look while writing.
    if find(store, username.clone()).await?.is_some() {
        return Err(Error::UsernameTaken(username));
    }
    let password_hash = passwords.hash(password).await?;
    let now = now();
    let new = NewDid::from_request(CreateDidRequest::default(), now)?;
    let created_at = Some(now);
    let (user_id, did) = (user_id()?, new.did.clone());
    let answer = CreateAccountResponse { user_id: user_id.clone(), did: did.clone(), created_at };
    let account = AccountRecord { user_id, did, role, password_hash, created_at };
    let change = move |transaction: &WriteTransaction| {
        let mut accounts = transaction.open_table(ACCOUNTS).map_err(StoreError::from)?;
        if accounts.get(username.as_str()).map_err(StoreError::from)?.is_some() {
            return Err(Error::UsernameTaken(username));
        }
        let bytes = account.encode_to_vec();
        accounts.insert(username.as_str(), bytes.as_slice()).map_err(StoreError::from)?;
        Ok(new.insert(transaction)?)
    };
    writer.write(change).await?;
    Ok(answer)
}

/// The account of this name, if the password is its password.
pub(crate) async fn authenticate(
    store: &Store,
    passwords: &Passwords,
    request: AuthenticateRequest,
) -> Result<AccountRecord, Error> {
    let password = Zeroizing::new(request.password);
    if password.len() > input::PASSWORD_LENGTH_MAX {
        return Err(Error::WrongCredentials);
    }
    let account = match input::word("username", &request.username) {
        Ok(()) => find(store, request.username).await?,
        // No account has such a name; the caller is to wait as long as for any other.
        Err(_) => None,
    };
    let kept = account.as_ref().map(|account| account.password_hash.clone());
    let verdict = passwords.verify(password, kept).await?;
    match (verdict, account) {
        (Verdict::Right, Some(account)) => Ok(account),
        (Verdict::Wrong, _) | (Verdict::Right, None) => Err(Error::WrongCredentials),
    }
}

async fn find(store: &Store, username: String) -> Result<Option<AccountRecord>, StoreError> {
    store
        .read(move |transaction| {
            let accounts = transaction.open_table(ACCOUNTS)?;
            let bytes = accounts.get(username.as_str())?;
            bytes.map(|bytes| AccountRecord::read(bytes.value())).transpose()
        })
        .await
}

fn user_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

//! Opening the file, and making it at the first start.

use std::{fs::OpenOptions, io, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc};

use redb::{Database, DatabaseError};

use super::{ACCOUNTS, DIDS, EVENTS, KEYS, META, Opened, StoreError};

/// Counts up when an older program could not use the file.
const FORMAT: u64 = 1;

/// The cache, in bytes: a service is one of many on its machine.
const CACHE_SIZE: usize = 16 << 20;

const HELD: &str = ": another process holds it\n\
                    hint: run one instance of this service per data directory";

const TOO_NEW: &str = ": it was written by a later version\nhint: run that version";

pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    let database = database(path).map_err(|error| {
        let hint = if matches!(error, DatabaseError::DatabaseAlreadyOpen) { HELD } else { "" };
        StoreError::Open { path: path.into(), hint, source: Arc::new(error.into()) }
    })?;
    let token_seed = prepare(&database, path)?;
    Ok(Opened { database, token_seed })
}

/// Only the service's own user may read the file: it holds private keys.
fn database(path: &Path) -> Result<Database, DatabaseError> {
    let mut options = OpenOptions::new();
    let file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Database::builder().set_cache_size(CACHE_SIZE).create_file(file)
}

/// The key's seed from the file; at the first start, makes it and the tables.
fn prepare(database: &Database, path: &Path) -> Result<zeroize::Zeroizing<[u8; 32]>, StoreError> {
    use redb::ReadableDatabase;
    let reading = database.begin_read()?;
    match reading.open_table(KEYS) {
        Ok(keys) => {
            let format = reading.open_table(META)?.get("format")?.map(|format| format.value());
            if format.is_none_or(|format| format > FORMAT) {
                let source = Arc::new(redb::Error::Io(io::ErrorKind::InvalidData.into()));
                return Err(StoreError::Open { path: path.into(), hint: TOO_NEW, source });
            }
            let seed = keys.get("token")?.and_then(|seed| seed.value().try_into().ok());
            seed.map(zeroize::Zeroizing::new).ok_or_else(|| corrupted(path))
        }
        Err(redb::TableError::TableDoesNotExist(_)) => begin(database),
        Err(error) => Err(error.into()),
    }
}

fn corrupted(path: &Path) -> StoreError {
    let source = redb::Error::Corrupted("the signing key is missing".into());
    StoreError::Open { path: path.into(), hint: "", source: Arc::new(source) }
}

fn begin(database: &Database) -> Result<zeroize::Zeroizing<[u8; 32]>, StoreError> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed)
        .map_err(|error| redb::Error::Io(io::Error::other(error.to_string())))?;
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    transaction.open_table(DIDS)?;
    transaction.open_table(ACCOUNTS)?;
    transaction.open_table(EVENTS)?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    transaction.open_table(KEYS)?.insert("token", &seed[..])?;
    transaction.commit()?;
    Ok(seed)
}

//! Opening the file, and making it at the first start.
//!
//! A process that is killed while it makes the file must not leave half of one: redb would refuse it for
//! ever. So it is made under another name, and gets its own when it is whole.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use redb::{Database, DatabaseError, ReadableDatabase};

use super::{ACCOUNTS, DIDS, EVENTS, KEYS, META, Opened, StoreError};

/// Counts up when an older program could not use the file.
const FORMAT: u64 = 1;

/// The cache, in bytes: a service is one of many on its machine.
const CACHE_SIZE: usize = 16 << 20;

const HELD: &str = ": another process holds it\n\
                    hint: run one instance of this service per data directory";

const TOO_NEW: &str = ": it was written by a later version\nhint: run that version";

pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    let failed = |error: DatabaseError| {
        let hint = if matches!(error, DatabaseError::DatabaseAlreadyOpen) { HELD } else { "" };
        StoreError::Open { path: path.into(), hint, source: Arc::new(error.into()) }
    };
    if !path.try_exists().map_err(|error| failed(error.into()))? {
        make(path)?;
    }
    let file = OpenOptions::new().read(true).write(true).open(path);
    let database = file.map_err(DatabaseError::from).and_then(database).map_err(failed)?;
    let token_seed = token_seed(&database, path)?;
    Ok(Opened { database, token_seed })
}

fn database(file: File) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE_SIZE).create_file(file)
}

/// Only the service's own user may read the file: it holds private keys.
fn make(path: &Path) -> Result<(), StoreError> {
    let failed = |hint| {
        let path = path.to_owned();
        move |error: io::Error| StoreError::Open { path, hint, source: Arc::new(error.into()) }
    };
    let unfinished = path.with_extension("redb.new");
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = file.open(&unfinished).map_err(failed(""))?;
    // Whoever makes it holds the lock, which redb takes again and drops at the end.
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => failed(HELD)(io::ErrorKind::WouldBlock.into()),
        TryLockError::Error(error) => failed("")(error),
    })?;
    if !is_at(&file, &unfinished).map_err(failed(""))? {
        // Another process has finished it meanwhile: it has its own name now, and must not be emptied.
        return Ok(());
    }
    file.set_len(0).map_err(failed(""))?;
    let database = database(file)?;
    fill(&database)?;
    fs::rename(&unfinished, path).map_err(failed(""))?;
    drop(database);
    let directory = path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all());
    directory.map_err(failed(""))
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let file = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (file.dev(), file.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The tables, and a fresh key.
fn fill(database: &Database) -> Result<(), StoreError> {
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
    Ok(transaction.commit()?)
}

fn token_seed(
    database: &Database,
    path: &Path,
) -> Result<zeroize::Zeroizing<[u8; 32]>, StoreError> {
    let failed =
        |hint, source| StoreError::Open { path: path.into(), hint, source: Arc::new(source) };
    let reading = database.begin_read()?;
    let format = reading.open_table(META)?.get("format")?.map(|format| format.value());
    if format.is_none_or(|format| format > FORMAT) {
        return Err(failed(TOO_NEW, redb::Error::Io(io::ErrorKind::InvalidData.into())));
    }
    let seed = reading.open_table(KEYS)?.get("token")?;
    let seed = seed.and_then(|seed| seed.value().try_into().ok());
    let missing = || failed("", redb::Error::Corrupted("the signing key is missing".into()));
    seed.map(zeroize::Zeroizing::new).ok_or_else(missing)
}

//! Making, resolving, updating and deleting identifiers.

use std::{collections::HashMap, time::SystemTime};

use blackhole_protocol::identity::v1::{
    CreateDidRequest, DidCreated, DidDeleted, DidDocument, DidUpdated, did_event::Payload,
};
use prost::Message;
use prost_types::Timestamp;
use redb::{ReadableTable, WriteTransaction};

use crate::{
    did::Did,
    document::document,
    error::Error,
    input,
    store::{DIDS, DidRecord, Store, StoreError, Writer, append_event},
};

/// An identifier that is about to be made.
pub(crate) struct NewDid {
    pub(crate) did: String,
    pub(crate) record: DidRecord,
}

impl NewDid {
    /// Checks a request, and makes a key unless it brings one.
    pub(crate) fn from_request(request: CreateDidRequest, now: Timestamp) -> Result<Self, Error> {
        input::method(&request.method)?;
        input::properties(&request.properties)?;
        let (did, secret_key) = if request.public_key.is_empty() {
            let (did, key) = Did::generate()?;
            (did, key.to_bytes().to_vec())
        } else {
            let did = Did::from_public_key(&request.public_key);
            (did.map_err(|source| Error::Did { field: "public_key", source })?, Vec::new())
        };
        let record = DidRecord {
            created_at: Some(now),
            properties: request.properties,
            derive_key_agreement: request.encryption.is_some_and(|it| it.derive_key_agreement),
            secret_key,
            ..DidRecord::default()
        };
        Ok(Self { did: did.to_string(), record })
    }

    /// Writes it, with its event, as part of a change. It must be known to be new.
    pub(crate) fn insert(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        let mut dids = transaction.open_table(DIDS)?;
        dids.insert(self.did.as_str(), self.record.encode_to_vec().as_slice())?;
        let now = self.record.created_at.unwrap_or_default();
        let properties = self.record.properties.clone();
        let created = DidCreated { method: "key".to_owned(), properties };
        append_event(transaction, &self.did, now, Payload::Created(created))
    }
}

/// Now, as messages carry it.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Keeps all of them, or none: then the first one that was made before is named.
pub(crate) async fn create(writer: &Writer, new: Vec<NewDid>) -> Result<(), Error> {
    let change = move |transaction: &WriteTransaction| {
        let mut names = std::collections::HashSet::new();
        let dids = transaction.open_table(DIDS).map_err(StoreError::from)?;
        for NewDid { did, .. } in &new {
            let exists = dids.get(did.as_str()).map_err(StoreError::from)?.is_some();
            if exists || !names.insert(did.as_str()) {
                return Err(Error::DidExists(did.clone()));
            }
        }
        drop(dids);
        new.iter().try_for_each(|new| Ok(new.insert(transaction)?))
    };
    writer.write(change).await
}

/// The document of an identifier, made here or not.
pub(crate) async fn resolve(store: &Store, did: &str) -> Result<DidDocument, Error> {
    let did = parse(did)?;
    let key = did.to_string();
    let record = store
        .read(move |transaction| {
            let dids = transaction.open_table(DIDS)?;
            let bytes = dids.get(key.as_str())?;
            bytes.map(|bytes| DidRecord::read(bytes.value())).transpose()
        })
        .await?;
    Ok(document(&did, record))
}

/// Replaces an identifier's properties; gives the time.
pub(crate) async fn update(
    writer: &Writer,
    did: &str,
    properties: HashMap<String, String>,
) -> Result<Timestamp, Error> {
    input::properties(&properties)?;
    change(writer, did, move |did, record, now| {
        if record.deactivated {
            return Err(Error::DeletedDid(did.to_owned()));
        }
        record.properties.clone_from(&properties);
        record.updated_at = Some(now);
        Ok(Some(Payload::Updated(DidUpdated { properties })))
    })
    .await
}

/// Deactivates an identifier; gives the time at which that was done first.
pub(crate) async fn delete(writer: &Writer, did: &str) -> Result<Timestamp, Error> {
    change(writer, did, |_, record, now| {
        if record.deactivated {
            return Ok(None);
        }
        record.deactivated = true;
        record.updated_at = Some(now);
        record.properties.clear();
        record.secret_key.clear();
        Ok(Some(Payload::Deleted(DidDeleted {})))
    })
    .await
}

/// Changes one record as `alter` says, and appends the event that it gives; without one, nothing is
/// written. Gives the time of the record's latest change.
async fn change(
    writer: &Writer,
    did: &str,
    alter: impl FnOnce(&str, &mut DidRecord, Timestamp) -> Result<Option<Payload>, Error>
    + Send
    + 'static,
) -> Result<Timestamp, Error> {
    let did = parse(did)?.to_string();
    let change = move |transaction: &WriteTransaction| {
        let mut dids = transaction.open_table(DIDS).map_err(StoreError::from)?;
        let found = dids.get(did.as_str()).map_err(StoreError::from)?;
        let bytes = found.ok_or_else(|| Error::UnknownDid(did.clone()))?.value().to_vec();
        let mut record = DidRecord::read(&bytes)?;
        let now = now();
        if let Some(payload) = alter(&did, &mut record, now)? {
            let bytes = record.encode_to_vec();
            dids.insert(did.as_str(), bytes.as_slice()).map_err(StoreError::from)?;
            append_event(transaction, &did, now, payload)?;
        }
        Ok(record.updated_at.unwrap_or(now))
    };
    writer.write(change).await
}

fn parse(did: &str) -> Result<Did, Error> {
    did.parse().map_err(|source| Error::Did { field: "did", source })
}

//! The log of events: numbered from 1 without gaps, the oldest forgotten.

use blackhole_protocol::identity::v1::{DidEvent, did_event::Payload};
use prost::Message;
use prost_types::Timestamp;
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::{EVENTS, StoreError, record::decode};

/// How many events are kept.
const EVENTS_MAX: u64 = 10_000;

/// Adds an event, as part of the change that it tells of.
pub(crate) fn append_event(
    transaction: &WriteTransaction,
    did: &str,
    timestamp: Timestamp,
    payload: Payload,
) -> Result<(), StoreError> {
    let mut events = transaction.open_table(EVENTS)?;
    let last = events.last()?.map_or(0, |(sequence, _)| sequence.value());
    let event = DidEvent {
        did: did.to_owned(),
        r#type: kind(&payload).into(),
        timestamp: Some(timestamp),
        payload: Some(payload),
        sequence: last + 1,
        missed: 0,
    };
    events.insert(event.sequence, event.encode_to_vec().as_slice())?;
    while events.len()? > EVENTS_MAX {
        events.pop_first()?;
    }
    Ok(())
}

fn kind(payload: &Payload) -> blackhole_protocol::identity::v1::EventType {
    use blackhole_protocol::identity::v1::EventType;
    match payload {
        Payload::Created(_) => EventType::Created,
        Payload::Updated(_) => EventType::Updated,
        Payload::Deleted(_) => EventType::Deleted,
    }
}

/// The number of the latest event; 0 if there was none.
pub(crate) fn last_sequence(transaction: &ReadTransaction) -> Result<u64, StoreError> {
    let events = transaction.open_table(EVENTS)?;
    Ok(events.last()?.map_or(0, |(sequence, _)| sequence.value()))
}

/// Up to `count_max` events after `position`; the first one says how many before it are gone.
pub(crate) fn events_after(
    transaction: &ReadTransaction,
    position: u64,
    count_max: usize,
) -> Result<Vec<DidEvent>, StoreError> {
    let Some(next) = position.checked_add(1) else { return Ok(Vec::new()) };
    let events = transaction.open_table(EVENTS)?;
    let mut found = Vec::new();
    for entry in events.range(next..)?.take(count_max) {
        let (_, bytes) = entry?;
        found.push(decode::<DidEvent>(bytes.value())?);
    }
    if let Some(first) = found.first_mut() {
        first.missed = first.sequence - next;
    }
    Ok(found)
}

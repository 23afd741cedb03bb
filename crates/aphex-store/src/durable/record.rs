//! Bytes of one entry and of one revision's undo record, little-endian as the engine's own.
//!
//! ```text
//! entry  created:u64 modified:u64 stamp_start:u32 stamp_len:u8 value
//! undo   ( kind:u8 key_len:u32 key previous_len:u32 previous:entry )*
//! ```
//! `u32::MAX` stands for "none" in `stamp_start` and `previous_len`.

use std::sync::Arc;

use bytes::Bytes;

use crate::entry::{Entry, Event, EventKind};

const NONE: u32 = u32::MAX;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// One change as the log has it: what the key held before.
pub(super) struct Undo {
    pub(super) kind: EventKind,
    pub(super) key: Arc<str>,
    pub(super) previous: Option<Entry>,
}

pub(super) fn entry(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(21 + entry.value.len());
    push_entry(&mut bytes, entry);
    bytes
}

pub(super) fn undo(events: &[Arc<Event>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for event in events {
        bytes.push(match event.kind {
            EventKind::Put => PUT,
            EventKind::Delete => DELETE,
        });
        push_length(&mut bytes, event.entry.key.len());
        bytes.extend_from_slice(event.entry.key.as_bytes());
        match &event.previous {
            None => bytes.extend_from_slice(&NONE.to_le_bytes()),
            Some(previous) => {
                push_length(&mut bytes, 21 + previous.value.len());
                push_entry(&mut bytes, previous);
            }
        }
    }
    bytes
}

fn push_entry(bytes: &mut Vec<u8>, entry: &Entry) {
    bytes.extend_from_slice(&entry.created.to_le_bytes());
    bytes.extend_from_slice(&entry.modified.to_le_bytes());
    match &entry.stamp {
        None => {
            bytes.extend_from_slice(&NONE.to_le_bytes());
            bytes.push(0);
        }
        Some(stamp) => {
            push_length(bytes, stamp.start);
            // A stamp is a decimal of at most 20 digits.
            bytes.push(u8::try_from(stamp.len()).unwrap_or(u8::MAX));
        }
    }
    bytes.extend_from_slice(&entry.value);
}

/// Keys and values are far below 4 GiB; the writer refuses larger ones.
fn push_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(NONE - 1).to_le_bytes());
}

/// `None` if the bytes are not an entry.
pub(super) fn parse_entry(key: Arc<str>, bytes: &[u8]) -> Option<Entry> {
    let mut rest = bytes;
    let created = u64::from_le_bytes(take(&mut rest)?);
    let modified = u64::from_le_bytes(take(&mut rest)?);
    let start = u32::from_le_bytes(take(&mut rest)?);
    let [length] = take::<1>(&mut rest)?;
    let stamp = match start {
        NONE => None,
        start => {
            let start = usize::try_from(start).ok()?;
            let end = start.checked_add(usize::from(length))?;
            rest.get(start..end)?;
            Some(start..end)
        }
    };
    Some(Entry { key, value: Bytes::copy_from_slice(rest), stamp, created, modified })
}

/// `None` if the bytes are not an undo record.
pub(super) fn parse_undo(bytes: &[u8]) -> Option<Vec<Undo>> {
    let mut rest = bytes;
    let mut changes = Vec::new();
    while !rest.is_empty() {
        let kind = match take::<1>(&mut rest)? {
            [PUT] => EventKind::Put,
            [DELETE] => EventKind::Delete,
            _ => return None,
        };
        let length = u32::from_le_bytes(take(&mut rest)?);
        let key: Arc<str> = str::from_utf8(take_slice(&mut rest, length)?).ok()?.into();
        let previous = match u32::from_le_bytes(take(&mut rest)?) {
            NONE => None,
            length => Some(parse_entry(Arc::clone(&key), take_slice(&mut rest, length)?)?),
        };
        changes.push(Undo { kind, key, previous });
    }
    Some(changes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

fn take_slice<'a>(rest: &mut &'a [u8], length: u32) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(key: &str) -> Entry {
        Entry {
            key: key.into(),
            value: Bytes::from_static(b"{\"v\":\"17\"}"),
            stamp: Some(6..8),
            created: 5,
            modified: 17,
        }
    }

    #[test]
    fn records_come_back_as_written() {
        let before = sample("/k");
        let plain = Entry { stamp: None, value: Bytes::new(), ..sample("/n") };
        for one in [&before, &plain] {
            assert_eq!(parse_entry(Arc::clone(&one.key), &entry(one)).as_ref(), Some(one));
        }
        let put = Event { kind: EventKind::Put, revision: 18, entry: plain.clone(), previous: None };
        let delete = Event {
            kind: EventKind::Delete,
            revision: 18,
            entry: before.deleted_at(18),
            previous: Some(before.clone()),
        };
        let changes = parse_undo(&undo(&[Arc::new(put), Arc::new(delete)])).unwrap();
        assert_eq!(changes.len(), 2);
        assert_eq!((changes[0].kind, &*changes[0].key, &changes[0].previous), (EventKind::Put, "/n", &None));
        assert_eq!((changes[1].kind, &changes[1].previous), (EventKind::Delete, &Some(before)));
    }

    #[test]
    fn cut_off_records_are_not_taken_for_whole_ones() {
        let event = Event {
            kind: EventKind::Delete,
            revision: 18,
            entry: sample("/k").deleted_at(18),
            previous: Some(sample("/k")),
        };
        let whole = undo(&[Arc::new(event)]);
        for length in 1..whole.len() {
            assert!(parse_undo(&whole[..length]).is_none(), "{length} of {} bytes", whole.len());
        }
        assert!(parse_entry("/k".into(), &entry(&sample("/k"))[..25]).is_none());
    }
}

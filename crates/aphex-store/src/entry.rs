//! What is stored under a key, what a caller hands in, and what a watcher is told.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

/// Number of a transaction; it only grows. An empty store is at revision 1, as in etcd.
pub type Revision = u64;

/// Most digits that a decimal revision can have.
const MOST_DIGITS: usize = 20;

/// One key at one revision.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// The bytes as stored, with the revision written in at `stamp`.
    pub value: Bytes,
    /// Where the decimal revision sits in `value`.
    pub stamp: Option<Range<usize>>,
    /// Revision that created the key.
    pub created: Revision,
    /// Revision that wrote this value.
    pub modified: Revision,
}

impl Entry {
    /// The same bytes with another revision written in at the stamp.
    pub fn restamped(&self, revision: Revision) -> Bytes {
        self.restamp(revision).0
    }

    /// The entry as a delete event shows it: last state, stamped with the delete's revision.
    pub(crate) fn deleted_at(&self, revision: Revision) -> Self {
        let (value, stamp) = self.restamp(revision);
        Self { key: Arc::clone(&self.key), value, stamp, created: self.created, modified: revision }
    }

    fn restamp(&self, revision: Revision) -> (Bytes, Option<Range<usize>>) {
        let Some(stamp) = self.stamp.clone() else { return (self.value.clone(), None) };
        let before = self.value.get(..stamp.start).unwrap_or_default();
        let after = self.value.get(stamp.end..).unwrap_or_default();
        let (value, stamp) = insert(before, after, revision);
        (value, Some(stamp))
    }
}

// Values hold secrets, so debug output tells their size and never their content.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("size", &self.value.len())
            .field("created", &self.created)
            .field("modified", &self.modified)
            .finish_non_exhaustive()
    }
}

/// Bytes to store, and where the store writes the revision into them.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// The bytes, without the revision.
    pub bytes: Bytes,
    /// Offset at which the decimal commit revision is inserted.
    pub stamp: Option<usize>,
}

impl Payload {
    /// The stored bytes for a commit at this revision; `None` if the offset is outside them.
    pub(crate) fn stamped(self, revision: Revision) -> Option<(Bytes, Option<Range<usize>>)> {
        let Some(offset) = self.stamp else { return Some((self.bytes, None)) };
        let (before, after) = self.bytes.split_at_checked(offset)?;
        let (value, stamp) = insert(before, after, revision);
        Some((value, Some(stamp)))
    }
}

// As for `Entry`: never the content.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("size", &self.bytes.len()).field("stamp", &self.stamp).finish()
    }
}

fn insert(before: &[u8], after: &[u8], revision: Revision) -> (Bytes, Range<usize>) {
    let mut value = BytesMut::with_capacity(before.len() + MOST_DIGITS + after.len());
    value.put_slice(before);
    let mut digits = [0_u8; MOST_DIGITS];
    value.put_slice(decimal(revision, &mut digits));
    let stamp = before.len()..value.len();
    value.put_slice(after);
    (value.freeze(), stamp)
}

fn decimal(mut number: Revision, digits: &mut [u8; MOST_DIGITS]) -> &[u8] {
    let mut start = MOST_DIGITS;
    for digit in digits.iter_mut().rev() {
        // A remainder of ten is below ten, so the cast loses nothing.
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    &digits[start..]
}

/// Whether an event wrote or removed its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The key was created or replaced.
    Put,
    /// The key was removed.
    Delete,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The transaction that did it.
    pub revision: Revision,
    /// The new entry; for a delete the last state, stamped with the delete's revision.
    pub entry: Entry,
    /// What the key held before.
    pub previous: Option<Entry>,
}

impl Event {
    /// Whether the key did not exist before.
    pub fn is_create(&self) -> bool {
        self.kind == EventKind::Put && self.previous.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_writes_every_width() {
        for number in [0, 7, 10, 99, 1_234_567_890, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; MOST_DIGITS]), number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_stamp_is_inserted_and_replaced_by_one_of_another_width() {
        let payload = Payload { bytes: Bytes::from_static(b"{\"v\":\"\"}"), stamp: Some(6) };
        let (value, stamp) = payload.stamped(99).unwrap();
        assert_eq!(&value[..], b"{\"v\":\"99\"}");
        let entry = Entry { key: "k".into(), value, stamp, created: 3, modified: 99 };
        assert_eq!(&entry.restamped(100)[..], b"{\"v\":\"100\"}");
        let gone = entry.deleted_at(1000);
        assert_eq!(&gone.value[gone.stamp.clone().unwrap()], b"1000");
        assert_eq!((gone.created, gone.modified), (3, 1000));
    }

    #[test]
    fn a_stamp_outside_the_bytes_is_refused() {
        assert!(Payload { bytes: Bytes::from_static(b"abc"), stamp: Some(4) }.stamped(1).is_none());
        assert!(Payload { bytes: Bytes::from_static(b"abc"), stamp: Some(3) }.stamped(1).is_some());
    }

    #[test]
    fn debug_output_shows_no_content() {
        let value = Bytes::from_static(b"hunter2");
        let entry = Entry { key: "k".into(), value: value.clone(), stamp: None, created: 1, modified: 1 };
        assert!(!format!("{entry:?} {:?}", Payload { bytes: value, stamp: None }).contains("hunter2"));
    }
}

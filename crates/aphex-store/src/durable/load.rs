//! Reads a store file into memory, and checks on the way that its tables agree.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};

use super::number;
use super::open_error::OpenFailure;
use super::record::{self, Undo};
use super::{CURRENT, FORMAT, LOG, META, META_CLUSTER, META_COMPACTED, META_FORMAT};
use crate::entry::{Entry, Event, EventKind, Revision};
use crate::state::State;
use crate::store::new_cluster_id;

/// What a store file holds.
pub(crate) struct Loaded {
    pub(crate) state: State,
    pub(crate) cluster_id: String,
}

/// Loads the state; a new file first gets its identity.
pub(super) fn load(database: &Database) -> Result<Loaded, OpenFailure> {
    let meta = match read_meta(database)? {
        Some(meta) => meta,
        None => initialise(database).map_err(OpenFailure::engine)?,
    };
    if meta.format > FORMAT {
        return Err(OpenFailure::NewerFormat { found: meta.format, supported: FORMAT });
    }
    let current = read_current(database)?;
    // The log ends with the newest revision; a new or wholly compacted one is empty.
    let first = meta.compacted.max(State::empty().revision);
    let history = read_history(database, first, &current)?;
    let revision = history.back().map_or(first, |event| event.revision);
    if current.values().any(|entry| entry.modified > revision) {
        return Err(damaged("its log ends too early"));
    }
    let state = State { current, history, revision, compacted: meta.compacted };
    Ok(Loaded { state, cluster_id: meta.cluster_id })
}

/// What the file says about itself.
pub(super) struct Meta {
    pub(super) format: u64,
    pub(super) cluster_id: String,
    pub(super) compacted: Revision,
}

fn initialise(database: &Database) -> Result<Meta, redb::Error> {
    let compacted = State::empty().compacted;
    let meta = Meta { format: FORMAT, cluster_id: new_cluster_id(), compacted };
    let transaction = database.begin_write()?;
    transaction.open_table(CURRENT)?;
    transaction.open_table(LOG)?;
    write_meta(&transaction, &meta)?;
    transaction.commit()?;
    Ok(meta)
}

pub(super) fn write_meta(transaction: &WriteTransaction, meta: &Meta) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(META)?;
    table.insert(META_FORMAT, number(meta.format).as_slice())?;
    table.insert(META_CLUSTER, meta.cluster_id.as_bytes())?;
    table.insert(META_COMPACTED, number(meta.compacted).as_slice())?;
    Ok(())
}

/// `None` if the file is new.
fn read_meta(database: &Database) -> Result<Option<Meta>, OpenFailure> {
    let transaction = database.begin_read().map_err(OpenFailure::engine)?;
    let table = match transaction.open_table(META) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table.map_err(OpenFailure::engine)?,
    };
    let get = |name: &[u8]| {
        let value = table.get(name).map_err(OpenFailure::engine)?;
        value.map(|value| value.value().to_vec()).ok_or_else(|| damaged("its header is not whole"))
    };
    let get_number = |name: &[u8]| {
        let bytes = get(name)?.try_into().map_err(|_| damaged("its header has a malformed number"))?;
        Ok(u64::from_le_bytes(bytes))
    };
    let format = get_number(META_FORMAT)?;
    if format > FORMAT {
        // What follows may be laid out in any way.
        return Err(OpenFailure::NewerFormat { found: format, supported: FORMAT });
    }
    let cluster_id =
        String::from_utf8(get(META_CLUSTER)?).map_err(|_| damaged("its identity is not readable"))?;
    Ok(Some(Meta { format, cluster_id, compacted: get_number(META_COMPACTED)? }))
}

fn read_current(database: &Database) -> Result<BTreeMap<Arc<str>, Entry>, OpenFailure> {
    let transaction = database.begin_read().map_err(OpenFailure::engine)?;
    let table = transaction.open_table(CURRENT).map_err(OpenFailure::engine)?;
    let mut current = BTreeMap::new();
    for row in table.iter().map_err(OpenFailure::engine)? {
        let (key, value) = row.map_err(OpenFailure::engine)?;
        let key: Arc<str> = str::from_utf8(key.value()).map_err(|_| damaged("a key is not readable"))?.into();
        let entry = record::parse_entry(Arc::clone(&key), value.value())
            .ok_or_else(|| damaged("an entry is not readable"))?;
        current.insert(key, entry);
    }
    Ok(current)
}

/// Walks the log from its end, so that what each change wrote is known when it is reached.
fn read_history(
    database: &Database,
    first: Revision,
    current: &BTreeMap<Arc<str>, Entry>,
) -> Result<VecDeque<Arc<Event>>, OpenFailure> {
    let transaction = database.begin_read().map_err(OpenFailure::engine)?;
    let table = transaction.open_table(LOG).map_err(OpenFailure::engine)?;
    let mut history = VecDeque::new();
    let mut undone: BTreeMap<Arc<str>, Option<Entry>> = BTreeMap::new();
    let mut expected = None;
    for row in table.iter().map_err(OpenFailure::engine)?.rev() {
        let (revision, value) = row.map_err(OpenFailure::engine)?;
        let revision = revision.value();
        if revision <= first || expected.is_some_and(|expected| expected != revision) {
            return Err(damaged("its log has a gap"));
        }
        expected = Some(revision - 1);
        let changes =
            record::parse_undo(value.value()).ok_or_else(|| damaged("a log record is not readable"))?;
        for change in changes.into_iter().rev() {
            let after = match undone.remove(&change.key) {
                Some(after) => after,
                None => current.get(&change.key).cloned(),
            };
            let event = redo(change, revision, after)?;
            undone.insert(Arc::clone(&event.entry.key), event.previous.clone());
            history.push_front(Arc::new(event));
        }
    }
    if expected.is_some_and(|expected| expected != first) {
        return Err(damaged("its log has a gap"));
    }
    Ok(history)
}

fn redo(undo: Undo, revision: Revision, after: Option<Entry>) -> Result<Event, OpenFailure> {
    let Undo { kind, key, previous } = undo;
    let disagree = || damaged("its log and its entries disagree");
    match kind {
        EventKind::Put => {
            let entry = after.filter(|entry| entry.modified == revision).ok_or_else(disagree)?;
            // One allocation for every version of the key.
            let previous = previous.map(|previous| Entry { key: Arc::clone(&entry.key), ..previous });
            Ok(Event { kind, revision, entry, previous })
        }
        EventKind::Delete => {
            let previous = previous.ok_or_else(disagree)?;
            if after.is_some() {
                return Err(disagree());
            }
            let entry = Entry { key, ..previous.deleted_at(revision) };
            Ok(Event { kind, revision, entry, previous: Some(previous) })
        }
    }
}

fn damaged(what: &'static str) -> OpenFailure {
    OpenFailure::Damaged(what.into())
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    /// A new file with one thing in it changed.
    fn altered(change: impl FnOnce(&WriteTransaction)) -> Result<Loaded, OpenFailure> {
        let database = redb::Builder::new().create_with_backend(InMemoryBackend::new()).unwrap();
        load(&database)?;
        let transaction = database.begin_write().unwrap();
        change(&transaction);
        transaction.commit().unwrap();
        load(&database)
    }

    fn set_meta(transaction: &WriteTransaction, name: &[u8], value: u64) {
        transaction.open_table(META).unwrap().insert(name, number(value).as_slice()).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let error = altered(|transaction| set_meta(transaction, META_FORMAT, FORMAT + 1)).err().unwrap();
        assert!(matches!(error, OpenFailure::NewerFormat { found: 2, supported: 1 }), "{error:?}");
    }

    #[test]
    fn tables_that_disagree_are_damage() {
        assert!(altered(|_| {}).is_ok());
        let undo = [&[1, 1, 0, 0, 0, b'k'][..], &u32::MAX.to_le_bytes()].concat();
        let entry = [&number(2)[..], &number(2), &u32::MAX.to_le_bytes(), &[0], b"value"].concat();
        let with = |logged: &[u64], entry: Option<&[u8]>| {
            altered(|transaction| {
                for revision in logged {
                    transaction.open_table(LOG).unwrap().insert(*revision, undo.as_slice()).unwrap();
                }
                if let Some(entry) = entry {
                    let mut current = transaction.open_table(CURRENT).unwrap();
                    current.insert(b"k".as_slice(), entry).unwrap();
                }
            })
        };
        assert_eq!(with(&[2], Some(&entry)).unwrap().state.revision, 2);
        for (logged, entry) in [
            (&[2][..], None),
            (&[], Some(&entry[..])),
            (&[1, 2], Some(&entry)),
            (&[2, 4], Some(&entry)),
            (&[2], Some(b"short")),
        ] {
            let loaded = with(logged, entry);
            assert!(matches!(loaded, Err(OpenFailure::Damaged(_))), "log {logged:?}");
        }
    }
}

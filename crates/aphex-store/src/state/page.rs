//! Lists in pages, at the newest or at an older revision.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use super::{ReadError, State};
use crate::entry::{Entry, Revision};

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// Only keys with this prefix.
    pub prefix: String,
    /// Only keys greater than this one: the last key of the page before.
    pub after: Option<String>,
    /// At most so many entries.
    pub limit: Option<usize>,
    /// As of this revision; the newest if absent.
    pub at: Option<Revision>,
}

/// One page of a list, in the order of keys.
#[derive(Clone, Debug)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// The revision that the page shows.
    pub revision: Revision,
    /// How many entries follow on later pages.
    pub remaining: usize,
}

impl State {
    pub(crate) fn list(&self, request: &List) -> Result<Page, ReadError> {
        let at = request.at.unwrap_or(self.revision);
        self.check_readable(at)?;
        let mut entries = self.entries_at(request, at);
        let Some(limit) = request.limit else {
            return Ok(Page { entries: entries.cloned().collect(), revision: at, remaining: 0 });
        };
        let page = entries.by_ref().take(limit).cloned().collect();
        Ok(Page { entries: page, revision: at, remaining: entries.count() })
    }

    pub(crate) fn count(&self, prefix: &str) -> usize {
        let from = self.current.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(|(key, _)| key.starts_with(prefix)).count()
    }

    fn entries_at<'a>(&'a self, request: &'a List, at: Revision) -> impl Iterator<Item = &'a Entry> {
        let prefix = request.prefix.as_str();
        // A key after which to go on may lie before the prefix or beyond it; the range copes.
        let start = match request.after.as_deref() {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let current = self.current.range::<str, _>((start, Bound::Unbounded));
        Merged {
            prefix,
            current: current.peekable(),
            undone: self.undone(request, at).into_iter().peekable(),
        }
    }

    /// What the keys that changed after `at` held then.
    fn undone(&self, request: &List, at: Revision) -> BTreeMap<&str, Option<&Entry>> {
        let mut undone = BTreeMap::new();
        if at == self.revision {
            return undone;
        }
        for event in self.history.range(self.first_after(at)..) {
            let key: &str = &event.entry.key;
            let wanted =
                key.starts_with(&request.prefix) && request.after.as_deref().is_none_or(|after| key > after);
            if wanted {
                // The first event after `at` saw what the key held at `at`.
                undone.entry(key).or_insert(event.previous.as_ref());
            }
        }
        undone
    }
}

/// Current entries with the undone ones in their place, in the order of keys.
struct Merged<'a> {
    prefix: &'a str,
    current: Peekable<btree_map::Range<'a, Arc<str>, Entry>>,
    undone: Peekable<btree_map::IntoIter<&'a str, Option<&'a Entry>>>,
}

impl<'a> Iterator for Merged<'a> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        loop {
            let current = self.current.peek().filter(|(key, _)| key.starts_with(self.prefix));
            let current: Option<&str> = current.map(|(key, _)| key.as_ref());
            match (current, self.undone.peek().map(|(key, _)| *key)) {
                (Some(key), Some(undone)) if key == undone => {
                    self.current.next();
                }
                (Some(key), undone) if undone.is_none_or(|undone| key < undone) => {
                    return self.current.next().map(|(_, entry)| entry);
                }
                (None, None) => return None,
                _ => {
                    if let Some((_, Some(entry))) = self.undone.next() {
                        return Some(entry);
                    }
                }
            }
        }
    }
}

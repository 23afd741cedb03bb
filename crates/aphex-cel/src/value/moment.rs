//! A point in time, and the offset it was written with.

use std::cmp::Ordering;
use std::fmt;

use jiff::Timestamp;
use jiff::tz::Offset;

/// A point in time; equality and order are those of the point, and its text has the offset.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    at: Timestamp,
    offset: Offset,
}

impl Moment {
    /// The point under an offset from UTC.
    pub(crate) fn with_offset(at: Timestamp, offset: Offset) -> Self {
        Self { at, offset }
    }

    /// The point.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Another point under the same offset.
    pub(crate) fn moved_to(&self, at: Timestamp) -> Self {
        Self { at, ..*self }
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self { at, offset: Offset::UTC }
    }
}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Moment {}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.offset.is_zero() { self.at.fmt(f) } else { self.at.display_with_offset(self.offset).fmt(f) }
    }
}

//! A name that a glob matches, if any name does: a walk over the glob and the rules of names at once.
//!
//! Both read a name from left to right and remember little of it, so there are not many places where both can be; the walk
//! visits each at most once. Where a glob leaves a choice, each character that a rule of names speaks of is tried, and one
//! of all those that none speaks of, for these are alike: so when no name is found, there is none.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use super::parts::{Class, Part};
use crate::names::BranchScan;

/// Stands for the characters that no rule speaks of, where a glob leaves a choice.
const ORDINARY: [char; 2] = ['x', '0'];
/// More than there are characters in a row that a rule speaks of.
const ENOUGH: usize = 128;

/// Rules of names, as far as a name was read.
pub(super) trait Rules: Copy + Eq + Hash {
    /// Nothing was read.
    const START: Self;
    /// The characters that a rule speaks of, beside those that no name has.
    const MEANT: &str;

    /// Whether any name has the character.
    fn is_allowed(c: char) -> bool;
    /// Reads one more character, unless it cannot be in this place.
    fn step(self, c: char) -> Option<Self>;
    /// Whether a name may end here.
    fn may_end(self) -> bool;
}

/// Names of branches at GitHub.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Branches {
    scan: BranchScan,
    /// How much of `refs/` the name begins with; nothing once it begins otherwise.
    refs: Option<usize>,
}

/// GitHub takes no branch whose name begins so (docs: "Dealing with special characters in branch and tag names").
const REFS: [char; 5] = ['r', 'e', 'f', 's', '/'];

impl Rules for Branches {
    const START: Self = Self { scan: BranchScan::START, refs: Some(0) };
    const MEANT: &str = "/.-@{lockrefs";

    fn is_allowed(c: char) -> bool {
        BranchScan::is_allowed(c)
    }

    fn step(self, c: char) -> Option<Self> {
        let refs = self.refs.filter(|read| REFS.get(*read) == Some(&c)).map(|read| read + 1);
        let scan = self.scan.step(c)?;
        (refs != Some(REFS.len())).then_some(Self { scan, refs })
    }

    fn may_end(self) -> bool {
        self.scan.may_end()
    }
}

/// Paths of files in a git repository, which are relative to its root.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Files {
    /// A name begins.
    Begin,
    /// It is `.` so far.
    Dot,
    /// It is `..` so far.
    Dots,
    /// It is none of these.
    Within,
}

impl Rules for Files {
    const START: Self = Self::Begin;
    const MEANT: &str = "/.";

    fn is_allowed(c: char) -> bool {
        c != '\0'
    }

    fn step(self, c: char) -> Option<Self> {
        match (self, c) {
            (_, '\0') => None,
            (before, '/') => before.may_end().then_some(Self::Begin),
            (Self::Begin, '.') => Some(Self::Dot),
            (Self::Dot, '.') => Some(Self::Dots),
            _ => Some(Self::Within),
        }
    }

    fn may_end(self) -> bool {
        self == Self::Within
    }
}

/// Where a walk is: before which part of the glob, whether within what [`Part::Folders`] matches, and what the rules know.
type Place<R> = (usize, bool, R);

/// A name that the rules allow and the glob matches.
pub(super) fn find<R: Rules>(parts: &[Part]) -> Option<String> {
    let start: Place<R> = (0, false, R::START);
    let mut came: HashMap<Place<R>, (Place<R>, Option<char>)> = HashMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(place) = next.pop_front() {
        let (at, within, rules) = place;
        let Some(part) = parts.get(at) else {
            if rules.may_end() {
                return Some(name(&came, place));
            }
            continue;
        };
        for (read, goes_on, within) in moves::<R>(part, within) {
            let Some(rules) = read.map_or(Some(rules), |c| rules.step(c)) else { continue };
            let there = (at + usize::from(goes_on), within, rules);
            if there == start || came.contains_key(&there) {
                continue;
            }
            came.insert(there, (place, read));
            // What reads nothing comes first, so that names are short.
            if read.is_none() { next.push_front(there) } else { next.push_back(there) }
        }
    }
    None
}

/// What was read on the way to a place.
fn name<R: Rules>(came: &HashMap<Place<R>, (Place<R>, Option<char>)>, mut place: Place<R>) -> String {
    let mut name = Vec::new();
    while let Some((before, read)) = came.get(&place) {
        name.extend(*read);
        place = *before;
    }
    name.iter().rev().collect()
}

/// What may be read at a part, whether the next part comes then, and whether folders are being read.
fn moves<R: Rules>(part: &Part, within: bool) -> Vec<(Option<char>, bool, bool)> {
    let any = || ORDINARY.into_iter().take(1).chain(R::MEANT.chars());
    let in_segment = || any().filter(|c| *c != '/');
    match part {
        Part::Character(c) => vec![(Some(*c), true, false)],
        Part::One => in_segment().map(|c| (Some(c), true, false)).collect(),
        Part::Class(class) => members::<R>(class).map(|c| (Some(c), true, false)).collect(),
        Part::Segment => std::iter::once((None, true, false))
            .chain(in_segment().map(|c| (Some(c), false, false)))
            .collect(),
        Part::All => {
            std::iter::once((None, true, false)).chain(any().map(|c| (Some(c), false, false))).collect()
        }
        Part::Folders => {
            let none = (!within).then_some((None, true, false));
            let more = any().map(|c| (Some(c), false, true));
            none.into_iter().chain([(Some('/'), true, false)]).chain(more).collect()
        }
    }
}

/// The characters of a class that a rule speaks of, and one of the others.
fn members<R: Rules>(class: &Class) -> impl Iterator<Item = char> {
    let ordinary = |c: &char| class.has(*c) && R::is_allowed(*c) && !R::MEANT.contains(*c);
    // The others begin where a range does, or right after one.
    let begins = class.ranges.iter().map(|(low, high)| if class.negated { *high } else { *low });
    let row = |from: char| (from..=char::MAX).take(ENOUGH).find(ordinary);
    let other = ORDINARY.into_iter().find(ordinary).or_else(|| begins.chain(['\0']).find_map(row));
    let meant: Vec<char> = R::MEANT.chars().filter(|c| class.has(*c)).collect();
    other.into_iter().chain(meant)
}

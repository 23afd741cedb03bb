//! Names of branches, character by character, so that a whole name and a pattern over names are held to one set of rules.

use std::fmt;
use std::str::FromStr;

/// What a part of a name may not end in.
const LOCK: [char; 5] = ['.', 'l', 'o', 'c', 'k'];

/// The name of a git branch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Branch(String);

text_newtype!(Branch);

impl Branch {
    /// Longest branch name: what GitHub accepts.
    pub const MAX: usize = 244;

    /// The full name of the branch's ref.
    #[must_use]
    pub fn git_ref(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

/// Why a text is not the name of a branch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid branch name '{0}'")]
pub struct BranchError(pub(super) String);

impl FromStr for Branch {
    type Err = BranchError;

    /// The rules of `git check-ref-format`.
    fn from_str(text: &str) -> Result<Self, BranchError> {
        let valid = text.len() <= Self::MAX
            && text.chars().try_fold(Scan::START, Scan::step).is_some_and(Scan::may_end);
        if valid { Ok(Self(text.to_owned())) } else { Err(BranchError(text.to_owned())) }
    }
}

/// How far a name was read, as much of it as the rest depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scan {
    before: Before,
    /// How much of `.lock` was read last.
    lock: usize,
    /// How much was read, up to two characters.
    length: u8,
}

/// The character before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Before {
    Nothing,
    Slash,
    Dot,
    At,
    Other,
}

impl Scan {
    pub(crate) const START: Self = Self { before: Before::Nothing, lock: 0, length: 0 };

    /// Whether a name can have a character.
    pub(crate) fn is_allowed(c: char) -> bool {
        !c.is_ascii_control() && !matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\')
    }

    /// Reads one more character, unless it cannot be in this place.
    pub(crate) fn step(self, c: char) -> Option<Self> {
        let begins = matches!(self.before, Before::Nothing | Before::Slash);
        let fits = match c {
            '/' => !begins && self.lock < LOCK.len(),
            '.' => !begins && self.before != Before::Dot,
            '{' => self.before != Before::At,
            '-' => self.before != Before::Nothing,
            c => Self::is_allowed(c),
        };
        let before = match c {
            '/' => Before::Slash,
            '.' => Before::Dot,
            '@' => Before::At,
            _ => Before::Other,
        };
        let lock = if LOCK.get(self.lock) == Some(&c) { self.lock + 1 } else { usize::from(c == '.') };
        fits.then_some(Self { before, lock, length: (self.length + 1).min(2) })
    }

    /// Whether a name may end here.
    pub(crate) fn may_end(self) -> bool {
        let single_at = self.before == Before::At && self.length == 1;
        matches!(self.before, Before::At | Before::Other) && !single_at && self.lock < LOCK.len()
    }
}

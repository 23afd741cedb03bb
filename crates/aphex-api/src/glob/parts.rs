//! A glob in its parts, and the regular expression that they are.

use super::GlobError;

/// One sign of a glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// This character.
    Character(char),
    /// `?`: one character of a path segment.
    One,
    /// `*`: any part of one path segment.
    Segment,
    /// `**`: anything.
    All,
    /// `**/`: any folders or none.
    Folders,
    /// `[…]`: one character of a path segment.
    Class(Class),
}

/// The characters between brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Class {
    /// Whether it is all others.
    pub(super) negated: bool,
    /// The first and the last of each range.
    pub(super) ranges: Vec<(char, char)>,
}

impl Class {
    /// Whether a character is one of the class.
    pub(super) fn has(&self, c: char) -> bool {
        c != '/' && self.negated != self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c))
    }
}

/// Reads a glob.
pub(super) fn read(text: &str) -> Result<Vec<Part>, GlobError> {
    let chars: Vec<char> = text.chars().collect();
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(c) = chars.get(at) {
        at += 1;
        parts.push(match c {
            '*' if chars.get(at) == Some(&'*') => {
                while chars.get(at) == Some(&'*') {
                    at += 1;
                }
                let begins = matches!(parts.last(), None | Some(Part::Character('/') | Part::Folders));
                if begins && chars.get(at) == Some(&'/') {
                    at += 1;
                    Part::Folders
                } else {
                    Part::All
                }
            }
            '*' => Part::Segment,
            '?' => Part::One,
            '[' => {
                let (class, end) = class(&chars, at)?;
                at = end;
                Part::Class(class)
            }
            '\\' => {
                let c = *chars.get(at).ok_or(GlobError::Trailing)?;
                at += 1;
                Part::Character(c)
            }
            c => Part::Character(*c),
        });
    }
    Ok(parts)
}

/// One bracketed class, of which the opening bracket was read, and where it ends.
fn class(chars: &[char], mut at: usize) -> Result<(Class, usize), GlobError> {
    let negated = matches!(chars.get(at), Some('!' | '^'));
    at += usize::from(negated);
    let (begin, mut ranges) = (at, Vec::new());
    loop {
        let (low, next) = match chars.get(at).ok_or(GlobError::Unclosed)? {
            // Right after the opening it is a character like others, as in shells.
            ']' if at > begin => break,
            _ => member(chars, at)?,
        };
        let is_range = chars.get(next) == Some(&'-') && chars.get(next + 1).is_some_and(|c| *c != ']');
        let (high, next) = if is_range { member(chars, next + 1)? } else { (low, next) };
        if low > high {
            return Err(GlobError::Backwards(low, high));
        }
        ranges.push((low, high));
        at = next;
    }
    Ok((Class { negated, ranges }, at + 1))
}

/// One character of a class, and where the next one is.
fn member(chars: &[char], at: usize) -> Result<(char, usize), GlobError> {
    let (c, next) = match chars.get(at) {
        Some('\\') => (chars.get(at + 1), at + 2),
        found => (found, at + 1),
    };
    match c {
        Some('/') => Err(GlobError::Separator),
        Some(c) => Ok((*c, next)),
        None => Err(GlobError::Unclosed),
    }
}

/// The regular expression of a glob.
pub(super) fn expression(parts: &[Part]) -> String {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Character(c) => literal(*c, &mut out),
            Part::One => out.push_str("[^/]"),
            Part::Segment => out.push_str("[^/]*"),
            Part::All => out.push_str(".*"),
            Part::Folders => out.push_str("(?:.*/)?"),
            Part::Class(class) => {
                out.push_str(if class.negated { "[^/" } else { "[" });
                class.ranges.iter().for_each(|(low, high)| range(*low, *high, &mut out));
                out.push(']');
            }
        }
    }
    out
}

/// A range of a class, without the separator where it lies inside.
fn range(low: char, high: char, out: &mut String) {
    if low < '/' && '/' < high {
        range(low, '.', out);
        range('0', high, out);
        return;
    }
    class_literal(low, out);
    if low < high {
        out.push('-');
        class_literal(high, out);
    }
}

/// Escapes what means something between brackets, to RE2 or to engines descended from it.
fn class_literal(c: char, out: &mut String) {
    if matches!(c, '\\' | ']' | '[' | '^' | '-' | '&' | '~') {
        out.push('\\');
    }
    out.push(c);
}

pub(super) fn literal(c: char, out: &mut String) {
    if matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$') {
        out.push('\\');
    }
    out.push(c);
}

//! What a source text may be before the parser sees it: its recursion must fit our stacks.
//!
//! The parser bounds brackets but not chains (`a.a.a`, `1+1+1`), each link of which is a level of
//! recursion. This counts them without recursion itself. `&&` and `||` are balanced by the parser
//! and start a chain anew, as a comma does.

use crate::error::CompileError;

/// Kubernetes' limit, which is cel-go's default.
const MAX_CHARACTERS: usize = 100_000;
/// Chained operators and open brackets; measured to pass with a wide margin on the stacks of `pool`.
pub(crate) const MAX_DEPTH: usize = 1_000;
/// Open brackets alone: each costs the parser a dozen frames.
const MAX_BRACKETS: usize = 90;

/// Rejects a text whose size or depth could not be handled safely; otherwise its depth.
pub(crate) fn check(source: &str) -> Result<usize, CompileError> {
    let size = source.chars().count();
    if size > MAX_CHARACTERS {
        return Err(CompileError::TooLong { size, limit: MAX_CHARACTERS });
    }
    let mut counter = Counter::default();
    let bytes = source.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        at = counter.token(bytes, at)?;
    }
    Ok(counter.deepest)
}

#[derive(Default)]
struct Counter {
    /// For every open bracket, the links and ternaries counted outside it.
    outer: Vec<(usize, usize)>,
    below: usize,
    links: usize,
    ternaries: usize,
    deepest: usize,
    /// Set at the first literal the lexer will refuse: where its recovery goes on is its own affair,
    /// so everything after it counts as code.
    distrust: bool,
}

impl Counter {
    fn token(&mut self, bytes: &[u8], at: usize) -> Result<usize, CompileError> {
        let next = bytes.get(at + 1).copied();
        match bytes[at] {
            quote @ (b'"' | b'\'') if !self.distrust => {
                let end = string_end(bytes, at, quote);
                self.distrust = end.is_none();
                return Ok(end.unwrap_or(at + 1));
            }
            b'/' if next == Some(b'/') && !self.distrust => {
                let line = bytes[at..].iter().position(|byte| *byte == b'\n');
                return Ok(line.map_or(bytes.len(), |length| at + length));
            }
            b'(' | b'[' | b'{' => self.open()?,
            b')' | b']' | b'}' => self.close(),
            b',' => (self.links, self.ternaries) = (0, 0),
            b'&' | b'|' => self.links = 0,
            b'?' => self.ternaries += 1,
            b'i' if next == Some(b'n') => self.links += 1,
            b'.' | b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' | b'!' => self.links += 1,
            _ => return Ok(at + 1),
        }
        let depth = self.below + self.links + self.ternaries;
        self.deepest = self.deepest.max(depth);
        if depth > MAX_DEPTH { Err(too_deep(MAX_DEPTH)) } else { Ok(at + 1) }
    }

    fn open(&mut self) -> Result<(), CompileError> {
        // An index or call is itself a link of the chain it follows: `f(1)(2)`, `a[0][0]`.
        self.links += 1;
        self.outer.push((self.links, self.ternaries));
        if self.outer.len() > MAX_BRACKETS {
            return Err(too_deep(MAX_BRACKETS));
        }
        self.below += self.links + self.ternaries;
        (self.links, self.ternaries) = (0, 0);
        Ok(())
    }

    fn close(&mut self) {
        if let Some((links, ternaries)) = self.outer.pop() {
            self.below -= links + ternaries;
            (self.links, self.ternaries) = (links, ternaries);
        }
    }
}

fn too_deep(limit: usize) -> CompileError {
    CompileError::TooDeep { limit }
}

/// The end of a string literal, or nothing where the lexer would not see one.
fn string_end(bytes: &[u8], start: usize, quote: u8) -> Option<usize> {
    let word = bytes[..start].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
    let mut word: Vec<u8> = word.map(u8::to_ascii_lowercase).take(3).collect();
    word.reverse();
    let raw = match word.as_slice() {
        b"" | b"b" => false,
        b"r" | b"br" => true,
        _ => return None,
    };
    let triple = bytes.get(start..start + 3) == Some(&[quote; 3]);
    let close: &[u8] = if triple { &[quote; 3] } else { &[quote] };
    let mut at = start + close.len();
    loop {
        match bytes.get(at)? {
            b'\\' if !raw => at += escape_length(&bytes[at + 1..])? + 1,
            b'\n' | b'\r' if !triple => return None,
            _ if bytes[at..].starts_with(close) => return Some(at + close.len()),
            _ => at += 1,
        }
    }
}

/// The length of an escape after its backslash, if the lexer knows it.
fn escape_length(rest: &[u8]) -> Option<usize> {
    let digits = match rest.first()? {
        b'x' | b'X' => 2,
        b'u' => 4,
        b'U' => 8,
        b'0'..=b'3' => {
            let octal = rest.get(1..3)?.iter().all(|byte| matches!(byte, b'0'..=b'7'));
            return octal.then_some(3);
        }
        byte => return b"abfnrtv\\\"'?`".contains(byte).then_some(1),
    };
    rest.get(1..=digits)?.iter().all(u8::is_ascii_hexdigit).then_some(digits + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(source: &str) -> bool {
        matches!(check(source), Err(CompileError::TooDeep { .. }))
    }

    #[test]
    fn chains_are_bounded_whatever_the_operator() {
        for link in ["+1", ".a", "[0]", "-1", "*1", ".f()", "==1", " in a", "?1:1"] {
            assert!(deep(&format!("a{}", link.repeat(1_100))), "{link}");
            assert!(!deep(&format!("a{}", link.repeat(400))), "{link}");
        }
        assert!(deep(&format!("{}a", "!".repeat(1_100))));
        assert!(deep(&format!("{}a{}", "(".repeat(95), ")".repeat(95))));
    }

    #[test]
    fn long_lists_and_conditions_are_not_deep() {
        assert!(!deep(&format!("[{}]", "-1,".repeat(5_000))));
        assert!(!deep(&format!("a.b{}", " && a.b == 'x'".repeat(2_000))));
    }

    #[test]
    fn what_strings_and_comments_hold_does_not_count() {
        let dots = ".".repeat(2_000);
        for source in [
            format!("'{dots}'"),
            format!("\"\\\"{dots}\""),
            format!("'''{dots}'\n'''"),
            format!("a // {dots}"),
            format!("r'\\' + '{dots}'"),
        ] {
            assert!(!deep(&source), "{source}");
        }
    }

    #[test]
    fn links_cannot_hide_behind_a_literal_the_lexer_refuses() {
        let links = ".a".repeat(1_100);
        for source in [
            format!("'{links}"),
            format!("'\\q{links}'"),
            format!("1r'\\'{links}'"),
            format!("'\\x1{links}'"),
        ] {
            assert!(deep(&source), "{}", &source[..10]);
        }
    }

    #[test]
    fn the_size_limit_counts_characters() {
        assert!(check(&"ä".repeat(100_000)).is_ok());
        let message = check(&"a".repeat(100_001)).map_err(|error| error.to_string());
        assert_eq!(
            message,
            Err("ERROR: <input>:1:1: expression code point size exceeds limit: size: 100001, limit 100000"
                .into())
        );
    }
}

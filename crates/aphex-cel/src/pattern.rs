//! Go's regular expressions on Rust's engine. Both descend from RE2; this translates where they differ.
//!
//! Go's `\d`, `\w`, `\s` and `\b` are ASCII; `[` needs no escape inside a class and `{` none where it opens no
//! repetition; `&&`, `--` and `~~` are plain characters in a class.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use regex::{Regex, RegexBuilder};

/// Compiled patterns, bounded: schemas and expressions come and go, and patterns with them.
static CACHE: LazyLock<RwLock<HashMap<String, Arc<Regex>>>> = LazyLock::new(RwLock::default);
/// Patterns kept compiled; when there are more, all are dropped and those in use compiled again.
const CACHED: usize = 512;
/// Memory one compiled pattern may take.
const MAX_SIZE: usize = 10 << 20;

/// The compiled pattern, or why it is none, in the words of Go.
pub fn compile(pattern: &str) -> Result<Arc<Regex>, String> {
    if let Some(known) = CACHE.read().unwrap_or_else(PoisonError::into_inner).get(pattern) {
        return Ok(Arc::clone(known));
    }
    let translated = translate(pattern)?;
    let regex = RegexBuilder::new(&translated).size_limit(MAX_SIZE).build();
    let regex = regex.map_err(|error| fault(pattern, &error))?;
    let regex = Arc::new(regex);
    let mut cache = CACHE.write().unwrap_or_else(PoisonError::into_inner);
    if cache.len() >= CACHED {
        cache.clear();
    }
    cache.insert(pattern.to_owned(), Arc::clone(&regex));
    Ok(regex)
}

fn fault(pattern: &str, error: &regex::Error) -> String {
    let text = error.to_string();
    let cause =
        text.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("unsupported pattern");
    let (from, marked) = blamed(&text);
    let (words, shown) = match cause {
        "unclosed character class" => ("missing closing ]", from.unwrap_or(pattern)),
        "unclosed group" => ("missing closing )", pattern),
        "unopened group" => ("unexpected )", pattern),
        "repetition operator missing expression" => {
            ("missing argument to repetition operator", marked.unwrap_or(pattern))
        }
        "incomplete escape sequence, reached end of pattern prematurely" => {
            ("trailing backslash at end of expression", "")
        }
        "unrecognized escape sequence" | "backreferences are not supported" => {
            ("invalid escape sequence", marked.unwrap_or(pattern))
        }
        cause if cause.starts_with("look-around") => {
            ("invalid or unsupported Perl syntax", marked.unwrap_or(pattern))
        }
        cause if cause.starts_with("invalid character class range") => {
            ("invalid character class range", marked.unwrap_or(pattern))
        }
        cause => (cause, pattern),
    };
    format!("error parsing regexp: {words}: `{shown}`")
}

/// From the engine's drawing of a fault: the text from the first mark on, and the marked text itself.
fn blamed(drawing: &str) -> (Option<&str>, Option<&str>) {
    let mut lines = drawing.lines().skip(1);
    let (Some(pattern), Some(marks)) = (lines.next(), lines.next()) else { return (None, None) };
    let Some(start) = marks.find('^') else { return (None, None) };
    let end = marks.rfind('^').map_or(start, |last| last + 1);
    // Marks count characters; patterns beyond ASCII go without.
    if pattern.is_ascii() { (pattern.get(start..), pattern.get(start..end)) } else { (None, None) }
}

fn translate(pattern: &str) -> Result<String, String> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut at = 0;
    // Where the repetition began that ends right before `at`.
    let mut repeated: Option<usize> = None;
    while at < chars.len() {
        let (start, before) = (at, repeated.take());
        let mut repeats = matches!(chars[at], '*' | '+' | '?');
        match chars[at] {
            '\\' => at += escape(&chars[at..], &mut out),
            '[' => at += class(&chars[at..], &mut out),
            '{' => {
                let length = repetition(&chars[at..])?;
                repeats = length > 0;
                if !repeats {
                    out.push('\\');
                }
                let length = length.max(1);
                out.extend(&chars[at..at + length]);
                at += length;
            }
            // `(?` opens a group, it repeats nothing.
            '(' if chars.get(at + 1) == Some(&'?') => {
                out.push_str("(?");
                at += 2;
            }
            c => {
                out.push(c);
                at += 1;
            }
        }
        if repeats {
            if let Some(before) = before {
                let shown: String = chars[before..at].iter().collect();
                return Err(format!("error parsing regexp: invalid nested repetition operator: `{shown}`"));
            }
            repeated = Some(start);
            if chars.get(at) == Some(&'?') {
                out.push('?');
                at += 1;
            }
        }
    }
    Ok(out)
}

/// Translates the escape that `rest` opens with, outside of a class; gives its length.
fn escape(rest: &[char], out: &mut String) -> usize {
    match rest.get(1) {
        Some('d') => out.push_str("[0-9]"),
        Some('w') => out.push_str("[0-9A-Za-z_]"),
        Some('s') => out.push_str(r"[\t\n\x0C\r ]"),
        Some('b') => out.push_str(r"(?-u:\b)"),
        Some('B') => out.push_str(r"\B"),
        Some('Q') => {
            let quoted: String = rest[2..].iter().collect();
            let (text, length) = match quoted.find(r"\E") {
                Some(end) => (&quoted[..end], quoted[..end].chars().count() + 4),
                None => (quoted.as_str(), rest.len()),
            };
            out.push_str(&regex::escape(text));
            return length;
        }
        _ => return set(rest, out).unwrap_or_else(|| character(rest, out)),
    }
    2
}

/// Translates the escape that `rest` opens with if it stands for a set of characters; gives its length.
fn set(rest: &[char], out: &mut String) -> Option<usize> {
    match rest.get(1)? {
        'd' => out.push_str("0-9"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("0-9A-Za-z_"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"\t\n\x0C\r "),
        'S' => out.push_str(r"[^\t\n\x0C\r ]"),
        letter @ ('p' | 'P') => return Some(property(*letter, rest, out)),
        _ => return None,
    }
    Some(2)
}

/// Translates `\pL`, `\p{Greek}` and `\p{^Greek}`, whose `^` Rust writes as `\P`; gives its length.
fn property(letter: char, rest: &[char], out: &mut String) -> usize {
    let length = braced(rest).unwrap_or(rest.len().min(3));
    let other = if letter == 'p' { 'P' } else { 'p' };
    let (letter, from) = match rest.get(2..4) {
        Some(['{', '^']) => (other, 4),
        _ => (letter, 2),
    };
    out.push('\\');
    out.push(letter);
    if from == 4 {
        out.push('{');
    }
    out.extend(&rest[from.min(length)..length]);
    length
}

/// The length of an escape like `\x{…}`, if it has braces that end.
fn braced(rest: &[char]) -> Option<usize> {
    (rest.get(2) == Some(&'{')).then(|| rest.iter().position(|c| *c == '}')).flatten().map(|end| end + 1)
}

/// Translates the escape of one character that `rest` opens with; gives its length.
fn character(rest: &[char], out: &mut String) -> usize {
    let octal = rest[1..].iter().take(3).take_while(|c| ('0'..='7').contains(*c)).count();
    match rest.get(1) {
        None => {
            out.push('\\');
            return 1;
        }
        Some(c @ ('<' | '>')) => out.push(*c),
        // One digit other than 0 would be a reference back, which neither knows.
        Some(first) if octal > 1 || *first == '0' => {
            let code = rest[1..=octal].iter().fold(0, |code, c| code * 8 + c.to_digit(8).unwrap_or(0));
            // Writing to a String cannot fail.
            let _ = write!(out, r"\x{{{code:X}}}");
            return 1 + octal;
        }
        Some('x') => {
            let length = braced(rest).unwrap_or(2);
            out.extend(&rest[..length]);
            return length;
        }
        Some(_) => out.extend(&rest[..2]),
    }
    2
}

/// Translates the character class that `rest` opens with; gives its length.
fn class(rest: &[char], out: &mut String) -> usize {
    let mut at = 1;
    out.push('[');
    if rest.get(at) == Some(&'^') {
        out.push('^');
        at += 1;
    }
    let first = at;
    while let Some(&c) = rest.get(at) {
        if c == ']' && at > first {
            out.push(']');
            return at + 1;
        }
        let named = if c == '\\' { set(&rest[at..], out) } else { named(&rest[at..], out) };
        if let Some(length) = named {
            at += length;
            continue;
        }
        at += member(&rest[at..], out);
        // A `-` goes on to any character but the end of the class, another `-` among them.
        if let (Some('-'), Some(end)) = (rest.get(at), rest.get(at + 1))
            && *end != ']'
        {
            out.push('-');
            at += 1 + member(&rest[at + 1..], out);
        }
    }
    at
}

/// Copies the `[:alpha:]` that `rest` opens with, if it does; gives its length.
fn named(rest: &[char], out: &mut String) -> Option<usize> {
    let inner = rest.strip_prefix(&['[', ':'])?;
    let length = 2 + inner.windows(2).position(|pair| pair == [':', ']'])? + 2;
    out.extend(&rest[..length]);
    Some(length)
}

/// Translates one character of a class; gives its length.
fn member(rest: &[char], out: &mut String) -> usize {
    match rest[0] {
        '\\' => return character(rest, out),
        // What these mean to Rust, alone or twice, they do not mean to Go.
        c @ ('[' | ']' | '&' | '~' | '-' | '^') => out.extend(['\\', c]),
        c => out.push(c),
    }
    1
}

/// The length of the repetition `{n}`, `{n,}` or `{n,m}` that `rest` opens with, or 0 if it is plain text.
fn repetition(rest: &[char]) -> Result<usize, String> {
    let Some(end) = rest.iter().position(|c| *c == '}') else { return Ok(0) };
    let inner: String = rest[1..end].iter().collect();
    let (low, high) = inner.split_once(',').unwrap_or((&inner, ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(low) || !(high.is_empty() || is_number(high)) {
        return Ok(0);
    }
    let over = |text: &str| text.parse::<u32>().map_or(!text.is_empty(), |count| count > 1000);
    let backward = matches!((low.parse::<u32>(), high.parse::<u32>()), (Ok(low), Ok(high)) if low > high);
    if over(low) || over(high) || backward {
        return Err(format!("error parsing regexp: invalid repeat count: `{{{inner}}}`"));
    }
    Ok(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_that_go_takes_is_taken() {
        for (pattern, good, bad) in [
            (r"^[[a-z]+$", "[a", "1"),
            (r"^a{,2}$", "a{,2}", "aa"),
            (r"^\d+$", "12", "١٢"),
            (r"^[\w&&x]+$", "a&x", "é"),
            (r"^[a-z]{1,3}$", "abc", "abcd"),
            (r"^[[:alpha:]-]+$", "a-b", "1"),
            (r"^\Qa.b\E$", "a.b", "axb"),
            (r"^[]a]$", "]", "b"),
            (r"^\p{L}+$", "é", "1"),
            (r"^\P{L}+$", "1", "é"),
            (r"^\pL{2}$", "éa", "é"),
            (r"^\p{^Greek}$", "a", "α"),
            (r"^[\p{Greek}-]+$", "α-", "a"),
            (r"^\x{41}+$", "AA", "x{41}"),
            (r"^[\x{41}-\x{43}]+$", "ABC", "D"),
            (r"^\101$", "A", "1"),
            (r"^[+--]$", "-", "/"),
            (r"^[+--]$", ",", "*"),
            (r"^[--a]$", "A", "b"),
            (r"^[a-z--9]$", "5", "?"),
            (r"^[\w-.]+$", "a-b.c", "/"),
            (r"^[\s-x]$", "-", "a"),
            (r"^[a^-]$", "^", "b"),
            (r"^[\]-_]$", "^", "a"),
        ] {
            let regex = compile(pattern).unwrap();
            assert!(regex.is_match(good), "{pattern} should match {good}");
            assert!(!regex.is_match(bad), "{pattern} should not match {bad}");
        }
    }

    #[test]
    fn syntax_that_go_refuses_is_refused_in_its_words() {
        for (pattern, text) in [
            ("[", "error parsing regexp: missing closing ]: `[`"),
            ("(a", "error parsing regexp: missing closing ): `(a`"),
            ("a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"),
        ] {
            assert_eq!(compile(pattern).unwrap_err(), text);
        }
        assert!(compile("(?=a)").is_err());
    }
}

//! Go's regular expressions on Rust's engine. Both descend from RE2; this translates where they differ.
//!
//! What Go refuses is refused here, although Rust knows it: a pattern that means nothing there must not decide here.
//! Go's `\d`, `\w`, `\s` and `\b` are ASCII; `[` needs no escape inside a class and `{` none where it opens no
//! repetition; `&&`, `--` and `~~` are plain characters in a class.

mod sets;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use regex::{Regex, RegexBuilder};

/// Compiled patterns, bounded: schemas and expressions come and go, and patterns with them.
static CACHE: LazyLock<RwLock<HashMap<String, Arc<Regex>>>> = LazyLock::new(RwLock::default);
/// Patterns kept compiled; when there are more, all are dropped and those in use compiled again.
const CACHED: usize = 512;
/// Times that anything in a pattern may be repeated.
const MOST_REPEATS: u32 = 1000;
/// Memory one compiled pattern may take.
const MAX_SIZE: usize = 10 << 20;

/// The compiled pattern, or why it is none, in the words of Go.
pub fn compile(pattern: &str) -> Result<Arc<Regex>, String> {
    if let Some(known) = CACHE.read().unwrap_or_else(PoisonError::into_inner).get(pattern) {
        return Ok(Arc::clone(known));
    }
    let translated = translate(pattern)?;
    let regex = RegexBuilder::new(&translated.text).size_limit(MAX_SIZE).build();
    let regex = regex.map_err(|error| fault(pattern, &error))?;
    let regex = Arc::new(regex);
    let mut cache = CACHE.write().unwrap_or_else(PoisonError::into_inner);
    if cache.len() >= CACHED {
        cache.clear();
    }
    cache.insert(pattern.to_owned(), Arc::clone(&regex));
    Ok(regex)
}

/// The names of a pattern's groups in their order; Go lets several have the same.
pub(crate) fn names(pattern: &str) -> Vec<Option<String>> {
    translate(pattern).map(|translated| translated.names).unwrap_or_default()
}

/// A fault as Go tells it.
fn wrong(words: &str, shown: &[char]) -> String {
    format!("error parsing regexp: {words}: `{}`", shown.iter().collect::<String>())
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

/// A pattern for Rust's engine.
#[derive(Default)]
struct Translated {
    text: String,
    /// The name of each group; the engine knows them by number alone.
    names: Vec<Option<String>>,
}

/// How often the parts of a group are repeated, as Go counts it: a repetition times what is repeated within.
#[derive(Clone, Copy, Default)]
struct Repeats {
    /// The most of all parts before the last.
    most: u32,
    last: u32,
}

impl Repeats {
    fn total(self) -> u32 {
        self.most.max(self.last)
    }

    fn next(&mut self, last: u32) {
        *self = Self { most: self.total(), last };
    }
}

fn translate(pattern: &str) -> Result<Translated, String> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut made = Translated { text: String::with_capacity(pattern.len() + 16), names: Vec::new() };
    let mut at = 0;
    // Where the repetition began that ends right before `at`.
    let mut repeated: Option<usize> = None;
    let mut outer: Vec<Repeats> = Vec::new();
    let mut repeats = Repeats::default();
    while at < chars.len() {
        let (start, before) = (at, repeated.take());
        let rest = &chars[at..];
        let mut count = matches!(chars[at], '*' | '+' | '?').then_some((0, None));
        let out = &mut made.text;
        match chars[at] {
            '\\' => at += escape(rest, out)?,
            '[' => at += class(rest, out)?,
            '{' => {
                let (length, found) = repetition(rest)?;
                count = found;
                if count.is_none() {
                    out.push('\\');
                }
                out.extend(&rest[..length]);
                at += length;
            }
            '(' => {
                let (length, opens) = group(rest, &mut made)?;
                at += length;
                if opens {
                    outer.push(repeats);
                    repeats = Repeats::default();
                    continue;
                }
            }
            ')' => {
                out.push(')');
                at += 1;
                let within = repeats.total();
                repeats = outer.pop().unwrap_or_default();
                repeats.next(within);
                continue;
            }
            c => {
                out.push(c);
                at += 1;
            }
        }
        let Some((low, high)) = count else {
            repeats.next(0);
            continue;
        };
        if let Some(before) = before {
            return Err(wrong("invalid nested repetition operator", &chars[before..at]));
        }
        repeated = Some(start);
        if chars.get(at) == Some(&'?') {
            made.text.push('?');
            at += 1;
        }
        repeats.last = match high.unwrap_or(low) {
            0 if high.is_some() => 0,
            0 => repeats.last,
            most => most.saturating_mul(repeats.last.max(1)),
        };
        if repeats.last > MOST_REPEATS && (low >= 2 || high.is_some_and(|high| high >= 2)) {
            return Err(wrong("invalid repeat count", &chars[start..at]));
        }
    }
    Ok(made)
}

/// Translates what a `(` opens: its length, and whether it is a group that goes on to a `)`.
fn group(rest: &[char], made: &mut Translated) -> Result<(usize, bool), String> {
    if rest.get(1) != Some(&'?') {
        made.names.push(None);
        made.text.push('(');
        return Ok((1, true));
    }
    let named = if rest.get(2..4) == Some(&['P', '<']) { 4 } else { 3 };
    if named == 4 || rest.get(2) == Some(&'<') && !matches!(rest.get(3), Some('=' | '!')) {
        let end = rest.iter().position(|c| *c == '>');
        let name = end.map(|end| &rest[named..end]).unwrap_or_default();
        let end = end.map_or(rest.len(), |end| end + 1);
        if name.is_empty() || !name.iter().all(|c| c.is_ascii_alphanumeric() || *c == '_') {
            return Err(wrong("invalid named capture", &rest[..end]));
        }
        made.names.push(Some(name.iter().collect()));
        made.text.push('(');
        return Ok((end, true));
    }
    let (mut on, mut off) = (String::new(), String::new());
    let mut negative = false;
    for (at, c) in rest.iter().enumerate().skip(2) {
        match c {
            'i' | 'm' | 's' | 'U' => {
                on.retain(|known| known != *c);
                off.retain(|known| known != *c);
                if negative { &mut off } else { &mut on }.push(*c);
            }
            '-' if !negative => negative = true,
            // A minus needs a flag after it.
            ':' | ')' if !negative || rest[at - 1] != '-' => {
                let minus = if off.is_empty() { "" } else { "-" };
                if *c == ':' || !on.is_empty() || !off.is_empty() {
                    // Writing to a String cannot fail.
                    let _ = write!(made.text, "(?{on}{minus}{off}{c}");
                }
                return Ok((at + 1, *c == ':'));
            }
            _ => return Err(wrong("invalid or unsupported Perl syntax", &rest[..=at])),
        }
    }
    Err(wrong("invalid or unsupported Perl syntax", rest))
}

/// Translates the escape that `rest` opens with, outside of a class; gives its length.
fn escape(rest: &[char], out: &mut String) -> Result<usize, String> {
    match rest.get(1) {
        Some('d') => out.push_str("[0-9]"),
        Some('w') => out.push_str("[0-9A-Za-z_]"),
        Some('s') => out.push_str(r"[\t\n\x0C\r ]"),
        Some('b') => out.push_str(r"(?-u:\b)"),
        Some('B') => out.push_str(r"(?-u:\B)"),
        Some(c @ ('A' | 'z')) => out.extend(['\\', *c]),
        Some('Q') => {
            let quoted: String = rest[2..].iter().collect();
            let (text, length) = match quoted.find(r"\E") {
                Some(end) => (&quoted[..end], quoted[..end].chars().count() + 4),
                None => (quoted.as_str(), rest.len()),
            };
            out.push_str(&regex::escape(text));
            return Ok(length);
        }
        _ => {
            return match sets::set(rest, out)? {
                Some(length) => Ok(length),
                None => character(rest, out),
            };
        }
    }
    Ok(2)
}

/// The length of an escape like `\x{…}`, if it has braces that end.
fn braced(rest: &[char]) -> Option<usize> {
    (rest.get(2) == Some(&'{')).then(|| rest.iter().position(|c| *c == '}')).flatten().map(|end| end + 1)
}

/// Translates the escape of one character that `rest` opens with; gives its length.
fn character(rest: &[char], out: &mut String) -> Result<usize, String> {
    let octal = rest[1..].iter().take(3).take_while(|c| ('0'..='7').contains(*c)).count();
    match rest.get(1) {
        None => {
            out.push('\\');
            return Ok(1);
        }
        Some(c @ ('<' | '>')) => out.push(*c),
        // One digit other than 0 would be a reference back, which neither knows.
        Some(first) if octal > 1 || *first == '0' => {
            let code = rest[1..=octal].iter().fold(0, |code, c| code * 8 + c.to_digit(8).unwrap_or(0));
            // Writing to a String cannot fail.
            let _ = write!(out, r"\x{{{code:X}}}");
            return Ok(1 + octal);
        }
        Some('x') => {
            let length = braced(rest).unwrap_or(2);
            out.extend(&rest[..length]);
            return Ok(length);
        }
        Some('a' | 'f' | 'n' | 'r' | 't' | 'v') => out.extend(&rest[..2]),
        Some(c) if c.is_ascii() && !c.is_ascii_alphanumeric() => out.push_str(&regex::escape(&c.to_string())),
        Some(_) => return Err(wrong("invalid escape sequence", &rest[..2])),
    }
    Ok(2)
}

/// Translates the character class that `rest` opens with; gives its length.
fn class(rest: &[char], out: &mut String) -> Result<usize, String> {
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
            return Ok(at + 1);
        }
        let named = if c == '\\' { sets::set(&rest[at..], out)? } else { sets::named(&rest[at..], out)? };
        if let Some(length) = named {
            at += length;
            continue;
        }
        at += member(&rest[at..], out)?;
        // A `-` goes on to any character but the end of the class, another `-` among them.
        if let (Some('-'), Some(end)) = (rest.get(at), rest.get(at + 1))
            && *end != ']'
        {
            out.push('-');
            at += 1 + member(&rest[at + 1..], out)?;
        }
    }
    Ok(at)
}

/// Translates one character of a class; gives its length.
fn member(rest: &[char], out: &mut String) -> Result<usize, String> {
    match rest[0] {
        '\\' => return character(rest, out),
        // What these mean to Rust, alone or twice, they do not mean to Go.
        c @ ('[' | ']' | '&' | '~' | '-' | '^') => out.extend(['\\', c]),
        c => out.push(c),
    }
    Ok(1)
}

/// The fewest and the most times.
type Count = (u32, Option<u32>);

/// The length of the repetition `{n}`, `{n,}` or `{n,m}` that `rest` opens with, and its counts unless it is plain text.
fn repetition(rest: &[char]) -> Result<(usize, Option<Count>), String> {
    let plain = Ok((1, None));
    let Some(end) = rest.iter().position(|c| *c == '}') else { return plain };
    let inner: String = rest[1..end].iter().collect();
    let open = inner.ends_with(',');
    let (low, high) = inner.split_once(',').unwrap_or((&inner, ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(low) || !(high.is_empty() || is_number(high)) {
        return plain;
    }
    let over = |text: &str| text.parse::<u32>().map_or(!text.is_empty(), |count| count > MOST_REPEATS);
    let backward = matches!((low.parse::<u32>(), high.parse::<u32>()), (Ok(low), Ok(high)) if low > high);
    if over(low) || over(high) || backward {
        return Err(format!("error parsing regexp: invalid repeat count: `{{{inner}}}`"));
    }
    let low = low.parse().unwrap_or(0);
    let high = if open { None } else { Some(high.parse().unwrap_or(low)) };
    Ok((end + 1, Some((low, high))))
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

    #[test]
    fn what_only_the_engine_knows_is_refused() {
        for pattern in [
            "(?x)a b",
            "(?u)a",
            "(?-u)a",
            "(?R)a",
            "(?i-)a",
            "(?-)a",
            "(?i--s)a",
            "(?i",
            r"\u0072",
            r"\U00000072",
            r"\e",
            r"\Z",
            r"\C",
            r"\é",
            r"\8",
            r"[\A]",
            r"[\b]",
            "[[:foo:]]",
            "[[:ALPHA:]]",
            r"\p{IsGreek}",
            r"\p{gc=L}",
            r"\p{Script=Greek}",
            r"\p{Alphabetic}",
            r"\p{White_Space}",
            r"\p{Zyyy}",
            r"\pX",
            r"\p{}",
            r"\p{^}",
            r"\p",
            r"[\p{IsGreek}]",
            "(?P<a.b>a)",
            "(?P<é>a)",
            "(?P<a[0]>a)",
            "(?<>a)",
            "(?P=a)",
            "(a{100}){100}",
            "((a{10}){10}){11}",
            "(a{2,}){501}",
            "(a{2}|b{600}){2}",
        ] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn groups_and_flags_are_those_of_go() {
        for pattern in [
            "(?)a",
            "(?i)A",
            "(?i:A)",
            "(?ii)A",
            "(?i-i)a",
            "(?U)a+",
            "(?im-sU)a",
            "(?P<1>a)",
            "(?<_>a)",
            "[[:^digit:]]",
            r"\p{greek}|a",
            r"\p{Letter}",
            r"\p{Lu}|a",
            r"\p{LC}",
            r"\p{Any}",
            r"\p{ASCII}",
            r"\p{Assigned}",
            "((a{10}){10}){10}|a",
            "(?:a*){1000}",
            r"\A\Qa\E\z",
            "(a{1000}){1}|a",
        ] {
            assert!(compile(pattern).is_ok_and(|regex| regex.is_match("a")), "{pattern}");
        }
        assert_eq!(names("(?P<a>b)(c)(?<a>d)(?:e)"), [Some("a".into()), None, Some("a".into())]);
        assert!(compile("(?P<a>b)(?P<a>c)").is_ok());
        assert!(compile(r"a\Bé").is_ok_and(|regex| !regex.is_match("aé")));
    }
}

//! Patterns over branch names and file paths, as shells and `.gitignore` have them, and the regular expressions they mean.
//!
//! `*` is any part of one path segment, `?` one character of it, `**` anything, `**/` any folders or none, `[a-z]` and
//! `[!a-z]` one character, `\` takes the next character as it is. The expressions are RE2's, so that they mean the same
//! to Tekton's CEL and to ours.

use std::str::FromStr;

/// What stands in an example where any character may.
const ANY: char = 'x';
/// The pattern of a glob, for schemas; a leading `!` would exclude nothing, so it is refused.
pub const GLOB_PATTERN: &str = r"^[^!\x00-\x1f\x7f][^\x00-\x1f\x7f]*$";

/// A pattern over branch names or file paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    expression: String,
    example: String,
}

/// Why a text is not a glob; the message is for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// It is longer than a schema lets it be.
    #[error("is longer than {} characters", Glob::MAX)]
    TooLong,
    /// It begins with an exclamation mark.
    #[error("begins with !, which excludes nothing here; write \\! for the character itself")]
    Negated,
    /// It has a control character.
    #[error("has a control character")]
    Control,
    /// A bracket is not closed.
    #[error("has a [ without its ]; write \\[ for the character itself")]
    Unclosed,
    /// A range goes backwards.
    #[error("has the range {0}-{1}, which goes backwards")]
    Backwards(char, char),
    /// Brackets name the separator.
    #[error("has a / between brackets, which match one character within a path segment")]
    Separator,
    /// It ends with a backslash.
    #[error("ends with a backslash that takes nothing as it is")]
    Trailing,
}

impl Glob {
    /// Longest glob.
    pub const MAX: usize = 255;

    /// The glob as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A text that it matches.
    #[must_use]
    pub fn example(&self) -> &str {
        &self.example
    }
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        if text.chars().count() > Self::MAX {
            return Err(GlobError::TooLong);
        }
        if text.starts_with('!') {
            return Err(GlobError::Negated);
        }
        if text.chars().any(|c| c.is_ascii_control()) {
            return Err(GlobError::Control);
        }
        let (expression, example) = translate(text)?;
        Ok(Self { text: text.to_owned(), expression, example })
    }
}

/// The regular expression that matches a whole text which begins with `prefix` and goes on as one of the globs says.
#[must_use]
pub fn expression(prefix: &str, globs: &[Glob]) -> String {
    let choices: Vec<&str> = globs.iter().map(|glob| glob.expression.as_str()).collect();
    let mut escaped = String::new();
    prefix.chars().for_each(|c| literal(c, &mut escaped));
    // A file's name may have a line break, which a dot leaves out without `s`.
    format!("^{escaped}(?s:{})$", choices.join("|"))
}

/// The regular expression of a glob, and a text that both match.
fn translate(text: &str) -> Result<(String, String), GlobError> {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut example) = (String::new(), String::new());
    let mut at = 0;
    while let Some(c) = chars.get(at) {
        at += 1;
        match c {
            '*' if chars.get(at) == Some(&'*') => {
                while chars.get(at) == Some(&'*') {
                    at += 1;
                }
                let begins = out.is_empty() || out.ends_with('/');
                if begins && chars.get(at) == Some(&'/') {
                    at += 1;
                    out.push_str("(?:.*/)?");
                } else {
                    out.push_str(".*");
                    example.push(ANY);
                }
            }
            '*' => {
                out.push_str("[^/]*");
                example.push(ANY);
            }
            '?' => {
                out.push_str("[^/]");
                example.push(ANY);
            }
            '[' => {
                let (member, end) = class(&chars, at, &mut out)?;
                example.extend(member);
                at = end;
            }
            '\\' => {
                let c = *chars.get(at).ok_or(GlobError::Trailing)?;
                literal(c, &mut out);
                example.push(c);
                at += 1;
            }
            c => {
                literal(*c, &mut out);
                example.push(*c);
            }
        }
    }
    Ok((out, example))
}

/// One bracketed class, of which the opening bracket was read; gives a character of it, and where it ends.
fn class(chars: &[char], mut at: usize, out: &mut String) -> Result<(Option<char>, usize), GlobError> {
    let negated = matches!(chars.get(at), Some('!' | '^'));
    at += usize::from(negated);
    out.push_str(if negated { "[^/" } else { "[" });
    let (begin, mut named) = (at, Vec::new());
    loop {
        let (low, next) = match chars.get(at).ok_or(GlobError::Unclosed)? {
            // Right after the opening it is a character like others, as in shells.
            ']' if at > begin => break,
            _ => member(chars, at)?,
        };
        let ranges = chars.get(next) == Some(&'-') && chars.get(next + 1).is_some_and(|c| *c != ']');
        let (high, next) = if ranges { member(chars, next + 1)? } else { (low, next) };
        if low > high {
            return Err(GlobError::Backwards(low, high));
        }
        range(low, high, out);
        named.push((low, high));
        at = next;
    }
    out.push(']');
    let is_named = |c: &char| named.iter().any(|(low, high)| (*low..=*high).contains(c));
    let mut others = (ANY..='z').chain('0'..='w').filter(|c| !is_named(c));
    let member = if negated { others.next() } else { named.first().map(|(low, _)| *low) };
    Ok((member, at + 1))
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

fn literal(c: char, out: &mut String) {
    if matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$') {
        out.push('\\');
    }
    out.push(c);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(glob: &str) -> String {
        expression("", &[glob.parse().unwrap()])
    }

    #[test]
    fn each_sign_has_its_regular_expression() {
        let cases = [
            ("main", "^(?s:main)$"),
            ("release/*", "^(?s:release/[^/]*)$"),
            ("v?.x", r"^(?s:v[^/]\.x)$"),
            ("docs/**", "^(?s:docs/.*)$"),
            ("**/docs/**/*.md", r"^(?s:(?:.*/)?docs/(?:.*/)?[^/]*\.md)$"),
            ("**.js", r"^(?s:.*\.js)$"),
            ("a**/b", "^(?s:a.*/b)$"),
            ("***", "^(?s:.*)$"),
            ("[a-c]x", "^(?s:[a-c]x)$"),
            ("[!a-c]", "^(?s:[^/a-c])$"),
            ("[^]]", r"^(?s:[^/\]])$"),
            ("[]a]", r"^(?s:[\]a])$"),
            ("[a-]", r"^(?s:[a\-])$"),
            ("[+-9]", "^(?s:[+-.0-9])$"),
            (r"[\]&&~]", r"^(?s:[\]\&\&\~])$"),
            (r"\*\?\[", r"^(?s:\*\?\[)$"),
            (r"\!x", "^(?s:!x)$"),
            ("a+b|(c){2}^$", r"^(?s:a\+b\|\(c\)\{2\}\^\$)$"),
            ("it's", "^(?s:it's)$"),
        ];
        for (glob, expected) in cases {
            assert_eq!(text(glob), expected, "{glob}");
        }
    }

    #[test]
    fn each_glob_has_a_text_that_it_matches() {
        let cases = [
            ("main", "main"),
            ("release/[0-9]*", "release/0x"),
            ("**/v?", "vx"),
            ("docs/**", "docs/x"),
            ("[!a-c]", "x"),
            ("[^x-z]", "0"),
            (r"[\]a]", "]"),
            (r"\*\?", "*?"),
        ];
        for (glob, expected) in cases {
            assert_eq!(glob.parse::<Glob>().unwrap().example(), expected, "{glob}");
        }
    }

    #[test]
    fn several_globs_are_one_expression_behind_a_prefix() {
        let globs = ["main".parse().unwrap(), "v*".parse().unwrap()];
        assert_eq!(expression("refs/heads/", &globs), "^refs/heads/(?s:main|v[^/]*)$");
        assert_eq!(expression("a.b/", &globs[..1]), r"^a\.b/(?s:main)$");
    }

    #[test]
    fn what_is_no_glob_says_why() {
        let long = "x".repeat(256);
        let cases = [
            ("", GlobError::Empty),
            (&long, GlobError::TooLong),
            ("!main", GlobError::Negated),
            ("a\nb", GlobError::Control),
            ("[abc", GlobError::Unclosed),
            ("[]", GlobError::Unclosed),
            ("[!]", GlobError::Unclosed),
            ("[z-a]", GlobError::Backwards('z', 'a')),
            ("[a/b]", GlobError::Separator),
            ("main\\", GlobError::Trailing),
        ];
        for (glob, expected) in cases {
            assert_eq!(glob.parse::<Glob>(), Err(expected), "{glob}");
        }
    }
}

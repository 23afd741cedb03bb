//! Patterns over branch names and file paths, as shells and `.gitignore` have them, and the regular expressions they mean.
//!
//! `*` is any part of one path segment, `?` one character of it, `**` anything, `**/` any folders or none, `[a-z]` and
//! `[!a-z]` one character, `\` takes the next character as it is. The expressions are RE2's, so that they mean the same
//! to Tekton's CEL and to ours.

mod example;
mod parts;

/// The pattern of a glob, for schemas; a leading `!` would exclude nothing, so it is refused.
pub const GLOB_PATTERN: &str = r"^[^!\x00-\x1f\x7f][^\x00-\x1f\x7f]*$";

/// What can be said of the signs of a list of globs when it is written, as a CEL expression; it takes each glob.
pub const GLOBS_RULE: &str = r"self.all(glob, glob.matches(r'^(?:[^\\\[]|\\.|\[(?:[!^](?:[^\\/]|\\[^/])|[^\\/!^]|\\[^/])(?:[^\\/\]]|\\[^/])*\])+$'))";
/// What is wrong where it does not hold.
pub const GLOBS_RULE_MESSAGE: &str = r"each glob closes its [ with ], has no / between them, and ends with no \; write \[ for the character itself";
/// The same for what globs over files are about.
pub const FILES_RULE: &str =
    "self.all(glob, !glob.startsWith('/') && !glob.endsWith('/') && !glob.contains('//'))";
/// What is wrong where it does not hold.
pub const FILES_RULE_MESSAGE: &str = "each glob is about files' paths from the repository's root, which neither begin nor end with /; docs/** is all in folder docs";
/// The same for what globs over branches are about.
pub const BRANCHES_RULE: &str = "self.all(glob, !glob.startsWith('refs/') && !glob.startsWith('/') && !glob.endsWith('/') && !glob.contains('//'))";
/// What is wrong where it does not hold.
pub const BRANCHES_RULE_MESSAGE: &str = "each glob is about branches' short names, as in main or release/*: not refs/heads/main, and no / at either end";

/// What a glob's names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Branches, by their short names.
    Branches,
    /// Files, by their paths from the repository's root.
    Files,
}

/// A pattern over branch names or file paths, which some name matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    expression: String,
    example: String,
}

/// Why a text is not a glob; the message is for the user, and goes on after the text.
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
    /// There is no name that it matches; the text says why, as far as that is known.
    #[error("{0}")]
    Never(&'static str),
}

impl Glob {
    /// Longest glob.
    pub const MAX: usize = 255;

    /// Reads a glob over such names; one that none of them can match is refused as one that cannot be read.
    pub fn new(text: &str, over: Over) -> Result<Self, GlobError> {
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
        let parts = parts::read(text)?;
        let example = match over {
            Over::Branches => example::find::<example::Branches>(&parts),
            Over::Files => example::find::<example::Files>(&parts),
        };
        let example = example.ok_or_else(|| GlobError::Never(never(text, over)))?;
        Ok(Self { text: text.to_owned(), expression: parts::expression(&parts), example })
    }

    /// The glob as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A name that it matches.
    #[must_use]
    pub fn example(&self) -> &str {
        &self.example
    }
}

/// Why no name matches a glob, as far as it can be told by looks.
fn never(text: &str, over: Over) -> &'static str {
    match over {
        Over::Branches if text.starts_with("refs/") => {
            "can match no branch: it begins with refs/, and branches go by their short names, as in main"
        }
        Over::Branches => "can match no branch: there is no such name (git check-ref-format)",
        Over::Files if text.starts_with('/') => {
            "can match no file: it begins with /, and paths begin at the repository's root without one"
        }
        Over::Files if text.ends_with('/') => {
            "can match no file: it ends with /, as a folder does; docs/** is all that is in folder docs"
        }
        Over::Files => "can match no file: no part of a path is empty, . or ..",
    }
}

/// The regular expression that matches a whole text which begins with `prefix` and goes on as one of the globs says.
#[must_use]
pub fn expression(prefix: &str, globs: &[Glob]) -> String {
    let choices: Vec<&str> = globs.iter().map(|glob| glob.expression.as_str()).collect();
    let mut escaped = String::new();
    prefix.chars().for_each(|c| parts::literal(c, &mut escaped));
    // A file's name may have a line break, which a dot leaves out without `s`.
    format!("^{escaped}(?s:{})$", choices.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Branch;

    fn files(glob: &str) -> Result<Glob, GlobError> {
        Glob::new(glob, Over::Files)
    }

    fn branches(glob: &str) -> Result<Glob, GlobError> {
        Glob::new(glob, Over::Branches)
    }

    fn text(glob: &str) -> String {
        expression("", &[files(glob).unwrap()])
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
            ("release/[0-9]*", "release/0"),
            ("release/*", "release/x"),
            ("*", "x"),
            ("v*", "v"),
            ("**/v?", "vx"),
            ("docs/**", "docs/x"),
            ("[!a-c]", "x"),
            ("[^x-z]", "0"),
            (r"[\]a]", "]"),
            ("*.loc[k-l]", "x.locl"),
            ("[@-A][{-}]", "A|"),
            ("?efs/*", "xefs/x"),
            ("ref[!a-r]/heads", "refx/heads"),
        ];
        for (glob, expected) in cases {
            let found = branches(glob).unwrap();
            assert_eq!(found.example(), expected, "{glob}");
            assert!(found.example().parse::<Branch>().is_ok(), "{glob}");
        }
        assert_eq!(files(r"\*\?").unwrap().example(), "*?");
        assert_eq!(files("**/.?").unwrap().example(), ".x");
    }

    #[test]
    fn several_globs_are_one_expression_behind_a_prefix() {
        let globs = [branches("main").unwrap(), branches("v*").unwrap()];
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
            assert_eq!(files(glob), Err(expected.clone()), "{glob}");
            assert_eq!(branches(glob), Err(expected), "{glob}");
        }
    }

    #[test]
    fn what_no_name_can_match_says_so() {
        let said = |result: Result<Glob, GlobError>| result.unwrap_err().to_string();
        for glob in ["/src/**", "src/", "a//b", "./src/*", "src/../*", "[.]", "[.].", "**/"] {
            let message = said(files(glob));
            assert!(message.starts_with("can match no file"), "{glob}: {message}");
        }
        for glob in [
            "refs/heads/main",
            "refs/**",
            "[r]efs/*",
            "/main",
            "main/",
            "a..b",
            "*..*",
            "a b",
            "@",
            "@{x",
            "x.lock",
            "x.lock/*",
            "-x",
            ".x",
            "**/.*",
            "x.",
            "[?]",
            "v[!!-\u{10ffff}]",
            r"\*",
            "a\\~b",
        ] {
            let message = said(branches(glob));
            assert!(message.starts_with("can match no branch"), "{glob}: {message}");
        }
        assert!(said(files("/src/**")).contains("it begins with /"));
        assert!(said(files("docs/")).contains("docs/** is all"));
        assert!(said(branches("refs/heads/main")).contains("short names"));
    }

    #[test]
    fn a_glob_without_signs_is_refused_exactly_when_it_is_no_name() {
        let signs = ['a', '/', '.', '-', '@', '{', ' ', '~', 'l'];
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            let longer = texts.iter().flat_map(|text| signs.iter().map(move |c| format!("{text}{c}")));
            texts = longer.collect();
            for text in &texts {
                assert_eq!(branches(text).is_ok(), text.parse::<Branch>().is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn the_longest_glob_that_nothing_matches_is_refused_soon() {
        let long = format!("{}/", "**?[!a-c]".repeat(28));
        assert!(long.len() > 250 && files(&long).is_err());
    }
}

//! What can go wrong with an expression, in the words cel-go uses.

use std::fmt;

/// How many faults are told of one text.
const MOST: usize = 100;
/// Lines longer than this, in bytes, are not shown.
const LONGEST_LINE: usize = 10_000;

/// One fault in the text of an expression, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// What is wrong.
    pub message: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The text of that line; empty if it is too long to be shown.
    pub snippet: String,
}

impl Issue {
    /// The fault at a byte offset of `source`.
    pub(crate) fn at(source: &str, offset: usize, message: impl Into<String>) -> Self {
        let mut rest = offset;
        let mut line = 1;
        let mut snippet = "";
        for text in source.split('\n') {
            snippet = text;
            if rest <= text.len() {
                break;
            }
            rest -= text.len() + 1;
            line += 1;
        }
        let column = snippet.char_indices().take_while(|(at, _)| *at < rest).count() + 1;
        let shown = if snippet.len() > LONGEST_LINE { "" } else { snippet };
        Self { message: message.into(), line, column, snippet: shown.to_owned() }
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERROR: <input>:{}:{}: {}", self.line, self.column, self.message)?;
        if self.snippet.is_empty() && self.column > 1 {
            return Ok(());
        }
        writeln!(f)?;
        writeln!(f, " | {}", self.snippet.replace('\t', " "))?;
        let mark = |character: char, wide, narrow| if character.len_utf8() > 1 { wide } else { narrow };
        let before = self.snippet.chars().take(self.column.saturating_sub(1));
        let dots: String = before.map(|character| mark(character, '．', '.')).collect();
        let at = self.snippet.chars().nth(self.column.saturating_sub(1));
        write!(f, " | {dots}{}", at.map_or('^', |character| mark(character, '＾', '^')))
    }
}

/// The faults of a text as they are found.
#[derive(Debug)]
pub(crate) struct Issues<'a> {
    source: &'a str,
    noted: Vec<Issue>,
    more: usize,
}

impl<'a> Issues<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        Self { source, noted: Vec::new(), more: 0 }
    }

    /// Notes a fault at a byte offset.
    pub(crate) fn at(&mut self, offset: usize, message: impl Into<String>) {
        if self.noted.len() < MOST {
            self.noted.push(Issue::at(self.source, offset, message));
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.noted.is_empty()
    }

    /// The value if there are no faults; otherwise the faults in the order of the text.
    pub(crate) fn or<T>(mut self, value: T) -> Result<T, CompileError> {
        if self.noted.is_empty() {
            return Ok(value);
        }
        self.noted.sort_by_key(|issue| (issue.line, issue.column));
        Err(match self.more {
            0 => CompileError::Invalid(self.noted),
            more => CompileError::Truncated { issues: self.noted, more },
        })
    }
}

/// Why a source text is not a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The text is longer than any expression may be.
    #[error("ERROR: <input>:1:1: expression code point size exceeds limit: size: {size}, limit {limit}")]
    TooLong {
        /// Its length in characters.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The text nests or chains deeper than an expression may.
    #[error("ERROR: <input>:1:1: expression recursion limit exceeded: {limit}")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The text is wrong in one or more places.
    #[error("{}", join(.0))]
    Invalid(Vec<Issue>),
    /// The text is wrong in more places than are told.
    #[error("{}\n{more} more errors were truncated", join(.issues))]
    Truncated {
        /// The first of them.
        issues: Vec<Issue>,
        /// How many there are beside these.
        more: usize,
    },
    /// The parser failed in a way that is not the author's fault.
    #[error("internal error while parsing the expression: {0}")]
    Internal(String),
}

fn join(issues: &[Issue]) -> String {
    issues.iter().map(Issue::to_string).collect::<Vec<_>>().join("\n")
}

/// Why a program gave no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The evaluation was stopped because it had cost more than its limit.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostExceeded {
        /// The limit it ran into.
        limit: u64,
    },
    /// The expression failed: a missing key, an overflow, an unsuitable type.
    #[error("{0}")]
    Failed(String),
    /// A binding was given for a name the program does not declare, or the machinery failed.
    #[error("internal error while evaluating the expression: {0}")]
    Internal(String),
}

/// How an evaluation step fails; `&&` and `||` may absorb all but the exhaustion of the budget.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// This function does not take these arguments.
    NoOverload,
    /// It failed for the reason given.
    Message(String),
    /// The budget is spent.
    Cost,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }
}

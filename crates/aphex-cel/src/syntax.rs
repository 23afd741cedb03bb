//! From text to syntax tree by the `cel` crate's parser, with no macros expanded.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::common::ast::{IdedExpr, SourceInfo};

use crate::error::{CompileError, Issue};

/// A parsed expression and where its parts stand.
pub(crate) struct Parsed {
    pub(crate) expression: IdedExpr,
    pub(crate) places: SourceInfo,
}

/// Parses on the calling thread, whose stack must be one of `pool`'s.
pub(crate) fn parse(source: &str) -> Result<Parsed, CompileError> {
    // The parser is foreign code fed by tenants: a panic in it must not take the caller along.
    let result =
        catch_unwind(AssertUnwindSafe(|| cel::Env::default().parser().parse_with_source_info(source)));
    match result {
        Ok(Ok((expression, places))) => Ok(Parsed { expression, places }),
        Ok(Err(errors)) => {
            let mut issues: Vec<Issue> =
                errors.errors.into_iter().map(|error| issue(source, error)).collect();
            settle(&mut issues);
            // What is missing of a broken part is no news beside what broke it.
            if issues.iter().any(|issue| !is_follow_up(issue)) {
                issues.retain(|issue| !is_follow_up(issue));
            }
            Err(CompileError::Invalid(issues))
        }
        Err(_) => Err(CompileError::Internal("the parser failed on this text".into())),
    }
}

fn issue(source: &str, error: cel::ParseError) -> Issue {
    let line = usize::try_from(error.pos.0).unwrap_or(1).max(1);
    let column = usize::try_from(error.pos.1).unwrap_or(1).max(1);
    Issue {
        message: in_words(error.msg),
        line,
        column,
        snippet: source.split('\n').nth(line - 1).unwrap_or_default().to_owned(),
    }
}

/// Puts faults that the parser reports where their part begins to where cel-go sees them.
fn settle(issues: &mut [Issue]) {
    for at in 0..issues.len() {
        let next = issues.get(at + 1).map(|next| (next.line, next.column));
        let issue = &mut issues[at];
        if issue.message == "unsupported syntax: '`'" {
            let rest = issue.snippet.chars().skip(issue.column - 1);
            issue.column += rest.take_while(|character| *character != '`').count();
        } else if let ("unsupported ident kind", Some((line, column))) = (issue.message.as_str(), next) {
            (issue.line, issue.column) = (line, column);
            issues.swap(at, at + 1);
        }
    }
}

fn is_follow_up(issue: &Issue) -> bool {
    issue.message.starts_with("Incomplete ")
}

fn in_words(message: String) -> String {
    let escapes = ["invalid bytes literal", "invalid string literal"];
    if escapes.iter().any(|words| message.starts_with(words)) {
        return "unable to unescape string".to_owned();
    }
    expectation(message)
}

/// Where the text could go on in many ways, cel-go names only what would end the part.
fn expectation(message: String) -> String {
    const OPERATORS: &[&str] = &[
        "'=='", "'!='", "'in'", "'<'", "'<='", "'>='", "'>'", "'&&'", "'||'", "'['", "'.'", "'-'", "'+'",
        "'*'", "'/'", "'%'", "'?'",
    ];
    let Some((what, expected)) = message.split_once(" expecting {") else { return message };
    if expected.starts_with("<EOF>") {
        return format!("{what} expecting <EOF>");
    }
    let Some(expected) = expected.strip_suffix('}').filter(|expected| expected.contains("'=='")) else {
        return message;
    };
    let ends: Vec<&str> = expected.split(", ").filter(|token| !OPERATORS.contains(token)).collect();
    match ends.as_slice() {
        [] => message,
        [end] => format!("{what} expecting {end}"),
        ends => format!("{what} expecting {{{}}}", ends.join(", ")),
    }
}

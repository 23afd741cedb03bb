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
            Err(CompileError::Invalid(errors.errors.into_iter().map(|error| issue(source, error)).collect()))
        }
        Err(_) => Err(CompileError::Internal("the parser failed on this text".into())),
    }
}

fn issue(source: &str, error: cel::ParseError) -> Issue {
    let line = usize::try_from(error.pos.0).unwrap_or(1).max(1);
    let column = usize::try_from(error.pos.1).unwrap_or(1).max(1);
    Issue {
        message: expectation(error.msg),
        line,
        column,
        snippet: source.split('\n').nth(line - 1).unwrap_or_default().to_owned(),
    }
}

/// Where the text could go on in many ways, cel-go names only its end.
fn expectation(message: String) -> String {
    match message.split_once(" expecting {<EOF>") {
        Some((what, _)) => format!("{what} expecting <EOF>"),
        None => message,
    }
}

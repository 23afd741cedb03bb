//! Compiling a policy's expressions: which variables each of them may name.

use std::sync::{Arc, LazyLock};

use aphex_cel::{CompileError, Environment, Program};

use super::authorizer;

/// How far variables may build on each other; evaluating one evaluates those it names.
pub(super) const MOST_LEVELS: usize = 40;

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    authorizer::functions()
        .into_iter()
        .fold(Environment::kubernetes().clone(), |all, one| all.with_extension(one))
});

/// What an expression may name besides the object and the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// `params`.
    pub(super) params: bool,
    /// `authorizer` and `authorizer.requestResource`.
    pub(super) authorizer: bool,
}

/// Compiles one expression; `composed` are the names of the variables before it.
pub(super) fn compile(source: &str, scope: Scope, composed: &[String]) -> Result<Program, CompileError> {
    let mut names = vec!["object", "oldObject", "namespaceObject", "request"];
    if scope.params {
        names.push("params");
    }
    if scope.authorizer {
        names.extend(["authorizer", authorizer::REQUEST]);
    }
    let composed: Vec<String> = composed.iter().map(|name| format!("variables.{name}")).collect();
    names.extend(composed.iter().map(String::as_str));
    ENVIRONMENT.compile(source, &names)
}

/// An expression of a stored policy; one that no longer compiles fails when it is evaluated.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    pub(super) source: Arc<str>,
    pub(super) program: Result<Program, String>,
}

impl Expression {
    pub(super) fn new(source: &str, scope: Scope, composed: &[String]) -> Self {
        let program =
            compile(source, scope, composed).map_err(|error| format!("compilation failed: {error}"));
        Self { source: source.into(), program }
    }

    /// Whether it names a variable.
    pub(super) fn uses(&self, variable: &str) -> bool {
        self.program.as_ref().is_ok_and(|program| program.uses(variable))
    }
}

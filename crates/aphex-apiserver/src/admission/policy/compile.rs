//! Compiling a policy's expressions: which variables each of them may name, and what it must give.

use std::sync::{Arc, LazyLock};

use aphex_cel::{Checked, Environment, Program, Type};

use super::{authorizer, types};

/// How far variables may build on each other; evaluating one evaluates those it names.
pub(super) const MOST_LEVELS: usize = 40;

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    let functions = authorizer::functions().into_iter();
    functions.fold(Environment::kubernetes().clone(), |all, one| all.with_extension(one))
});

/// What an expression may name besides the object and the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// `params`.
    pub(super) params: bool,
    /// `authorizer` and `authorizer.requestResource`.
    pub(super) authorizer: bool,
}

/// What an expression must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    Anything,
    Bool,
    Text,
    TextOrNull,
}

impl Gives {
    /// Why a value of this type will not do; none if it will.
    fn refusal(self, kind: &Type) -> Option<String> {
        let (fits, wanted) = match self {
            Self::Anything => return None,
            Self::Bool => (matches!(kind, Type::Bool), "bool"),
            Self::Text => (matches!(kind, Type::String), "string"),
            Self::TextOrNull => (matches!(kind, Type::String | Type::Null), "one of [string null_type]"),
        };
        (!fits).then(|| format!("must evaluate to {wanted} but got {kind}"))
    }
}

/// A variable that later expressions may use.
#[derive(Clone, Debug)]
pub(super) struct Composed {
    pub(super) name: String,
    pub(super) kind: Type,
}

/// Compiles one expression; `composed` are the variables before it. The error is all that is wrong with it.
pub(super) fn compile(
    source: &str,
    gives: Gives,
    scope: Scope,
    composed: &[Composed],
) -> Result<Checked, String> {
    let checked = ENVIRONMENT
        .check(source, &types::declarations(scope, composed))
        .map_err(|error| format!("compilation failed: {error}"))?;
    if let Some(why) = gives.refusal(checked.output()) {
        return Err(why);
    }
    match checked.doomed() {
        Some(why) => Err(format!("program instantiation failed: {why}")),
        None => Ok(checked),
    }
}

/// An expression of a stored policy; one that no longer compiles fails when it is evaluated.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    pub(super) source: Arc<str>,
    pub(super) program: Result<Program, String>,
    kind: Type,
}

impl Expression {
    pub(super) fn new(source: &str, gives: Gives, scope: Scope, composed: &[Composed]) -> Self {
        let checked = compile(source, gives, scope, composed);
        let kind = checked.as_ref().map_or(Type::Dyn, |checked| checked.output().clone());
        Self { source: source.into(), program: checked.map(|checked| checked.program().clone()), kind }
    }

    /// The expression as a variable for others.
    pub(super) fn composed(&self, name: &str) -> Composed {
        Composed { name: name.to_owned(), kind: self.kind.clone() }
    }

    /// Whether it names a variable.
    pub(super) fn uses(&self, variable: &str) -> bool {
        self.program.as_ref().is_ok_and(|program| program.uses(variable))
    }
}

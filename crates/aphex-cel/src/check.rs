//! Types and costs of expressions before they run.
//!
//! ```text
//! parsed text -> expand (macros become loops) -> infer (a type for every node) -> literals -> Checked
//! Checked + Declared -> cost (the most an evaluation may cost)
//! ```
//!
//! The functions are those of the environment: Kubernetes v1.35 or Tekton Triggers v0.34; messages are cel-go's. What a tenant writes bounds neither time nor
//! stack: the text is guarded before it is parsed, expansion stops at a number of nodes, unification at a number of
//! steps, and trees are walked on the deep stacks of `pool`.

mod cost;
mod declared;
mod expand;
mod format;
mod infer;
mod literals;
mod signatures;
mod tree;
mod types;
mod unify;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use self::cost::Range as CostRange;
pub use self::declared::Declared;
pub use self::types::{Object, Type};
use crate::environment::{Dialect, Environment};
use crate::error::CompileError;
use crate::lower::{self, Literals};
use crate::program::Program;
use crate::{guard, pool, syntax};

/// The variables an expression may name, with their types.
#[derive(Clone, Debug, Default)]
pub struct Declarations {
    variables: BTreeMap<Arc<str>, Type>,
}

impl Declarations {
    /// No variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// And this one.
    #[must_use]
    pub fn with(mut self, name: &str, kind: Type) -> Self {
        self.variables.insert(name.into(), kind);
        self
    }

    fn variable(&self, name: &str) -> Option<(&Arc<str>, &Type)> {
        self.variables.get_key_value(name)
    }
}

/// An expression whose types fit.
#[derive(Clone, Debug)]
pub struct Checked {
    program: Program,
    typed: Arc<infer::Typed>,
}

impl Checked {
    /// What evaluates it.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// What a constant in it can only fail with, for which reason cel-go makes no program of it.
    pub fn doomed(&self) -> Option<&str> {
        self.program.doomed()
    }

    /// The type of its value.
    pub fn output(&self) -> &Type {
        &self.typed.types[self.typed.tree.root]
    }

    /// Whether it refers to something by this name.
    pub fn uses(&self, name: &str) -> bool {
        self.typed.names.contains(name)
    }

    /// What an evaluation costs at least and at most where all variables are of this type; blocks, briefly.
    ///
    /// None if the machinery failed.
    pub fn cost(&self, declared: &Declared) -> Option<CostRange> {
        let (typed, declared) = (Arc::clone(&self.typed), declared.clone());
        pool::run(move || cost::estimate(&typed, &declared))
    }
}

impl Environment {
    /// Compiles a text and checks its types against the environment's functions; blocks, briefly.
    ///
    /// ```
    /// # use aphex_cel::{Declarations, Environment, Type};
    /// let declarations = Declarations::new().with("self", Type::list(Type::String));
    /// let checked = Environment::kubernetes().check("self.all(x, x.size() > 2)", &declarations)?;
    /// assert!(matches!(checked.output(), Type::Bool));
    /// assert!(Environment::kubernetes().check("self + 1", &declarations).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self, source: &str, declarations: &Declarations) -> Result<Checked, CompileError> {
        let depth = guard::check(source)?;
        let environment = self.clone();
        let (text, declarations): (Arc<str>, _) = (source.into(), declarations.clone());
        let job = move || {
            let parsed = syntax::parse(&text)?;
            let names: Vec<Arc<str>> = declarations.variables.keys().cloned().collect();
            let typed = typed(&text, &parsed, environment.dialect(), &declarations)?;
            let program = lower::lower(&environment, &text, &names, &parsed, depth, Literals::Checked)?;
            Ok(Checked { program, typed: Arc::new(typed) })
        };
        pool::run(job).unwrap_or_else(|| Err(CompileError::Internal("the expression worker failed".into())))
    }
}

fn typed(
    source: &str,
    parsed: &syntax::Parsed,
    dialect: Dialect,
    declarations: &Declarations,
) -> Result<infer::Typed, CompileError> {
    let tree = expand::expand(source, parsed, dialect)?;
    let typed = infer::infer(source, tree, dialect, declarations)?;
    literals::check(source, dialect, &typed).or(())?;
    Ok(typed)
}

//! Literals that can only fail, and lists and maps of mixed types: cel-go's validators, which Kubernetes turns on.
//!
//! Of these Tekton has the one of `format`.

use super::format;
use super::infer::Typed;
use super::tree::{Expr, Id};
use super::types::{Kind, Type};
use super::unify::Unifier;
use crate::environment::Dialect;
use crate::error::Issues;
use crate::eval::Scope;
use crate::functions;
use crate::value::Value;

/// Enough for any conversion.
const BUDGET: u64 = 10_000;

/// What is wrong with the literals of an expression whose types fit.
pub(super) fn check<'a>(source: &'a str, dialect: Dialect, typed: &'a Typed) -> Issues<'a> {
    let unifier = Unifier::new(typed.tree.nodes.len());
    let mut validation = Validation { typed, dialect, unifier, issues: Issues::new(source) };
    validation.node(typed.tree.root, false);
    validation.issues
}

struct Validation<'a> {
    typed: &'a Typed,
    dialect: Dialect,
    unifier: Unifier,
    issues: Issues<'a>,
}

impl Validation<'_> {
    fn issue(&mut self, id: Id, message: impl Into<String>) {
        self.issues.at(self.typed.tree.offsets[id], message);
    }

    fn node(&mut self, id: Id, formatting: bool) {
        let mut formatting = formatting;
        let all = self.dialect == Dialect::Kubernetes;
        match self.typed.tree.get(id) {
            Expr::Call { function, arguments, target } => {
                if all {
                    self.call(function, *target, arguments);
                }
                if &**function == "format" {
                    formatting = true;
                    if let Some((place, message)) = format::check(self.typed, self.dialect, id) {
                        self.issue(place, message);
                    }
                }
            }
            Expr::List { elements } if all && !formatting => {
                let types: Vec<(Id, Type)> =
                    elements.iter().map(|(id, marked)| self.element(*id, *marked)).collect();
                self.homogeneous(&types, true);
            }
            Expr::Map { entries } if all && !formatting => {
                let keys: Vec<(Id, Type)> =
                    entries.iter().map(|entry| self.element(entry.key, false)).collect();
                let values: Vec<(Id, Type)> =
                    entries.iter().map(|entry| self.element(entry.value, entry.optional)).collect();
                self.homogeneous(&keys, false);
                self.homogeneous(&values, false);
            }
            _ => {}
        }
        for child in self.typed.tree.children(id) {
            self.node(child, formatting);
        }
    }

    fn element(&self, id: Id, optional: bool) -> (Id, Type) {
        let found = &self.typed.types[id];
        let found = found.unwrapped().filter(|_| optional).unwrap_or(found);
        (id, found.clone())
    }

    fn homogeneous(&mut self, types: &[(Id, Type)], once: bool) {
        let Some(((_, first), rest)) = types.split_first() else { return };
        for (id, found) in rest {
            if !self.unifier.same(first, found) {
                self.issue(*id, format!("expected type '{first}' but found '{found}'"));
                if once {
                    return;
                }
            }
        }
    }

    fn call(&mut self, function: &str, target: Option<Id>, arguments: &[Id]) {
        let Some(first) = arguments.first() else { return };
        let Expr::Literal(value) = self.typed.tree.get(*first) else { return };
        let fails = match (function, value) {
            ("duration" | "timestamp", value) if target.is_none() => fails(function, value),
            ("matches", Value::String(pattern)) => functions::compile_pattern(pattern).is_err(),
            _ => false,
        };
        if fails {
            self.issue(*first, format!("invalid {function} argument"));
        }
    }
}

/// Whether a conversion of this constant can only fail.
fn fails(function: &str, value: &Value) -> bool {
    let mut scope = Scope::new(BUDGET);
    functions::STANDARD
        .iter()
        .flat_map(|table| table.iter())
        .filter(|candidate| candidate.name == function)
        .all(|candidate| (candidate.run)(&mut scope, std::slice::from_ref(value)).is_err())
}

/// Whether a type may be shown by a clause for these kinds.
pub(super) fn is_one_of(found: &Type, kinds: &[Kind]) -> bool {
    found.kind() == Kind::Dyn || kinds.contains(&found.kind())
}

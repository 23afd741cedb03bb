//! CEL rules of custom resources (`x-kubernetes-validations`).
//!
//! - [`check`] says what is wrong with the rules of a schema that is being written: types, costs, `oldSelf`.
//! - [`Rules`] holds the compiled rules of a whole schema and runs them; costs are bounded per rule and per object.
//! - [`declare`] gives the CEL type of a schema, with the sizes of its values.

mod budget;
mod check;
mod convert;
mod declare;

use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_cel::{CompileError, Environment, EvaluateError, Limits, Program, Value as Cel};
use serde_json::Value;

use crate::correlate::Old;
use crate::error::{FieldError, FieldErrorKind};
use crate::field_path;
use crate::model::{Additional, Definitions, Rule, Schema, Type, Typed};
use crate::path::Path;
use crate::validate::type_name;

pub use check::{Options, check};
pub use declare::declare;

/// What rules may name.
const VARIABLES: &[&str] = &["self", "oldSelf"];
/// What all rules of one object may cost together (`RuntimeCELCostBudget` of Kubernetes).
const BUDGET: u64 = 10_000_000;
/// Messages made by expressions may not be longer.
const LONGEST_MESSAGE: usize = 5 * 1024;

/// The compiled rules of a schema.
#[derive(Debug, Default)]
pub struct Rules {
    schema: Arc<Schema>,
    definitions: Arc<Definitions>,
    root: Node,
}

/// The rules of a schema node and of what is below.
#[derive(Debug, Default)]
struct Node {
    rules: Vec<Compiled>,
    properties: BTreeMap<String, Node>,
    items: Option<Box<Node>>,
    additional: Option<Box<Node>>,
}

#[derive(Debug)]
struct Compiled {
    rule: Rule,
    program: Program,
    message: Option<Program>,
    uses_old: bool,
    field: Path,
}

impl Rules {
    /// Compiles the rules of a schema for running; they were checked when the schema was written.
    ///
    /// The errors are those of the texts alone: see [`check`] for all that can be wrong with a rule.
    pub fn compile(schema: &Schema) -> Result<Self, Vec<CompileError>> {
        let mut errors = Vec::new();
        let root = compile(schema, &mut errors).unwrap_or_default();
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self { schema: Arc::new(schema.clone()), definitions: Definitions::none(), root })
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// The rules that `object` breaks; `old` is its former state on an update.
    pub fn check(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut run = Run { errors: Vec::new(), budget: BUDGET, spent: false };
        let typed = Typed::new(&self.schema, &self.definitions);
        let old = old.map(|old| Old::new(old, typed));
        let place = Place { field: Path::root(), old, ratchet: old, parent: None, root: true };
        run.node(&self.root, &self.schema, object, &place);
        run.errors
    }
}

impl Node {
    fn is_empty(&self) -> bool {
        self.rules.is_empty()
            && self.properties.is_empty()
            && self.items.is_none()
            && self.additional.is_none()
    }
}

/// Compiles a node; none if there are no rules at or below it.
fn compile(schema: &Schema, errors: &mut Vec<CompileError>) -> Option<Node> {
    let mut node = Node::default();
    for rule in &schema.validations {
        match compile_rule(rule, schema) {
            Ok(compiled) => node.rules.push(compiled),
            Err(error) => errors.push(error),
        }
    }
    for (name, property) in &schema.properties {
        if let Some(below) = compile(property, errors) {
            node.properties.insert(name.clone(), below);
        }
    }
    if let Some(items) = &schema.items {
        node.items = compile(items, errors).map(Box::new);
    }
    if let Additional::Each(each) = &schema.additional {
        node.additional = compile(each, errors).map(Box::new);
    }
    (!node.is_empty()).then_some(node)
}

fn compile_rule(rule: &Rule, schema: &Schema) -> Result<Compiled, CompileError> {
    let compile = |source: &str| Environment::kubernetes().compile_checked(source, VARIABLES);
    let program = compile(&rule.rule)?;
    let message = rule.message_expression.as_deref().map(compile).transpose()?;
    let uses_old = program.uses("oldSelf");
    let field =
        rule.field_path.as_deref().map(|path| field_path::normalized(path, schema)).unwrap_or_default();
    Ok(Compiled { rule: rule.clone(), program, message, uses_old, field })
}

/// Where a value sits and what it came from.
#[derive(Clone)]
struct Place<'a> {
    field: Path,
    old: Option<Old<'a>>,
    /// The old value by which failures are forgiven, if this part correlates.
    ratchet: Option<Old<'a>>,
    /// Whether the nearest ancestor that correlates is unchanged; none at the root.
    parent: Option<bool>,
    root: bool,
}

impl<'a> Place<'a> {
    fn below(
        &self,
        field: Path,
        value: &Value,
        old: impl Fn(Old<'a>) -> Option<Old<'a>>,
        fresh: bool,
    ) -> Self {
        let (ratchet, parent) = match self.ratchet {
            Some(_) if fresh => (None, None),
            Some(current) => (old(current), Some(current)),
            None => (None, None),
        };
        let parent = match parent {
            Some(parent) if ratchet.is_none() => Some(parent.equals(value)),
            _ => self.parent.filter(|_| self.ratchet.is_none()),
        };
        Self { field, old: self.old.and_then(&old), ratchet, parent, root: false }
    }
}

struct Run {
    errors: Vec<FieldError>,
    budget: u64,
    spent: bool,
}

impl Run {
    fn node(&mut self, node: &Node, schema: &Schema, value: &Value, place: &Place<'_>) {
        if value.is_null() || self.spent {
            return;
        }
        self.rules(node, schema, value, place);
        match value {
            Value::Array(list) => {
                let (Some(below), Some(items)) = (&node.items, &schema.items) else { return };
                for (index, element) in list.iter().enumerate() {
                    let place =
                        place.below(place.field.index(index), value, |old| old.element(element), false);
                    self.node(below, items, element, &place);
                }
            }
            Value::Object(map) => {
                for (name, element) in map {
                    let fresh = place.root && matches!(name.as_str(), "apiVersion" | "kind");
                    if let (Some(below), Some(property)) =
                        (node.properties.get(name), schema.properties.get(name))
                    {
                        let place = place.below(place.field.child(name), value, |o| o.property(name), fresh);
                        self.node(below, property, element, &place);
                    } else if let (Some(below), Additional::Each(each)) =
                        (&node.additional, &schema.additional)
                    {
                        let place = place.below(place.field.key(name), value, |o| o.property(name), fresh);
                        self.node(below, each, element, &place);
                    }
                }
            }
            _ => {}
        }
    }

    fn rules(&mut self, node: &Node, schema: &Schema, value: &Value, place: &Place<'_>) {
        if node.rules.is_empty() {
            return;
        }
        let current = convert::to_cel(value, schema, place.root);
        let old = place
            .old
            .map(|old| convert::to_cel(old.value, schema, place.root))
            .filter(|old| !matches!(old, Cel::Null));
        let unchanged = match place.ratchet {
            Some(old) => old.equals(value),
            None => place.parent.unwrap_or_default(),
        };
        for compiled in &node.rules {
            let optional = compiled.rule.optional_old_self == Some(true);
            if compiled.uses_old && old.is_none() && !optional {
                continue;
            }
            let bound = if optional {
                Cel::Optional(old.clone().map(Arc::new))
            } else {
                old.clone().unwrap_or(Cel::Null)
            };
            let bindings = [("self", current.clone()), ("oldSelf", bound)];
            let limits = Limits::with_cost(self.budget);
            let evaluation = compiled.program.evaluate_measured(&bindings, &limits);
            let kind = schema.kind.map(type_name).unwrap_or_default();
            if evaluation.cost > self.budget {
                self.exhausted(&place.field, kind);
                return;
            }
            self.budget -= evaluation.cost;
            match evaluation.result {
                Ok(Cel::Bool(true)) => {}
                Ok(_) => {
                    let detail = self.message(compiled, &bindings);
                    if compiled.uses_old || !unchanged {
                        self.errors.push(failure(compiled, &place.field, schema, value, detail));
                    }
                }
                Err(cause) => {
                    let stop = matches!(cause, EvaluateError::CostExceeded { .. });
                    let detail = trouble(&cause, &compiled.rule);
                    self.errors.push(FieldError::invalid(&place.field, kind, detail));
                    if stop {
                        self.spent = true;
                        return;
                    }
                }
            }
        }
    }

    fn exhausted(&mut self, field: &Path, kind: &str) {
        let detail =
            "validation failed due to running out of cost budget, no further validation rules will be run";
        self.errors.push(FieldError::invalid(field, kind, detail));
        self.spent = true;
    }

    /// The message of a broken rule; an expression that gives none usable is ignored.
    fn message(&mut self, compiled: &Compiled, bindings: &[(&str, Cel)]) -> String {
        let made = compiled.message.as_ref().and_then(|program| {
            let evaluation = program.evaluate_measured(bindings, &Limits::with_cost(self.budget));
            self.budget = self.budget.saturating_sub(evaluation.cost);
            let text = evaluation.result.ok()?.as_str()?.trim().to_owned();
            (!text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains(['\n', '\r']))
                .then_some(text)
        });
        made.unwrap_or_else(|| match &compiled.rule.message {
            Some(message) => message.trim().to_owned(),
            None => format!("failed rule: {}", compiled.rule.rule.trim()),
        })
    }
}

fn failure(compiled: &Compiled, field: &Path, schema: &Schema, value: &Value, detail: String) -> FieldError {
    let field =
        if compiled.field.is_root() { field.clone() } else { field.child(&compiled.field.to_string()) };
    // Objects and lists would drown the message.
    let compound = matches!(schema.kind, Some(Type::Object | Type::Array));
    let value = (!compound).then(|| value.clone());
    let (kind, detail) = match compiled.rule.reason.as_deref() {
        Some("FieldValueForbidden") => return FieldError::forbidden(&field, detail),
        Some("FieldValueRequired") => return FieldError::required(&field, detail),
        // Duplicates have no detail.
        Some("FieldValueDuplicate") => (FieldErrorKind::Duplicate, String::new()),
        _ => (FieldErrorKind::Invalid, detail),
    };
    FieldError { kind, field: field.to_string(), value, detail }
}

fn trouble(cause: &EvaluateError, rule: &Rule) -> String {
    let named = rule.message.as_deref().unwrap_or(&rule.rule).trim();
    let text = cause.to_string();
    if text.starts_with("no such overload") {
        let words = "call arguments did not match a supported operator, function or macro signature for rule";
        return format!("'{text}': {words}: {named}");
    }
    if matches!(cause, EvaluateError::CostExceeded { .. }) {
        return format!(
            "'{text}': no further validation rules will be run due to call cost exceeds limit for rule: {named}"
        );
    }
    format!("{text} evaluating rule: {named}")
}

//! What is wrong with the rules of a schema that is being written.
//!
//! Follows `pkg/apis/apiextensions/validation` of apiextensions-apiserver: each rule is compiled against the type of
//! its node, and its estimated cost is multiplied by how often the node can occur in an object.

use aphex_cel::{Checked, Declarations, Declared, Environment, Type as Cel};
use serde_json::Value;

use super::budget::{self, Total};
use super::declare::{REQUEST, declare};
use crate::error::{FieldError, FieldErrorKind};
use crate::golang;
use crate::model::{Additional, Definitions, Rule, Schema, Type, Typed};
use crate::path::Path;
use crate::rules::convert::escape;

/// The name error messages give the type of `self`; Kubernetes adds a random number.
const SELF: &str = "selfType0";

/// What to know beside the schema itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the schema sits: `spec.versions[0].schema.openAPIV3Schema`.
    pub field: Path,
    /// The schema is as it was stored: what a rule costs alone does not matter.
    pub unchanged: bool,
}

/// Everything wrong with the rules of a schema; `faulty` are the fields whose schema is wrong already, at and above
/// which no rule is looked at.
pub fn check(schema: &Schema, options: &Options, faulty: &[FieldError]) -> Vec<FieldError> {
    let definitions = Definitions::none();
    let mut checking =
        Checking { definitions: &definitions, options, faulty, errors: Vec::new(), total: Total::default() };
    let root = Node {
        schema,
        field: options.field.clone(),
        inherited: Inherited::None,
        no_old: None,
        count: Some(1),
        root: true,
    };
    checking.node(&root);
    let mut errors = checking.errors;
    errors.extend(checking.total.errors(&options.field));
    errors
}

struct Checking<'a> {
    definitions: &'a Definitions,
    options: &'a Options,
    faulty: &'a [FieldError],
    errors: Vec<FieldError>,
    total: Total,
}

/// What a node knows of its type from the rules above it.
#[derive(Clone, Copy)]
enum Inherited<'a> {
    /// There are no rules above.
    None,
    /// Its type, unless expressions cannot speak of it there.
    Known(Option<&'a Declared>),
    /// A node above has no type.
    Failed,
}

/// A node of the schema and its place.
struct Node<'a> {
    schema: &'a Schema,
    field: Path,
    inherited: Inherited<'a>,
    /// The nearest part of the schema above of which old and new cannot be told which is which.
    no_old: Option<Path>,
    /// How often it can occur in an object, if that is bounded.
    count: Option<u64>,
    root: bool,
}

impl Checking<'_> {
    fn node(&mut self, node: &Node<'_>) {
        let schema = node.schema;
        let mut own = None;
        let declared = match node.inherited {
            Inherited::None if schema.validations.is_empty() => Inherited::None,
            Inherited::Failed => Inherited::Failed,
            Inherited::Known(Some(declared)) => Inherited::Known(Some(declared)),
            Inherited::None | Inherited::Known(None) => {
                let resource = node.root || schema.embedded_resource;
                own = declare(Typed::new(schema, self.definitions), resource);
                own.as_ref().map_or(Inherited::Failed, |own| Inherited::Known(Some(own)))
            }
        };
        self.below(node, declared);
        if !schema.validations.is_empty() && !self.is_faulty(&node.field) {
            match declared {
                Inherited::Known(Some(declared)) => self.rules(node, declared),
                _ => self.untyped(node),
            }
        }
        drop(own);
    }

    /// Whether the schema of a node or of what is below has errors of its own.
    fn is_faulty(&self, field: &Path) -> bool {
        let field = field.to_string();
        self.faulty.iter().any(|error| {
            error
                .field
                .strip_prefix(&field)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    fn untyped(&mut self, node: &Node<'_>) {
        let detail = "internal error: failed to construct type information for x-kubernetes-validations rules: unable \
                      to convert structural schema to CEL declarations";
        self.errors.push(FieldError::internal(&node.field.child("x-kubernetes-validations"), detail));
    }

    fn below(&mut self, node: &Node<'_>, declared: Inherited<'_>) {
        let schema = node.schema;
        let count = match (node.count, occurrences(schema)) {
            (Some(count), Some(each)) => Some(count.saturating_mul(each)),
            _ => None,
        };
        for (name, property) in &schema.properties {
            let inherited = match declared {
                Inherited::Known(Some(above)) => {
                    Inherited::Known(escape(name).and_then(|name| above.field(&name)))
                }
                other => other,
            };
            let (field, no_old) = (node.field.child("properties").key(name), node.no_old.clone());
            self.node(&Node { schema: property, field, inherited, no_old, count, root: false });
        }
        let element = match declared {
            Inherited::Known(Some(above)) => Inherited::Known(above.element()),
            other => other,
        };
        if let Some(items) = &schema.items {
            // Only elements of lists of type map have an old self.
            let correlates = schema.list_type.as_deref() == Some("map");
            let no_old = node.no_old.clone().or_else(|| (!correlates).then(|| node.field.clone()));
            let field = node.field.child("items");
            self.node(&Node { schema: items, field, inherited: element, no_old, count, root: false });
        }
        if let Additional::Each(each) = &schema.additional {
            let (field, no_old) = (node.field.child("additionalProperties"), node.no_old.clone());
            self.node(&Node { schema: each, field, inherited: element, no_old, count, root: false });
        }
    }

    fn rules(&mut self, node: &Node<'_>, declared: &Declared) {
        let kind = declared.to_type(SELF);
        // A value is followed by at least a comma.
        let fitting = || (REQUEST / (declared.least_bytes() + 1)).unsigned_abs();
        let count = node.count.unwrap_or_else(fitting);
        for (index, rule) in node.schema.validations.iter().enumerate() {
            let at = node.field.child("x-kubernetes-validations").index(index);
            let old =
                if rule.optional_old_self == Some(true) { Cel::optional(kind.clone()) } else { kind.clone() };
            let declarations = Declarations::new().with("self", kind.clone()).with("oldSelf", old);
            let uses_old = self.rule(rule, &at, declared, &declarations, count);
            if uses_old {
                if let Some(path) = &node.no_old {
                    let detail = format!(
                        "oldSelf cannot be used on the uncorrelatable portion of the schema within {path}"
                    );
                    self.errors.push(FieldError::invalid(&at.child("rule"), rule.rule.as_str(), detail));
                }
            } else if let Some(given) = rule.optional_old_self {
                let detail = "may not be set if oldSelf is not used in rule";
                self.errors.push(FieldError::invalid(&at.child("optionalOldSelf"), given, detail));
            }
        }
    }

    /// Checks a rule and its message; whether the rule speaks of `oldSelf`.
    fn rule(
        &mut self,
        rule: &Rule,
        at: &Path,
        declared: &Declared,
        declarations: &Declarations,
        count: u64,
    ) -> bool {
        let field = at.child("rule");
        let checked = match compiled(&rule.rule, declarations, &Wanted::RULE) {
            Ok(checked) => checked,
            Err(detail) => {
                self.errors.push(faulty(&field, rule, &detail));
                return false;
            }
        };
        let uses_old = checked.uses("oldSelf");
        let Some(cost) = checked.cost(declared) else {
            self.errors.push(FieldError::internal(&field, "cost estimation failed"));
            return uses_old;
        };
        self.cost("estimated rule cost", &field, cost.max.saturating_mul(count));
        let Some(expression) = &rule.message_expression else { return uses_old };
        let field = at.child("messageExpression");
        match compiled(expression, declarations, &Wanted::MESSAGE) {
            Err(detail) => self.errors.push(faulty(&field, rule, &detail)),
            Ok(checked) => match checked.cost(declared) {
                Some(cost) => self.cost("estimated messageExpression cost", &field, cost.max),
                None => {
                    self.errors
                        .push(FieldError::internal(&field, "cost estimation failed for messageExpression"));
                }
            },
        }
        uses_old
    }

    fn cost(&mut self, what: &str, field: &Path, cost: u64) {
        if !self.options.unchanged {
            self.errors.extend(budget::error(what, field, cost));
        }
        self.total.add(field, cost);
    }
}

/// How many values a value of this schema has below it at each place, if that is bounded.
fn occurrences(schema: &Schema) -> Option<u64> {
    match schema.kind {
        Some(Type::Object) if schema.additional != Additional::Unspecified => schema.max_properties,
        Some(Type::Array) => schema.max_items,
        _ => Some(1),
    }
}

/// What an expression has to give, and how its failures are told.
struct Wanted {
    output: fn(&Cel) -> bool,
    failed: &'static str,
    other: &'static str,
    doomed: &'static str,
}

impl Wanted {
    const RULE: Self = Self {
        output: |kind| matches!(kind, Cel::Bool),
        failed: "compilation failed",
        other: "cel expression must evaluate to a bool",
        doomed: "program instantiation failed",
    };
    const MESSAGE: Self = Self {
        output: |kind| matches!(kind, Cel::String),
        failed: "messageExpression compilation failed",
        other: "messageExpression must evaluate to a string",
        doomed: "messageExpression instantiation failed",
    };
}

/// The checked expression, or the detail of an error.
fn compiled(source: &str, declarations: &Declarations, wanted: &Wanted) -> Result<Checked, String> {
    let checked = Environment::kubernetes()
        .check(source, declarations)
        .map_err(|cause| format!("{}: {cause}", wanted.failed))?;
    if !(wanted.output)(checked.output()) {
        return Err(wanted.other.to_owned());
    }
    match checked.doomed() {
        Some(cause) => Err(format!("{}: {cause}", wanted.doomed)),
        None => Ok(checked),
    }
}

/// An error that shows the rule as Kubernetes does: its internal form, the fields in the order of that form.
fn faulty(field: &Path, rule: &Rule, cause: &str) -> FieldError {
    let text = |text: &Option<String>| golang::json(&Value::from(text.as_deref().unwrap_or_default()));
    let reason =
        rule.reason.as_deref().map_or_else(|| "null".to_owned(), |reason| golang::json(&reason.into()));
    let shown = format!(
        r#"{{"Rule":{},"Message":{},"MessageExpression":{},"Reason":{reason},"FieldPath":{},"OptionalOldSelf":{}}}"#,
        golang::json(&Value::from(rule.rule.as_str())),
        text(&rule.message),
        text(&rule.message_expression),
        text(&rule.field_path),
        rule.optional_old_self.map_or_else(|| "null".to_owned(), |given| given.to_string()),
    );
    let (kind, field, detail) = (FieldErrorKind::Invalid, field.to_string(), format!("{shown}: {cause}"));
    FieldError { kind, field, value: None, detail }
}

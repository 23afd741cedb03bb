//! Policies and bindings, compiled: a snapshot that writes read, made anew when one of them changes.
//!
//! [`refresh`] runs before a write of a policy or binding is answered, so the next request meets it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::GROUP;
use super::attributes::Versioned;
use super::compile::{Composed, Expression, Gives, Scope};
use super::constraints::Constraints;
use crate::admission::lookup;
use crate::object;
use crate::resource::split_api_version;
use crate::server::ApiServer;
use crate::status::Status;

/// A policy that can be evaluated.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    uid: String,
    generation: i64,
    /// Errors refuse the write (`failurePolicy: Fail`).
    pub(super) fails: bool,
    /// The kind of its parameters.
    pub(super) params: Option<Versioned>,
    pub(super) constraints: Constraints,
    /// Names and expressions.
    pub(super) conditions: Vec<Expression>,
    pub(super) variables: Vec<(String, Expression)>,
    pub(super) validations: Vec<Validation>,
    pub(super) annotations: Vec<Expression>,
}

/// One rule of a policy.
#[derive(Debug)]
pub(super) struct Validation {
    pub(super) expression: Expression,
    pub(super) message: String,
    pub(super) message_expression: Option<Expression>,
    pub(super) reason: Option<String>,
}

/// What puts a policy to work.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: String,
    policy: String,
    pub(super) constraints: Option<Constraints>,
    pub(super) params: Option<ParamRef>,
    pub(super) actions: Vec<String>,
}

/// Which parameters a binding gives.
#[derive(Debug)]
pub(super) struct ParamRef {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) selector: Value,
    /// A write is refused where there are none.
    pub(super) required: bool,
}

/// Policies with their bindings, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Active {
    pub(super) hooks: Vec<(Arc<Policy>, Vec<Arc<Binding>>)>,
}

/// What is kept of policies between requests.
#[derive(Debug)]
pub struct Policies {
    refreshing: tokio::sync::Mutex<()>,
    compiled: Mutex<HashMap<String, Arc<Policy>>>,
    any: AtomicBool,
    current: watch::Sender<Arc<Active>>,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            refreshing: tokio::sync::Mutex::default(),
            compiled: Mutex::default(),
            any: AtomicBool::new(false),
            current: watch::Sender::new(Arc::default()),
        }
    }
}

impl Policies {
    /// The policies that are bound; nothing if there are none.
    pub(super) fn active(&self) -> Option<Arc<Active>> {
        self.any.load(Ordering::Acquire).then(|| Arc::clone(&self.current.borrow()))
    }
}

/// Reads all policies and bindings again.
pub async fn refresh(server: &ApiServer) -> Result<(), Status> {
    let _one_at_a_time = server.policies.refreshing.lock().await;
    let policies = lookup::list(server, GROUP, "validatingadmissionpolicies", "")?;
    let bindings = lookup::list(server, GROUP, "validatingadmissionpolicybindings", "")?;
    let bindings: Vec<Arc<Binding>> =
        bindings.iter().map(|binding| Arc::new(Binding::read(binding))).collect();
    let mut known = server.policies.compiled.lock().unwrap_or_else(PoisonError::into_inner);
    let mut compiled = HashMap::new();
    let mut active = Active::default();
    for object in &policies {
        let name = object::name(object);
        let same = |policy: &&Arc<Policy>| {
            policy.uid == object::uid(object) && policy.generation == object::generation(object)
        };
        let policy = known.get(name).filter(same).map_or_else(|| Arc::new(Policy::read(object)), Arc::clone);
        compiled.insert(name.to_owned(), Arc::clone(&policy));
        let own: Vec<_> = bindings.iter().filter(|binding| binding.policy == name).map(Arc::clone).collect();
        if !own.is_empty() {
            active.hooks.push((policy, own));
        }
    }
    *known = compiled;
    drop(known);
    let any = !active.hooks.is_empty();
    server.policies.current.send_replace(Arc::new(active));
    server.policies.any.store(any, Ordering::Release);
    Ok(())
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object::at(object, path).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    object::at(object, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

impl Policy {
    fn read(object: &Value) -> Self {
        let params = object::at(object, "spec.paramKind").filter(|kind| kind.is_object()).map(|kind| {
            let (group, version) = split_api_version(text(kind, "apiVersion"));
            Versioned::new(group, version, text(kind, "kind"))
        });
        let full = Scope { params: params.is_some(), authorizer: true };
        let quiet = Scope { authorizer: false, ..full };
        let conditions = items(object, "spec.matchConditions").iter();
        let mut names: Vec<Composed> = Vec::new();
        let mut variables = Vec::new();
        for variable in items(object, "spec.variables") {
            let expression = Expression::new(text(variable, "expression"), Gives::Anything, full, &names);
            names.push(expression.composed(text(variable, "name")));
            variables.push((text(variable, "name").to_owned(), expression));
        }
        let validation = |rule: &Value| Validation {
            expression: Expression::new(text(rule, "expression"), Gives::Bool, full, &names),
            message: text(rule, "message").trim().to_owned(),
            message_expression: Some(text(rule, "messageExpression"))
                .filter(|source| !source.is_empty())
                .map(|source| Expression::new(source, Gives::Text, quiet, &names)),
            reason: rule.get("reason").and_then(Value::as_str).map(str::to_owned),
        };
        Self {
            name: object::name(object).to_owned(),
            uid: object::uid(object).to_owned(),
            generation: object::generation(object),
            fails: text(object, "spec.failurePolicy") != "Ignore",
            constraints: Constraints::read(
                object::at(object, "spec.matchConstraints").unwrap_or(&Value::Null),
            ),
            conditions: conditions
                .map(|one| Expression::new(text(one, "expression").trim(), Gives::Bool, full, &[]))
                .collect(),
            validations: items(object, "spec.validations").iter().map(validation).collect(),
            annotations: items(object, "spec.auditAnnotations")
                .iter()
                .map(|one| {
                    Expression::new(text(one, "valueExpression").trim(), Gives::TextOrNull, full, &names)
                })
                .collect(),
            variables,
            params,
        }
    }
}

impl Binding {
    fn read(object: &Value) -> Self {
        let params = object::at(object, "spec.paramRef").filter(|reference| reference.is_object());
        Self {
            name: object::name(object).to_owned(),
            policy: text(object, "spec.policyName").to_owned(),
            constraints: object::at(object, "spec.matchResources")
                .filter(|it| it.is_object())
                .map(Constraints::read),
            params: params.map(|reference| ParamRef {
                name: text(reference, "name").to_owned(),
                namespace: text(reference, "namespace").to_owned(),
                selector: reference.get("selector").cloned().unwrap_or(Value::Null),
                required: text(reference, "parameterNotFoundAction") == "Deny",
            }),
            actions: object::strings(object::at(object, "spec.validationActions")),
        }
    }
}

//! Evaluating a policy against a write: conditions, validations with their messages, audit annotations.

use std::borrow::Cow;
use std::sync::Arc;

use aphex_cel::{Limits, Value as Cel};
use serde_json::Value;

use super::attributes::Attributes;
use super::authorizer;
use super::compile::Expression;
use super::index::{Policy, Validation};
use super::variables::Composition;
use crate::admission::lookup;
use crate::convert;
use crate::object;
use crate::resource::Resource;

/// What all expressions of one kind may cost together (`RuntimeCELCostBudget`).
const BUDGET: u64 = 10_000_000;
/// The same for conditions (`RuntimeCELCostBudgetMatchConditions`).
const CONDITIONS_BUDGET: u64 = 2_500_000;
/// Messages made by expressions may not be longer.
const LONGEST_MESSAGE: usize = 5 * 1024;
/// The variable with the namespace that the object is in.
const NAMESPACE: &str = "namespaceObject";
const EXHAUSTED: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// Why a policy says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Denial {
    pub(super) message: String,
    pub(super) reason: Option<String>,
}

/// What came of an evaluation.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Failed validations, for the binding's actions.
    pub(super) failures: Vec<Denial>,
    /// Errors that refuse the write whatever the binding's actions are.
    pub(super) errors: Vec<Denial>,
}

impl Verdict {
    /// A failure to evaluate, which counts as a failed validation where the policy fails closed.
    fn fail(&mut self, policy: &Policy, message: String) {
        if policy.fails {
            self.failures.push(Denial { message, reason: None });
        }
    }
}

/// Evaluates a policy with one parameter, or with none.
pub(super) fn run(
    attributes: &Attributes<'_>,
    matched: &Resource,
    policy: &Arc<Policy>,
    param: Option<&Value>,
) -> Verdict {
    let mut verdict = Verdict::default();
    let asked = Bound::of_conditions(attributes, matched, policy, param);
    match conditions(policy, &asked) {
        Ok(true) => {}
        Ok(false) => return verdict,
        Err(message) => {
            verdict.fail(policy, message);
            return verdict;
        }
    }
    let bound = Bound::of_rules(attributes, matched, policy, param, &asked);
    if let Err(message) = validations(policy, &bound, &mut verdict) {
        verdict = Verdict::default();
        verdict.fail(policy, message);
        return verdict;
    }
    if let Err(message) = annotations(policy, &bound, &mut verdict) {
        verdict = Verdict::default();
        verdict.fail(policy, message);
    }
    verdict
}

/// Values of the variables that some expressions of a policy name.
struct Bound {
    all: Vec<(&'static str, Cel)>,
}

impl Bound {
    /// What conditions name, which are asked before it matters in which namespace the object is.
    fn of_conditions(
        attributes: &Attributes<'_>,
        matched: &Resource,
        policy: &Policy,
        param: Option<&Value>,
    ) -> Self {
        let used = |name: &str| policy.conditions.iter().any(|expression| expression.uses(name));
        let mut bound = Self::new(attributes, matched, param, used, &Self { all: Vec::new() });
        for (name, value) in &mut bound.all {
            if *name == NAMESPACE {
                *value = Cel::Null;
            }
        }
        bound
    }

    /// What everything else names; objects are large, so this is made only where the conditions hold, and not again where
    /// those named it.
    fn of_rules(
        attributes: &Attributes<'_>,
        matched: &Resource,
        policy: &Policy,
        param: Option<&Value>,
        asked: &Self,
    ) -> Self {
        let used = |name: &str| {
            let rules = policy.validations.iter();
            let rules =
                rules.flat_map(|rule| std::iter::once(&rule.expression).chain(&rule.message_expression));
            let variables = policy.variables.iter().map(|(_, expression)| expression);
            variables.chain(rules).chain(&policy.annotations).any(|expression| expression.uses(name))
        };
        Self::new(attributes, matched, param, used, asked)
    }

    fn new(
        attributes: &Attributes<'_>,
        matched: &Resource,
        param: Option<&Value>,
        used: impl Fn(&str) -> bool,
        made: &Self,
    ) -> Self {
        let object = |object: Option<&Value>| {
            object.map_or(Cel::Null, |object| Cel::from_json(&in_version(attributes, object, matched)))
        };
        let mut all = Vec::new();
        let mut bind = |name: &'static str, value: &dyn Fn() -> Cel| {
            if used(name) {
                let made = made.all.iter().find(|(known, _)| *known == name && name != NAMESPACE);
                all.push((name, made.map_or_else(value, |(_, made)| made.clone())));
            }
        };
        bind("object", &|| object(attributes.object));
        bind("oldObject", &|| object(attributes.old));
        bind("params", &|| param.map_or(Cel::Null, Cel::from_json));
        bind("request", &|| Cel::from_json(&attributes.request(matched)));
        bind(NAMESPACE, &|| namespace(attributes));
        bind("authorizer", &|| authorizer::of_caller(attributes));
        bind(authorizer::REQUEST, &|| authorizer::of_request(attributes));
        Self { all }
    }
}

/// An object in the version that the policy's rules name.
fn in_version<'a>(attributes: &Attributes<'_>, object: &'a Value, matched: &Resource) -> Cow<'a, Value> {
    let own = attributes.resource();
    if (&own.group, &own.version) == (&matched.group, &matched.version)
        || attributes.kind_in(own) == attributes.kind_in(matched)
    {
        return Cow::Borrowed(object);
    }
    let mut converted = convert::to_storage(object, own).into_owned();
    convert::from_storage(&mut converted, matched);
    Cow::Owned(converted)
}

/// The namespace of the object without what is nobody's business.
fn namespace(attributes: &Attributes<'_>) -> Cel {
    if attributes.is_namespace() || attributes.namespace.is_empty() {
        return Cel::Null;
    }
    let server = &attributes.write.call.server;
    let Some(mut namespace) = lookup::get(server, "", "namespaces", "", attributes.namespace) else {
        return Cel::Null;
    };
    for field in ["managedFields", "ownerReferences"] {
        object::set_meta(&mut namespace, field, None);
    }
    let map = object::map(&mut namespace);
    map.remove("apiVersion");
    map.remove("kind");
    Cel::from_json(&namespace)
}

/// One budget for expressions that are evaluated after one another.
struct Purse {
    left: u64,
    composition: Arc<Composition>,
}

impl Purse {
    fn new(budget: u64, policy: &Arc<Policy>, bindings: Vec<(&'static str, Cel)>) -> Self {
        Self { left: budget, composition: Composition::new(policy, bindings) }
    }

    /// The value, or why the expression failed; the outer error ends all of them.
    fn evaluate(&mut self, expression: &Expression) -> Result<Result<Cel, String>, String> {
        let program = match &expression.program {
            Ok(program) => program,
            Err(error) => return Ok(Err(format!("compilation error: {error}"))),
        };
        let resolver = self.composition.resolver();
        let evaluation =
            program.evaluate_resolving(self.composition.bindings(), &Limits::default(), &resolver);
        let cost = evaluation.cost.saturating_add(self.composition.take_cost());
        self.left = self.left.checked_sub(cost).ok_or_else(|| EXHAUSTED.to_owned())?;
        Ok(evaluation
            .result
            .map_err(|error| format!("expression '{}' resulted in error: {error}", expression.source)))
    }
}

/// Whether all conditions hold; one that does not outweighs errors of others.
fn conditions(policy: &Arc<Policy>, bound: &Bound) -> Result<bool, String> {
    if policy.conditions.is_empty() {
        return Ok(true);
    }
    let settled = |message| if policy.fails { Err(message) } else { Ok(false) };
    let mut purse = Purse::new(CONDITIONS_BUDGET, policy, bound.all.clone());
    let mut errors: Vec<String> = Vec::new();
    let mut holds = true;
    for condition in &policy.conditions {
        match purse.evaluate(condition) {
            Ok(Ok(Cel::Bool(true))) => {}
            Ok(Ok(_)) => holds = false,
            Ok(Err(error)) => errors.push(error),
            Err(exhausted) => return settled(exhausted),
        }
    }
    match errors.as_slice() {
        _ if !holds => Ok(false),
        [] => Ok(true),
        [one] => settled(one.clone()),
        several => settled(format!("[{}]", several.join(", "))),
    }
}

fn validations(policy: &Arc<Policy>, bound: &Bound, verdict: &mut Verdict) -> Result<(), String> {
    let mut purse = Purse::new(BUDGET, policy, bound.all.clone());
    let mut results = Vec::new();
    for validation in &policy.validations {
        results.push(purse.evaluate(&validation.expression)?);
    }
    let mut messages = Purse::new(purse.left, policy, bound.all.clone());
    let mut spent = None;
    for (validation, result) in policy.validations.iter().zip(results) {
        let failed = match result {
            Ok(Cel::Bool(true)) => continue,
            Ok(_) => None,
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            verdict.fail(policy, error);
            continue;
        }
        if spent.is_none() {
            match message(validation, &mut messages) {
                Ok(message) => {
                    let reason = validation.reason.clone();
                    verdict.failures.push(Denial { message, reason });
                    continue;
                }
                Err(exhausted) => spent = Some(exhausted),
            }
        }
        verdict.fail(policy, format!("failed messageExpression: {}", spent.as_deref().unwrap_or_default()));
    }
    Ok(())
}

/// The message of a failed validation; an expression that gives none usable is ignored.
fn message(validation: &Validation, purse: &mut Purse) -> Result<String, String> {
    let mut made = None;
    if let Some(expression) = &validation.message_expression {
        let value = purse.evaluate(expression)?.ok();
        let text = value.as_ref().and_then(Cel::as_str).map(str::trim).unwrap_or_default();
        made = Some(text.to_owned()).filter(|text| text.len() <= LONGEST_MESSAGE && !text.contains('\n'));
    }
    let given = Some(validation.message.clone());
    let message = [made, given].into_iter().flatten().find(|text| !text.is_empty());
    Ok(message.unwrap_or_else(|| format!("failed expression: {}", validation.expression.source.trim())))
}

/// Values for an audit log, which this server does not have: only what goes wrong with them shows.
fn annotations(policy: &Arc<Policy>, bound: &Bound, verdict: &mut Verdict) -> Result<(), String> {
    let mut purse = Purse::new(BUDGET, policy, bound.all.clone());
    for annotation in &policy.annotations {
        let error = match purse.evaluate(annotation)? {
            Ok(Cel::String(_) | Cel::Null) => continue,
            Ok(other) => format!(
                "valueExpression '{}' resulted in unsupported return type: {}. Return type must be either string or \
                 null.",
                annotation.source,
                other.type_name()
            ),
            Err(_) if !policy.fails => continue,
            Err(error) => error,
        };
        verdict.errors.push(Denial { message: error, reason: None });
    }
    Ok(())
}

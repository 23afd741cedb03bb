//! The `cel` interceptor: a filter that must be true, and overlays that become extensions.
//!
//! Expressions see `body`, `header`, `extensions` and `requestURL`, as upstream. They are written by tenants: compiled
//! programs are cached, cost is bounded by `aphex-cel`, and secrets are compared only in the trigger's namespace.

pub(super) mod keys;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aphex_api::delivery::SecretKeyRef;
use aphex_cel::{Declarations, Environment, Extension, Key, Limits, Program, Type, Value};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::outside::Outside;
use super::{Answer, Context, Rejection, Reply, params};
use crate::event::Event;
use crate::signature::same;

/// How many variables there are beside the body.
const OTHERS: usize = 3;
/// How many compiled expressions are kept.
const KEPT: usize = 2_000;
/// Longest observed value that goes into a Delivery's status.
const VALUE_MAX: usize = 256;

/// Longest reason that is kept for an expression that does not compile; a longer one is found anew with each event.
const REASON_MAX: usize = 4_000;

/// Compiled expressions by their source, or why they do not compile; shared by all triggers.
#[derive(Debug, Default)]
pub struct Programs(Mutex<HashMap<String, Result<Program, String>>>);

impl Programs {
    fn get(&self, source: &str) -> Result<Program, String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(source).cloned();
        if let Some(compiled) = known {
            return compiled;
        }
        let compiled =
            compile(source).map_err(|error| format!("expression {source:?} check failed: {error}"));
        if compiled.as_ref().is_err_and(|reason| reason.len() > REASON_MAX) {
            return compiled;
        }
        let mut programs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if programs.len() >= KEPT {
            programs.clear();
        }
        programs.insert(source.to_owned(), compiled.clone());
        compiled
    }
}

/// The variables of an expression, with the types that upstream declares.
static VARIABLES: LazyLock<Declarations> = LazyLock::new(|| {
    let object = || Type::map(Type::String, Type::Dyn);
    Declarations::new()
        .with("body", object())
        .with("header", object())
        .with("extensions", object())
        .with("requestURL", Type::String)
});

/// Compiles an expression.
///
/// Types that do not fit, or a constant in it that can only fail, fail it as a whole, as upstream, which checks it and
/// computes constants when it makes a program. Else nobody would be told until an event comes to that part of it; and a
/// pattern that is none would match nothing, or everything (`all` over no files), until then.
fn compile(source: &str) -> Result<Program, String> {
    let checked = Environment::triggers().check(source, &VARIABLES).map_err(|error| error.to_string())?;
    let program = checked.program();
    match (program.unreadable_pattern(), checked.doomed()) {
        (Some((pattern, reason)), _) => Err(format!("the pattern '{pattern}' cannot be read: {reason}")),
        (None, Some(reason)) => Err(format!("a constant in it can only fail: {reason}")),
        (None, None) => Ok(program.clone()),
    }
}

/// The interceptor's parameters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Params {
    filter: String,
    #[serde(deserialize_with = "params::objects")]
    overlays: Vec<Overlay>,
}

impl Params {
    /// Expressions that do not compile, and patterns in them.
    pub(crate) fn problems(&self) -> Vec<String> {
        let filter = (!self.filter.is_empty()).then_some(("filter", &self.filter));
        let overlays = self.overlays.iter().map(|overlay| ("overlay", &overlay.expression));
        let wrong = |(what, source): (&str, &String)| {
            let error = compile(source).err()?;
            Some(format!("has the {what} {source}, which cannot be read: {error}"))
        };
        filter.into_iter().chain(overlays).filter_map(wrong).collect()
    }
}

/// An extension to add.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Overlay {
    key: String,
    expression: String,
}

/// Evaluates one expression after another over the same bindings.
struct Evaluator<'a> {
    programs: &'a Programs,
    body: &'a Json,
    /// The other variables.
    bindings: Vec<(&'static str, Value)>,
    compare_secret: Extension,
    values: BTreeMap<String, String>,
}

impl Evaluator<'_> {
    fn evaluate(&mut self, source: &str) -> Result<Value, String> {
        let wrap = |error: String| format!("error evaluating cel expression: {error}");
        let program = self.programs.get(source).map_err(wrap)?;
        let extensions = std::slice::from_ref(&self.compare_secret);
        self.bindings.truncate(OTHERS);
        self.bindings.push(("body", body(&program, self.body)));
        let evaluation = program.evaluate_traced(&self.bindings, &Limits::payload(), extensions);
        for seen in evaluation.observations {
            self.values.insert(seen.path, shorten(seen.value));
        }
        evaluation.result.map_err(|error| wrap(format!("expression {source:?} failed to evaluate: {error}")))
    }
}

/// As much of a payload as an expression names: payloads are large, and most expressions look at two or three fields.
///
/// Go decodes every JSON number as a double, so that is what upstream's expressions see.
fn body(program: &Program, body: &Json) -> Value {
    match (program.fields("body"), body) {
        (Some(named), Json::Object(fields)) => {
            let found = named.iter().filter_map(|name| Some((name, fields.get(&**name)?)));
            let made =
                found.map(|(name, field)| (Key::String(Arc::clone(name)), Value::from_json_doubles(field)));
            Value::from(made.collect::<aphex_cel::Map>())
        }
        _ => Value::from_json_doubles(body),
    }
}

/// Decides on an event.
pub(crate) fn ask(
    params: &Params,
    context: &Context<'_>,
    event: &Event,
    extensions: &Map<String, Json>,
) -> Answer {
    // A service's answer that took the body's place may be any JSON.
    if !matches!(event.body, Json::Object(_) | Json::Null) {
        let message =
            "error making the evaluation context: failed to parse the body as JSON: it is no object";
        return Answer { reply: Reply::Fail(message.to_owned()), expression: None, values: BTreeMap::new() };
    }
    let headers: Map<String, Json> = event
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), Json::Array(vec![value.as_str().into()])))
        .collect();
    let mut evaluator = Evaluator {
        programs: context.cel,
        body: &event.body,
        bindings: vec![
            ("header", Value::from_json(&Json::Object(headers))),
            ("extensions", Value::from_json_doubles(&Json::Object(extensions.clone()))),
            ("requestURL", Value::from(event.url.as_str())),
        ],
        compare_secret: compare_secret(context.namespace.to_owned(), Arc::clone(&context.outside)),
        values: BTreeMap::new(),
    };
    let (reply, expression) = decide(params, &mut evaluator);
    Answer { reply, expression, values: evaluator.values }
}

fn decide(params: &Params, evaluator: &mut Evaluator<'_>) -> (Reply, Option<String>) {
    let filter = (!params.filter.is_empty()).then(|| params.filter.clone());
    if let Some(filter) = &filter {
        match evaluator.evaluate(filter).map(|value| value.as_bool()) {
            Ok(Some(true)) => {}
            Ok(_) => {
                let message = format!("expression {filter} did not return true");
                return (Reply::Stop(message, Rejection::Filter(filter.clone())), Some(filter.clone()));
            }
            Err(message) => return (Reply::Fail(message), Some(filter.clone())),
        }
    }
    let mut added = Map::new();
    for overlay in &params.overlays {
        let done = evaluator.evaluate(&overlay.expression).and_then(|value| {
            let json = if is_json(&value) { value.to_json() } else { Err("it is no JSON".to_owned()) };
            let json = json.map_err(|error| format!("failed to convert overlay result to type: {error}"))?;
            keys::set(&mut added, &overlay.key, json).map_err(|error| {
                let value = shorten(value.to_string());
                format!("failed to sjson for key '{}' to '{value}': {error}", overlay.key)
            })
        });
        match done {
            Ok(()) => {}
            Err(message) => return (Reply::Fail(message), Some(overlay.expression.clone())),
        }
    }
    (Reply::Continue(added), filter)
}

/// What upstream takes for an overlay: null, unsigned numbers and times it does not.
fn is_json(value: &Value) -> bool {
    matches!(
        value,
        Value::Bool(_)
            | Value::Int(_)
            | Value::Double(_)
            | Value::String(_)
            | Value::Bytes(_)
            | Value::List(_)
            | Value::Map(_)
    )
}

/// `<string>.compareSecret(key, name)`; upstream's third argument, a namespace, is ignored there too.
fn compare_secret(namespace: String, outside: Arc<dyn Outside>) -> Extension {
    Extension::new("compareSecret", move |arguments| {
        let text = |at: usize| arguments.get(at).and_then(Value::as_str).map(str::to_owned);
        let (Some(given), Some(key), Some(name)) = (text(0), text(1), text(2)) else {
            return Err("unexpected type passed to compareSecret".to_owned());
        };
        let reference = SecretKeyRef { namespace: namespace.clone(), name, key };
        let missing = || format!("failed to find secret '{}' in compareSecret", reference.name);
        let secret = outside.secret(&reference).ok_or_else(missing)?;
        Ok(Value::from(same(secret.expose_secret(), given.as_bytes())))
    })
}

fn shorten(mut value: String) -> String {
    if value.len() > VALUE_MAX {
        let mut end = VALUE_MAX;
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        value.truncate(end);
        value.push('…');
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_fit_is_a_problem_before_any_event() {
        let overlays = json!([{ "key": "a", "expression": "body.a" }, { "key": "b", "expression": "true || int('x') == 1" }]);
        let params = json!({ "filter": "size(body.list) > 2.5", "overlays": overlays });
        let problems = serde_json::from_value::<Params>(params).unwrap().problems();
        let told = |words: &str| problems.iter().any(|problem| problem.contains(words));
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(told("found no matching overload for '_>_' applied to '(int, double)'"), "{problems:?}");
        assert!(told("a constant in it can only fail"), "{problems:?}");
    }

    #[test]
    fn an_expression_is_compiled_once_whether_it_can_be_or_not() {
        let programs = Programs::default();
        for source in ["body.a == 1", "body.a ==", "requestURL > 1"] {
            let first = programs.get(source);
            let known = programs.0.lock().unwrap().get(source).cloned();
            assert_eq!(known.map(|known| known.is_ok()), Some(first.is_ok()), "{source}");
        }
    }
}

//! Evaluation: a walk over the program that charges for every step and stops at the limit.
//!
//! The charges are those of cel-go's cost tracker with Kubernetes' settings; where a step of ours
//! costs more than it charges there (a copied list, a deep comparison), we charge for that as well.

mod fold;
mod scope;

use std::sync::Arc;

use crate::ast::{Call, Node};
use crate::environment::{Callee, Extension};
use crate::error::{EvaluateError, Fault};
use crate::functions;
use crate::program::{Evaluation, Inner, Observation, Resolver};
use crate::value::{Key, Map, Value, whole};

pub(crate) use scope::Scope;

const NO_OVERLOAD: &str = "no such overload";
const LIST_COST: u64 = 10;
const MAP_COST: u64 = 30;
const MAX_OBSERVATIONS: usize = 64;
const MAX_SHOWN: usize = 256;

/// What the caller adds to a program.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    /// Code of functions, in place of what was declared under their names.
    pub(crate) extensions: &'a [Extension],
    /// Gives variables that are not bound, when they are needed.
    pub(crate) resolver: Option<&'a Resolver>,
}

impl Given<'_> {
    pub(crate) const NOTHING: Self = Self { extensions: &[], resolver: None };
}

/// Evaluates on the calling thread, whose stack must suit the program's depth.
pub(crate) fn evaluate(
    inner: &Inner,
    variables: Vec<Option<Value>>,
    limit: u64,
    given: Given<'_>,
    trace: bool,
) -> Evaluation {
    let mut eval = Eval {
        inner,
        variables,
        locals: Vec::new(),
        scope: Scope::new(limit),
        extensions: given.extensions,
        resolver: given.resolver,
        observations: trace.then(Vec::new),
    };
    let outcome = eval.node(&inner.root);
    Evaluation {
        result: outcome.map_err(|fault| match fault {
            Fault::NoOverload => EvaluateError::Failed(NO_OVERLOAD.into()),
            Fault::Message(message) => EvaluateError::Failed(message),
            Fault::Cost => EvaluateError::CostExceeded { limit },
        }),
        cost: eval.scope.cost(),
        observations: eval.observations.unwrap_or_default(),
    }
}

pub(crate) struct Eval<'a> {
    inner: &'a Inner,
    variables: Vec<Option<Value>>,
    locals: Vec<Value>,
    scope: Scope,
    extensions: &'a [Extension],
    resolver: Option<&'a Resolver>,
    observations: Option<Vec<Observation>>,
}

type Outcome = Result<Value, Fault>;

impl Eval<'_> {
    fn node(&mut self, node: &Node) -> Outcome {
        match node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Variable(at) => self.variable(*at),
            Node::Local(at) => {
                self.scope.charge(1)?;
                self.local(*at)
            }
            Node::Select { operand, field, optional, path } => {
                let outcome = self.select(operand, field, *optional);
                self.observe(path.as_ref(), outcome)
            }
            Node::Has { operand, field, path } => {
                let outcome = self.has(operand, field);
                self.observe(path.as_ref(), outcome)
            }
            Node::Index { operand, index, optional, path } => {
                let outcome = self.index(operand, index, *optional);
                self.observe(path.as_ref(), outcome)
            }
            Node::Call(call) => {
                let outcome = self.call(call);
                self.observe(call.path.as_ref(), outcome)
            }
            Node::Logic { wanted, terms } => self.logic(*wanted, terms),
            Node::Conditional(parts) => {
                let [condition, yes, no] = &**parts;
                match self.node(condition)? {
                    Value::Bool(true) => self.branch(yes),
                    Value::Bool(false) => self.branch(no),
                    _ => Err(Fault::NoOverload),
                }
            }
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Fold(fold) => self.fold(fold),
            Node::Bind(parts) => {
                let [value, body] = &**parts;
                let value = self.node(value)?;
                self.with_local(value, body)
            }
            Node::OptionalMap { parts, flat } => self.optional_map(parts, *flat),
        }
    }

    /// A branch of `?:`; cel-go's tracker does not see one that is just a name.
    fn branch(&mut self, node: &Node) -> Outcome {
        match node {
            Node::Local(at) => self.local(*at),
            other => self.node(other),
        }
    }

    fn local(&self, at: usize) -> Outcome {
        self.locals.get(at).cloned().ok_or_else(|| Fault::new("no such attribute(s)"))
    }

    fn with_local(&mut self, value: Value, body: &Node) -> Outcome {
        self.locals.push(value);
        let outcome = self.node(body);
        self.locals.pop();
        outcome
    }

    fn variable(&mut self, at: usize) -> Outcome {
        self.scope.charge(1)?;
        if let Some(value) = &self.variables[at] {
            return Ok(value.clone());
        }
        match self.resolver.and_then(|resolve| resolve(&self.inner.variables[at])) {
            Some(Ok(value)) => {
                self.variables[at] = Some(value.clone());
                Ok(value)
            }
            Some(Err(why)) => Err(Fault::Message(why)),
            None => Err(Fault::new(format!("no such attribute(s): {}", self.inner.variables[at]))),
        }
    }

    /// Keeps what a named path gave, if anyone wants to know.
    fn observe(&mut self, path: Option<&Arc<str>>, outcome: Outcome) -> Outcome {
        let (Some(observations), Some(path)) = (self.observations.as_mut(), path) else {
            return outcome;
        };
        let seen = observations.iter().any(|observation| observation.path == **path);
        if !seen && observations.len() < MAX_OBSERVATIONS {
            observations.push(Observation { path: path.to_string(), value: show(&outcome) });
        }
        outcome
    }

    fn select(&mut self, operand: &Node, field: &Arc<str>, optional: bool) -> Outcome {
        let operand = self.node(operand)?;
        self.scope.charge(u64::from(!optional))?;
        let key = Key::String(Arc::clone(field));
        match operand {
            Value::Optional(None) => Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => {
                Ok(lookup(&inner, &key)?.map_or(Value::Optional(None), Value::some))
            }
            operand if optional => Ok(Value::Optional(lookup(&operand, &key).ok().flatten().map(Arc::new))),
            operand => lookup(&operand, &key)?.ok_or_else(|| missing(&key)),
        }
    }

    fn has(&mut self, operand: &Node, field: &Arc<str>) -> Outcome {
        let operand = self.node(operand)?;
        let key = Key::String(Arc::clone(field));
        let operand = match operand {
            Value::Optional(None) => return Ok(Value::Bool(false)),
            Value::Optional(Some(inner)) => (*inner).clone(),
            operand => operand,
        };
        Ok(Value::Bool(lookup(&operand, &key)?.is_some()))
    }

    fn index(&mut self, operand: &Node, index: &Node, optional: bool) -> Outcome {
        let operand = self.node(operand)?;
        let index = self.node(index)?;
        self.scope.charge(1)?;
        let (operand, optional) = match operand {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => ((*inner).clone(), true),
            operand => (operand, optional),
        };
        let found = element(&operand, &index);
        if optional {
            return match found {
                Ok(value) => Ok(Value::some(value)),
                Err(Fault::Message(_)) => Ok(Value::Optional(None)),
                Err(fault) => Err(fault),
            };
        }
        found
    }

    /// `&&` and `||`: an error on one side does not matter if the other decides.
    fn logic(&mut self, wanted: bool, terms: &[Node; 2]) -> Outcome {
        let first = self.node(&terms[0]);
        match &first {
            Ok(Value::Bool(truth)) if *truth == wanted => return first,
            Err(Fault::Cost) => return first,
            _ => {}
        }
        let second = self.node(&terms[1]);
        combine(wanted, first, second)
    }

    fn list(&mut self, elements: &[(Node, bool)]) -> Outcome {
        let mut items = Vec::with_capacity(elements.len());
        for (element, optional) in elements {
            let value = self.node(element)?;
            items.extend(if *optional { unwrap_optional(value, "")? } else { Some(value) });
        }
        self.scope.charge(LIST_COST)?;
        Ok(Value::from(items))
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Outcome {
        let mut map = Map::new();
        for (key, value, optional) in entries {
            let key = self.node(key)?;
            let value = self.node(value)?;
            let key = key
                .as_key()
                .ok_or_else(|| Fault::new(format!("unsupported key type: {}", key.type_name())))?;
            let value = if *optional { unwrap_optional(value, &key.to_string())? } else { Some(value) };
            let Some(value) = value else { continue };
            if !self.inner.repeats && map.contains_key(&key) {
                return Err(Fault::new(format!("Failed with repeated key: {key}")));
            }
            map.insert(key, value);
        }
        self.scope.charge(MAP_COST)?;
        Ok(Value::from(map))
    }

    fn optional_map(&mut self, parts: &[Node; 2], flat: bool) -> Outcome {
        let [target, body] = parts;
        match self.node(target)? {
            Value::Optional(None) => Ok(Value::Optional(None)),
            Value::Optional(Some(value)) => {
                let result = self.with_local((*value).clone(), body)?;
                Ok(if flat { result } else { Value::some(result) })
            }
            _ => Err(Fault::NoOverload),
        }
    }

    fn call(&mut self, call: &Call) -> Outcome {
        // These two are given values that must not be evaluated when the first suffices.
        if let ("or" | "orValue", [target, otherwise]) = (&*call.name, call.arguments.as_slice()) {
            return self.or(target, otherwise, &*call.name == "orValue");
        }
        let mut arguments = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            arguments.push(self.node(argument)?);
        }
        if let Some(extension) = self.extensions.iter().find(|extension| extension.name() == &*call.name) {
            self.scope.charge(extension.cost())?;
            return extension.call(&arguments).map_err(Fault::Message);
        }
        for callee in &call.callees {
            let outcome = match callee {
                Callee::Builtin(function) => self.builtin(function, &arguments, constant_set(call)),
                Callee::Extension(extension) => {
                    self.scope.charge(extension.cost())?;
                    extension.call(&arguments).map_err(Fault::Message)
                }
            };
            if outcome != Err(Fault::NoOverload) {
                return outcome;
            }
        }
        self.scope.charge(1)?;
        Err(Fault::NoOverload)
    }

    fn builtin(&mut self, function: &functions::Function, arguments: &[Value], free: bool) -> Outcome {
        let outcome = (function.run)(&mut self.scope, arguments);
        match &outcome {
            Ok(_) if free => {}
            Ok(value) => self.scope.charge(function.cost.of(arguments, value))?,
            Err(Fault::Message(_)) => self.scope.charge(function.cost.of(arguments, &Value::Null))?,
            Err(Fault::NoOverload | Fault::Cost) => {}
        }
        outcome
    }

    fn or(&mut self, target: &Node, otherwise: &Node, unwrap: bool) -> Outcome {
        match self.node(target)? {
            Value::Optional(Some(value)) if unwrap => Ok((*value).clone()),
            present @ Value::Optional(Some(_)) => Ok(present),
            Value::Optional(None) => self.node(otherwise),
            _ => Err(Fault::NoOverload),
        }
    }
}

/// Whether a call asks for a member of a constant list, which cel-go makes a set of.
fn constant_set(call: &Call) -> bool {
    &*call.name == "@in" && matches!(call.arguments.get(1), Some(Node::Literal(Value::List(_))))
}

/// What two sides of `&&` or `||` give together.
fn combine(wanted: bool, first: Outcome, second: Outcome) -> Outcome {
    match (first, second) {
        (_, Ok(Value::Bool(truth))) if truth == wanted => Ok(Value::Bool(wanted)),
        (_, Err(Fault::Cost)) => Err(Fault::Cost),
        (Ok(Value::Bool(_)), Ok(Value::Bool(_))) => Ok(Value::Bool(!wanted)),
        (Err(fault), _) | (Ok(Value::Bool(_)), Err(fault)) => Err(fault),
        _ => Err(Fault::NoOverload),
    }
}

fn missing(key: &Key) -> Fault {
    Fault::new(format!("no such key: {key}"))
}

/// The entry of a map; lists have none by name, and other values none at all.
fn lookup(operand: &Value, key: &Key) -> Result<Option<Value>, Fault> {
    match operand {
        Value::Map(map) => Ok(map.get(key).cloned()),
        Value::List(_) => Err(Fault::new("unsupported index type 'string' in list")),
        _ => Ok(None),
    }
}

fn element(operand: &Value, index: &Value) -> Outcome {
    match operand {
        Value::Map(map) => {
            let key = index.as_key().ok_or(Fault::NoOverload)?;
            map.get(&key).cloned().ok_or_else(|| missing(&key))
        }
        Value::List(items) => {
            let at = match index {
                Value::Int(at) => *at,
                Value::Uint(at) => i64::try_from(*at).unwrap_or(i64::MAX),
                Value::Double(at) => {
                    whole(*at).ok_or_else(|| Fault::new(format!("unsupported index value {at} in list")))?
                }
                other => {
                    return Err(Fault::new(format!(
                        "unsupported index type '{}' in list",
                        other.type_name()
                    )));
                }
            };
            let found = usize::try_from(at).ok().and_then(|at| items.get(at)).cloned();
            found.ok_or_else(|| Fault::new(format!("index out of bounds: {at}")))
        }
        _ => Err(index.as_key().map_or(Fault::NoOverload, |key| missing(&key))),
    }
}

fn unwrap_optional(value: Value, key: &str) -> Result<Option<Value>, Fault> {
    match value {
        Value::Optional(inner) => Ok(inner.map(|value| (*value).clone())),
        other => Err(Fault::new(format!(
            "cannot initialize optional entry '{key}' from non-optional value {}",
            other.type_name()
        ))),
    }
}

fn show(outcome: &Outcome) -> String {
    let text = match outcome {
        Ok(value) => value.to_string(),
        Err(Fault::NoOverload) => format!("error: {NO_OVERLOAD}"),
        Err(Fault::Message(message)) => format!("error: {message}"),
        Err(Fault::Cost) => "error: cost limit exceeded".into(),
    };
    if text.chars().count() <= MAX_SHOWN {
        return text;
    }
    text.chars().take(MAX_SHOWN).chain(['…']).collect()
}

//! A compiled expression, and what evaluating it gives.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::ast::Node;
use crate::environment::Extension;
use crate::error::EvaluateError;
use crate::eval::{self, Given};
use crate::fields::Fields;
use crate::functions::WITH_PATTERN;
use crate::pattern::compile;
use crate::pool;
use crate::value::Value;

/// Kubernetes' `PerCallLimit`: about a tenth of a second.
const PER_CALL_LIMIT: u64 = 1_000_000;
/// What an expression over a webhook's payload may cost, which can have tens of thousands of file names; about two seconds.
const PAYLOAD_LIMIT: u64 = 20 * PER_CALL_LIMIT;
/// Programs no deeper than this are evaluated on the caller's own stack.
const SHALLOW: usize = 40;

/// Gives the value of a variable that is not bound, or why it has none; nothing if there is no such variable.
pub type Resolver = Arc<dyn Fn(&str) -> Option<Result<Value, String>> + Send + Sync>;

/// A compiled expression; copies share it.
#[derive(Clone)]
pub struct Program {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) source: Arc<str>,
    pub(crate) variables: Vec<Arc<str>>,
    pub(crate) used: Vec<bool>,
    /// The fields of each variable, where it is not used as a whole.
    pub(crate) fields: Vec<Fields>,
    pub(crate) root: Node,
    pub(crate) depth: usize,
    /// Whether a map may have a key twice, of which the last counts, as in the cel-go that Tekton has.
    pub(crate) repeats: bool,
    /// What the first constant that can only fail fails with.
    pub(crate) doomed: Option<String>,
}

/// What an evaluation may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The cost at which it is stopped, in Kubernetes' units.
    pub cost: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cost: PER_CALL_LIMIT }
    }
}

impl Limits {
    /// Stops where an expression over one webhook payload has gone on too long; Tekton, whose expressions these are, never does.
    pub fn payload() -> Self {
        Self { cost: PAYLOAD_LIMIT }
    }

    /// Stops at this cost, or at Kubernetes' limit for one call if that is lower.
    pub fn with_cost(cost: u64) -> Self {
        Self { cost: cost.min(PER_CALL_LIMIT) }
    }
}

/// One thing an evaluation looked at and the value it saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What was looked at, as the expression names it: `body.ref`.
    pub path: String,
    /// Its value as JSON, shortened if long; or the error.
    pub value: String,
}

/// A result with what it cost and saw.
#[derive(Debug)]
pub struct Evaluation {
    /// The value, or why there is none.
    pub result: Result<Value, EvaluateError>,
    /// What it cost in Kubernetes' units.
    pub cost: u64,
    /// What it looked at, in order, each path once.
    pub observations: Vec<Observation>,
}

fn unreadable(node: &Node) -> Option<(String, String)> {
    if let Node::Call(call) = node
        && WITH_PATTERN.contains(&&*call.name)
        && let Some(Node::Literal(Value::String(pattern))) = call.arguments.get(1)
        && let Err(reason) = compile(pattern)
    {
        return Some((pattern.to_string(), reason));
    }
    node.below().into_iter().find_map(unreadable)
}

impl Program {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// The first pattern written in the expression that is no regular expression, and why; whoever comes to it fails.
    ///
    /// ```
    /// # use aphex_cel::Environment;
    /// let program = Environment::triggers().compile("body.ref.matches('[z-a]')", &["body"])?;
    /// let (pattern, reason) = program.unreadable_pattern().unwrap_or_default();
    /// assert_eq!(pattern, "[z-a]");
    /// assert_eq!(reason, "error parsing regexp: invalid character class range: `z-a`");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unreadable_pattern(&self) -> Option<(String, String)> {
        unreadable(&self.inner.root)
    }

    /// The value of the expression under these bindings; blocks until it is there or the limit is hit.
    pub fn evaluate(&self, bindings: &[(&str, Value)], limits: &Limits) -> Result<Value, EvaluateError> {
        self.run(bindings, limits, Given::NOTHING, false).result
    }

    /// The same, with the cost.
    pub fn evaluate_measured(&self, bindings: &[(&str, Value)], limits: &Limits) -> Evaluation {
        self.run(bindings, limits, Given::NOTHING, false)
    }

    /// The same, with cost and the values seen; `extensions` replace functions declared under their names.
    pub fn evaluate_traced(
        &self,
        bindings: &[(&str, Value)],
        limits: &Limits,
        extensions: &[Extension],
    ) -> Evaluation {
        self.run(bindings, limits, Given { extensions, resolver: None }, true)
    }

    /// The value and its cost; variables without a binding are asked for when the expression comes to them.
    pub fn evaluate_resolving(
        &self,
        bindings: &[(&str, Value)],
        limits: &Limits,
        resolver: &Resolver,
    ) -> Evaluation {
        self.run(bindings, limits, Given { extensions: &[], resolver: Some(resolver) }, false)
    }

    fn run(&self, bindings: &[(&str, Value)], limits: &Limits, given: Given<'_>, trace: bool) -> Evaluation {
        let mut variables: Vec<Option<Value>> = vec![None; self.inner.variables.len()];
        for (name, value) in bindings {
            if let Some(at) = self.inner.variables.iter().position(|known| **known == **name) {
                variables[at] = Some(value.clone());
            }
        }
        let limit = limits.cost;
        if self.inner.depth <= SHALLOW {
            return eval::evaluate(&self.inner, variables, limit, given, trace);
        }
        let inner = Arc::clone(&self.inner);
        let (extensions, resolver) = (given.extensions.to_vec(), given.resolver.cloned());
        let job = move || {
            let given = Given { extensions: &extensions, resolver: resolver.as_ref() };
            eval::evaluate(&inner, variables, limit, given, trace)
        };
        pool::run(job).unwrap_or_else(|| Evaluation {
            result: Err(EvaluateError::Internal("the expression worker failed".into())),
            cost: limit,
            observations: Vec::new(),
        })
    }

    pub(crate) fn doomed(&self) -> Option<&str> {
        self.inner.doomed.as_deref()
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// Whether the expression names this variable.
    pub fn uses(&self, variable: &str) -> bool {
        let names = self.inner.variables.iter().zip(&self.inner.used);
        names.into_iter().any(|(name, used)| **name == *variable && *used)
    }

    /// The fields of a variable that the expression names; nothing where it uses the variable as a whole.
    ///
    /// Evaluated with an object that has these fields alone it gives what it gives with all of them.
    pub fn fields(&self, variable: &str) -> Option<&BTreeSet<Arc<str>>> {
        let at = self.inner.variables.iter().position(|name| **name == *variable)?;
        self.inner.fields.get(at)?.as_ref()
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("source", &self.inner.source).finish_non_exhaustive()
    }
}

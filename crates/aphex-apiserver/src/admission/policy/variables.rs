//! Variables of a policy, evaluated when an expression first names them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aphex_cel::{Key, Limits, Map, Resolver, Value as Cel};

use super::index::Policy;

/// What a variable gave.
type Outcome = Result<Cel, String>;

/// The variables of one evaluation of a policy.
pub(super) struct Composition {
    policy: Arc<Policy>,
    bindings: Vec<(&'static str, Cel)>,
    known: Mutex<HashMap<String, Outcome>>,
    /// What variables cost since it was last asked.
    cost: AtomicU64,
}

impl Composition {
    pub(super) fn new(policy: &Arc<Policy>, bindings: Vec<(&'static str, Cel)>) -> Arc<Self> {
        Arc::new(Self {
            policy: Arc::clone(policy),
            bindings,
            known: Mutex::default(),
            cost: AtomicU64::new(0),
        })
    }

    pub(super) fn bindings(&self) -> &[(&'static str, Cel)] {
        &self.bindings
    }

    /// Gives variables to a program.
    pub(super) fn resolver(self: &Arc<Self>) -> Resolver {
        let this = Arc::clone(self);
        Arc::new(move |name| match name {
            "variables" => Some(Ok(this.names())),
            name => this.value(name.strip_prefix("variables.")?),
        })
    }

    /// What evaluating variables cost since the last call.
    pub(super) fn take_cost(&self) -> u64 {
        self.cost.swap(0, Ordering::Relaxed)
    }

    /// All of them at once, for `has`, which looks at names alone.
    fn names(&self) -> Cel {
        let names = self.policy.variables.iter();
        Cel::from(names.map(|(name, _)| (Key::from(name.as_str()), Cel::Null)).collect::<Map>())
    }

    fn value(self: &Arc<Self>, name: &str) -> Option<Outcome> {
        if let Some(outcome) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Some(outcome.clone());
        }
        // A later variable of the same name takes the place of an earlier one.
        let (_, expression) = self.policy.variables.iter().rfind(|(known, _)| known == name)?;
        let outcome = match &expression.program {
            Err(error) => Err(format!("composited variable \"{name}\" fails to compile: {error}")),
            Ok(program) => {
                let evaluation =
                    program.evaluate_resolving(&self.bindings, &Limits::default(), &self.resolver());
                self.cost.fetch_add(evaluation.cost, Ordering::Relaxed);
                evaluation
                    .result
                    .map_err(|error| format!("composited variable \"{name}\" fails to evaluate: {error}"))
            }
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.to_owned(), outcome.clone());
        Some(outcome)
    }
}

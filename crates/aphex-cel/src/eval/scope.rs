//! The purse of an evaluation, which functions charge for work their arguments' sizes do not show.

use crate::error::Fault;
use crate::value::Value;

/// What has been spent, and how much may be.
pub(crate) struct Scope {
    cost: u64,
    limit: u64,
    steps: u64,
}

/// Comparisons this small are free, and this many make up one unit.
const STEPS_PER_UNIT: u64 = 20;
/// What Kubernetes does not charge for at all is free up to this size, so that costs agree.
const FREE_SIZE: usize = 1_000;

impl Scope {
    pub(crate) fn new(limit: u64) -> Self {
        Self { cost: 0, limit, steps: 0 }
    }

    pub(crate) fn cost(&self) -> u64 {
        self.cost
    }

    /// Spends, or fails if that is more than is left.
    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), Fault> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(Fault::Cost) } else { Ok(()) }
    }

    /// Spends for a text or list of this size that is about to be made.
    pub(crate) fn charge_size(&mut self, size: usize) -> Result<(), Fault> {
        self.charge(size.saturating_sub(FREE_SIZE) as u64 / 10)
    }

    /// Fails if that much is not left, and spends nothing.
    pub(crate) fn afford(&self, cost: u64) -> Result<(), Fault> {
        if self.cost.saturating_add(cost) > self.limit { Err(Fault::Cost) } else { Ok(()) }
    }

    /// Whether two values are equal; values that share parts can be far larger than their sizes say.
    pub(crate) fn equal(&mut self, a: &Value, b: &Value) -> Result<bool, Fault> {
        self.steps += 1;
        if self.steps >= STEPS_PER_UNIT {
            self.steps = 0;
            self.charge(1)?;
        }
        match (a, b) {
            (Value::List(a), Value::List(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(b.iter()) {
                    if !self.equal(a, b)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Map(a), Value::Map(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for ((key, a), (other, b)) in a.iter().zip(b.iter()) {
                    if key != other || !self.equal(a, b)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Optional(Some(a)), Value::Optional(Some(b))) => self.equal(a, b),
            (a, b) => Ok(a == b),
        }
    }
}

//! The cost of calls, and of the standard functions.

use super::{Argument, Entries, Estimation, ONE, PATTERN, Range, TRAVERSAL};
use crate::check::tree::Id;

/// The cost of a call without that of its arguments, and the size of what it gives.
pub(super) struct Estimate {
    pub(super) cost: Range,
    pub(super) size: Option<Range>,
}

impl Estimate {
    pub(super) fn of(cost: Range) -> Self {
        Self { cost, size: None }
    }

    pub(super) fn sized(cost: Range, size: Range) -> Self {
        Self { cost, size: Some(size) }
    }
}

/// One call as its overloads see it.
pub(super) struct Call<'a> {
    id: Id,
    pub(super) function: &'a str,
    pub(super) target: Option<Argument<'a>>,
    pub(super) arguments: Vec<Argument<'a>>,
    costs: Vec<Range>,
}

impl<'a> Estimation<'a> {
    pub(super) fn call(&mut self, id: Id, function: &'a str, target: Option<Id>, arguments: &[Id]) -> Range {
        if let ("dyn", [argument]) = (function, arguments) {
            let cost = self.node(*argument);
            self.take_sizes(id, *argument);
            return ONE.plus(cost);
        }
        let mut call = Call { id, function, target: None, arguments: Vec::new(), costs: Vec::new() };
        for argument in arguments {
            let cost = self.node(*argument);
            call.costs.push(cost);
            let argument = self.argument(*argument);
            call.arguments.push(argument);
        }
        let typed = self.typed;
        let overloads = &typed.overloads[id];
        if overloads.is_empty() {
            return Range::ZERO;
        }
        let mut cost = Range::ZERO;
        if let Some(target) = target {
            cost = self.node(target);
            call.target = Some(self.argument(target));
        }
        let (mut own, mut size) = (Range::EMPTY, None::<Range>);
        for overload in overloads {
            let estimate = self.overload(&call, overload);
            own = own.union(estimate.cost);
            if let Some(found) = estimate.size {
                size = Some(size.map_or(found, |size| size.union(found)));
            }
            if let ("index_list" | "index_map", Some(list)) = (*overload, arguments.first()) {
                size = self.entries_of(*list).map(|entries| entries.value);
                let step = if *overload == "index_list" { "@items" } else { "@values" };
                self.paths[id] = self.path(*list).then(step);
            }
            size = size.or_else(|| self.size(id));
        }
        self.sizes[id] = size.or(self.sizes[id]);
        cost.plus(own)
    }

    fn overload(&mut self, call: &Call<'a>, overload: &str) -> Estimate {
        let given = call.costs.iter().fold(Range::ZERO, |sum, cost| sum.plus(*cost));
        let own = self.extension(call, overload).or_else(|| self.kubernetes(call, overload));
        if let Some(estimate) = own.or_else(|| self.standard(call, overload)) {
            return Estimate { cost: estimate.cost.plus(given), size: estimate.size };
        }
        self.branching(call, overload).unwrap_or(Estimate { cost: ONE.plus(given), size: None })
    }

    /// The standard functions whose cost follows from sizes.
    fn standard(&mut self, call: &Call<'a>, overload: &str) -> Option<Estimate> {
        let size = |argument: &Argument<'a>| argument.size.unwrap_or(Range::UNKNOWN);
        let traversed = |argument: &Argument<'a>| size(argument).scaled(TRAVERSAL);
        Some(match (overload, &call.target, call.arguments.as_slice()) {
            ("string_format", Some(target), _) => Estimate::of(traversed(target)),
            ("string_to_bytes", _, [text]) => {
                let made = Range::new(size(text).min, size(text).max.wrapping_mul(4));
                Estimate::sized(traversed(text), made)
            }
            ("bytes_to_string", _, [bytes]) => {
                Estimate::sized(traversed(bytes), Range::new(size(bytes).min / 4, size(bytes).max))
            }
            ("strings_quote", _, [text]) => {
                let size = size(text);
                let made = Range::new(size.min.wrapping_add(2), size.max.wrapping_mul(2).wrapping_add(2));
                Estimate::sized(traversed(text), made)
            }
            ("starts_with_string" | "ends_with_string", _, [text]) => Estimate::of(traversed(text)),
            ("in_list", _, [_, list]) => Estimate::of(size(list).scaled(1.0)),
            ("matches_string", Some(target), [pattern]) => {
                let walked = size(target).plus(ONE).scaled(TRAVERSAL);
                Estimate::of(walked.times(size(pattern).scaled(PATTERN)))
            }
            ("contains_string", Some(target), [part]) => {
                Estimate::of(traversed(target).times(traversed(part)))
            }
            ("add_string" | "add_bytes" | "add_list", _, [left, right]) => {
                let made = size(left).plus(size(right));
                let (first, second) = (self.entries_at(left), self.entries_at(right));
                if let (Some(first), Some(second)) = (first, second) {
                    self.entries[call.id] = Some(first.union(second));
                }
                let cost = if overload == "add_list" { ONE } else { made.scaled(TRAVERSAL) };
                Estimate::sized(cost, made)
            }
            (
                "less_string"
                | "greater_string"
                | "less_equals_string"
                | "greater_equals_string"
                | "less_bytes"
                | "greater_bytes"
                | "less_equals_bytes"
                | "greater_equals_bytes"
                | "equals"
                | "not_equals",
                _,
                [left, right],
            ) => {
                let most = size(left).max.min(size(right).max);
                Estimate::of(Range::new(u64::from(most > 0), most).scaled(TRAVERSAL))
            }
            _ => return None,
        })
    }

    fn entries_at(&self, argument: &Argument<'a>) -> Option<Entries> {
        argument.id.and_then(|id| self.entries_of(id))
    }

    /// The operators that may leave out an argument.
    fn branching(&mut self, call: &Call<'a>, overload: &str) -> Option<Estimate> {
        Some(match (overload, call.costs.as_slice(), call.arguments.as_slice()) {
            ("logical_or" | "logical_and", [left, right], _) => {
                Estimate::of(Range::new(left.min, left.plus(*right).max))
            }
            ("conditional", [condition, yes, no], [_, first, second]) => {
                let size = |argument: &Argument<'a>| argument.size.unwrap_or(Range::UNKNOWN);
                if let (Some(first), Some(second)) = (self.entries_at(first), self.entries_at(second)) {
                    self.entries[call.id] = Some(first.union(second));
                }
                Estimate::sized(condition.plus(yes.union(*no)), size(first).union(size(second)))
            }
            _ => return None,
        })
    }
}

impl Entries {
    fn union(self, other: Self) -> Self {
        Self { kind: self.kind, key: self.key.union(other.key), value: self.value.union(other.value) }
    }
}

//! The functions of the language and its libraries, as tables.

mod conversions;
mod encoders;
mod format;
mod lists;
mod math;
mod named;
mod network;
mod operators;
mod optionals;
mod regex;
mod resources;
mod sets;
mod sprintf;
mod strings;
mod tekton;
mod time;
mod web;

use std::ops::RangeInclusive;

use crate::error::Fault;
use crate::eval::Scope;
use crate::value::Value;

pub(crate) use lists::sort;

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `f(a)`
    Global,
    /// `a.f()`
    Member,
    /// Both.
    Either,
}

/// The code of a function: it refuses arguments of other types with `Fault::NoOverload`.
pub(crate) type Run = fn(&mut Scope, &[Value]) -> Result<Value, Fault>;

/// One function; several may share a name.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) style: Style,
    /// How many arguments it takes, the receiver counted.
    pub(crate) arguments: RangeInclusive<usize>,
    pub(crate) cost: Cost,
    pub(crate) run: Run,
}

const fn global(name: &'static str, arguments: usize, cost: Cost, run: Run) -> Function {
    Function { name, style: Style::Global, arguments: arguments..=arguments, cost, run }
}

const fn member(name: &'static str, arguments: usize, cost: Cost, run: Run) -> Function {
    Function { name, style: Style::Member, arguments: arguments..=arguments, cost, run }
}

/// What a call costs beyond its arguments (cel-go `runtimecost.go`, Kubernetes `library/cost.go`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// One unit.
    One,
    /// A tenth per character of the first argument.
    Text,
    /// The same twice: read and written.
    Rewrite,
    /// A tenth per character of the result, twice.
    Result,
    /// One per element of the first argument, or a tenth per character.
    Traverse,
    /// One per element of the second argument.
    Within,
    /// A tenth of the smaller of the two arguments.
    Smaller,
    /// A tenth of both arguments together, where they are texts.
    Join,
    /// Both texts' lengths multiplied.
    Search,
    /// Text length times a quarter of the pattern's.
    Pattern,
    /// The product of two lists' lengths.
    Pairs,
    /// Text length times the size of the format's pattern.
    Named,
}

impl Cost {
    /// The cost of a call with these arguments and this result.
    pub(crate) fn of(self, arguments: &[Value], result: &Value) -> u64 {
        let size = |at: usize| arguments.get(at).map_or(1, Value::size);
        let tenth = |size: u64| size.div_ceil(10);
        match self {
            Self::One => 1,
            Self::Text => tenth(size(0)),
            Self::Rewrite => tenth(size(0) * 2),
            Self::Result => tenth(result.size() * 2),
            Self::Traverse => match arguments.first() {
                Some(Value::String(_) | Value::Bytes(_)) => tenth(size(0)),
                _ => size(0),
            },
            Self::Within => match arguments.get(1) {
                Some(Value::List(items)) => items.len() as u64,
                _ => 1,
            },
            Self::Smaller => match arguments.first() {
                Some(
                    Value::Quantity(_)
                    | Value::Ip(_)
                    | Value::Cidr(_)
                    | Value::Url(_)
                    | Value::Semver(_)
                    | Value::Format(_),
                ) => 1,
                _ => tenth(size(0).min(size(1))),
            },
            Self::Join => match result {
                Value::String(_) | Value::Bytes(_) => tenth(size(0) + size(1)),
                // Our lists are copied where cel-go links them.
                Value::List(items) => 1 + items.len() as u64 / 20,
                _ => 1,
            },
            Self::Search => tenth(size(0)) * tenth(size(1)),
            Self::Pattern => tenth(size(0) + 1) * size(1).div_ceil(4),
            Self::Pairs => size(0).saturating_mul(size(1)).max(1),
            Self::Named => {
                let pattern = match arguments.first() {
                    Some(Value::Format(format)) => format.pattern_size,
                    _ => 1,
                };
                tenth(size(1) + 1) * pattern.div_ceil(4)
            }
        }
    }
}

/// The language's own functions.
pub(crate) const STANDARD: &[&[Function]] = &[
    operators::FUNCTIONS,
    conversions::FUNCTIONS,
    strings::STANDARD,
    regex::STANDARD,
    time::FUNCTIONS,
    optionals::FUNCTIONS,
];

/// cel-go's extension libraries, as both Kubernetes and Tekton have them.
pub(crate) const EXTENDED: &[&[Function]] =
    &[strings::EXTENDED, sprintf::FUNCTIONS, sets::FUNCTIONS, lists::EXTENDED];

/// What Kubernetes adds.
pub(crate) const KUBERNETES: &[&[Function]] = &[
    lists::KUBERNETES,
    regex::KUBERNETES,
    web::FUNCTIONS,
    network::FUNCTIONS,
    resources::FUNCTIONS,
    format::FUNCTIONS,
];

/// What Tekton Triggers adds.
pub(crate) const TRIGGERS: &[&[Function]] = &[encoders::FUNCTIONS, math::FUNCTIONS, tekton::FUNCTIONS];

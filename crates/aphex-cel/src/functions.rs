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

pub(crate) use self::regex::WITH_PATTERN;
pub(crate) use crate::pattern::compile as compile_pattern;
pub(crate) use lists::sort;
pub use time::parse_duration;

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
    /// One per scalar within the first argument, or a tenth per character of texts.
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
    /// One and the product of two lists' lengths.
    Pairs,
    /// One and twice that product.
    PairsTwice,
    /// The allocation of the list that results.
    Allocate,
    /// That of a list as long as the first argument.
    AllocateLike,
    /// All elements compared with each other, and a list allocated.
    SelfCompare,
    /// Twice a tenth of a network's size, and a tenth of what it is compared with, if a text.
    Network,
    /// The same and the network once more.
    NetworkTwice,
    /// Nothing: no call of its own in cel-go.
    Nothing,
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
            Self::Traverse => arguments.first().map_or(1, |value| traverse(value, &mut { MAX_TRAVERSED })),
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
                // Our lists are copied where cel-go links them; small ones cost the same.
                Value::List(items) => 1 + (items.len() as u64).saturating_sub(1_000),
                _ => 1,
            },
            Self::Search => tenth(size(0)) * tenth(size(1)),
            Self::Pattern => tenth(size(0) + 1) * size(1).div_ceil(4),
            Self::Pairs => 1 + size(0).saturating_mul(size(1)),
            Self::PairsTwice => 1 + size(0).saturating_mul(size(1)).saturating_mul(2),
            Self::Allocate => 11 + result.size(),
            Self::AllocateLike => 11 + size(0),
            Self::SelfCompare => 11 + self_compare(arguments),
            Self::Network => network(arguments),
            Self::NetworkTwice => network(arguments) + tenth(size(0)) + 1,
            Self::Nothing => 0,
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

/// Shared parts can make a walk endless; no call is so costly.
const MAX_TRAVERSED: u64 = 10_000_000;

/// `traversalCost` of Kubernetes' `library/cost.go`.
fn traverse(value: &Value, left: &mut u64) -> u64 {
    *left = left.saturating_sub(1);
    if *left == 0 {
        return MAX_TRAVERSED;
    }
    match value {
        Value::String(_) | Value::Bytes(_) => value.size() / 10,
        Value::List(items) => items.iter().fold(0, |sum: u64, item| sum.saturating_add(traverse(item, left))),
        Value::Map(map) => map.iter().fold(0, |sum: u64, (key, item)| {
            sum.saturating_add(traverse(&Value::from(key), left)).saturating_add(traverse(item, left))
        }),
        _ => 1,
    }
}

fn self_compare(arguments: &[Value]) -> u64 {
    let Some(Value::List(items)) = arguments.first() else { return 0 };
    let pairs = (items.len() as u64).saturating_pow(2);
    match items.first() {
        Some(Value::String(_) | Value::Bytes(_)) => pairs.saturating_mul(21).div_ceil(10),
        _ => pairs.saturating_mul(2),
    }
}

fn network(arguments: &[Value]) -> u64 {
    let size = |at: usize| arguments.get(at).map_or(1, Value::size);
    let text = matches!(arguments.get(1), Some(Value::String(_)));
    (size(0) * 2).div_ceil(10) + if text { size(1).div_ceil(10) } else { 0 }
}

/// The language's own functions.
pub(crate) const STANDARD: &[&[Function]] =
    &[operators::FUNCTIONS, conversions::FUNCTIONS, strings::STANDARD, regex::STANDARD, time::FUNCTIONS];

/// cel-go's extension libraries both Kubernetes and Tekton have.
pub(crate) const EXTENDED: &[&[Function]] = &[strings::EXTENDED, sets::FUNCTIONS, lists::EXTENDED];

/// What Kubernetes adds.
pub(crate) const KUBERNETES: &[&[Function]] = &[
    sprintf::VERSION_1,
    optionals::FUNCTIONS,
    lists::KUBERNETES,
    regex::KUBERNETES,
    web::FUNCTIONS,
    network::FUNCTIONS,
    resources::FUNCTIONS,
    format::FUNCTIONS,
];

/// What Tekton Triggers adds.
pub(crate) const TRIGGERS: &[&[Function]] =
    &[strings::NEWER, sprintf::VERSION_2, encoders::FUNCTIONS, math::FUNCTIONS, tekton::FUNCTIONS];

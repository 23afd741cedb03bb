//! The program as it is evaluated: names resolved, macros turned into folds, functions looked up.

use std::sync::Arc;

use crate::environment::Callee;
use crate::value::Value;

/// One step of a program.
#[derive(Debug)]
pub(crate) enum Node {
    /// A constant.
    Literal(Value),
    /// A declared variable, by its place among them.
    Variable(usize),
    /// A name a macro bound, by its place on the stack of such names.
    Local(usize),
    /// `operand.field`; `path` is the text of the whole chain where it starts at a variable.
    Select { operand: Box<Node>, field: Arc<str>, optional: bool, path: Option<Arc<str>> },
    /// `has(operand.field)`
    Has { operand: Box<Node>, field: Arc<str>, path: Option<Arc<str>> },
    /// `operand[index]`
    Index { operand: Box<Node>, index: Box<Node>, optional: bool, path: Option<Arc<str>> },
    /// A function or operator.
    Call(Box<Call>),
    /// `left && right` (`wanted` false) or `left || right` (`wanted` true).
    Logic { wanted: bool, terms: Box<[Node; 2]> },
    /// `condition ? yes : no`
    Conditional(Box<[Node; 3]>),
    /// `[a, ?b]`
    List(Vec<(Node, bool)>),
    /// `{a: b, ?c: d}`
    Map(Vec<(Node, Node, bool)>),
    /// A macro that walks a list or map.
    Fold(Box<Fold>),
    /// `cel.bind(name, value, body)`
    Bind(Box<[Node; 2]>),
    /// `target.optMap(name, body)`, or `optFlatMap`.
    OptionalMap { parts: Box<[Node; 2]>, flat: bool },
}

impl Node {
    /// The nodes right below, in the order of the text.
    pub(crate) fn below(&self) -> Vec<&Self> {
        match self {
            Self::Literal(_) | Self::Variable(_) | Self::Local(_) => Vec::new(),
            Self::Select { operand, .. } | Self::Has { operand, .. } => vec![operand],
            Self::Index { operand, index, .. } => vec![operand, index],
            Self::Call(call) => call.arguments.iter().collect(),
            Self::Logic { terms, .. } => terms.iter().collect(),
            Self::Conditional(parts) => parts.iter().collect(),
            Self::List(elements) => elements.iter().map(|(element, _)| element).collect(),
            Self::Map(entries) => entries.iter().flat_map(|(key, value, _)| [key, value]).collect(),
            Self::Fold(fold) => [&fold.range].into_iter().chain(&fold.filter).chain([&fold.body]).collect(),
            Self::Bind(parts) | Self::OptionalMap { parts, .. } => parts.iter().collect(),
        }
    }
}

/// A function with its arguments, the receiver first.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: Arc<str>,
    pub(crate) callees: Vec<Callee>,
    pub(crate) arguments: Vec<Node>,
    /// The text of the call where its arguments are paths and literals.
    pub(crate) path: Option<Arc<str>>,
}

/// A walk over a list or map.
#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) kind: FoldKind,
    pub(crate) range: Node,
    /// Whether key (or index) and value are both bound.
    pub(crate) two: bool,
    pub(crate) filter: Option<Node>,
    pub(crate) body: Node,
}

/// What a walk gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FoldKind {
    All,
    Exists,
    ExistsOne,
    List,
    Filter,
    Map,
    MapEntry,
    SortBy,
}

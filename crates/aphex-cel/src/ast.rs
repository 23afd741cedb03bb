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

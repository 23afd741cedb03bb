//! The expression as it is checked: macros expanded into loops as cel-go expands them.
//!
//! All nodes live in one list and name each other by place, so that dropping a deep tree needs no stack.

use std::sync::Arc;

use crate::value::Value;

/// The place of a node.
pub(crate) type Id = usize;

/// The variable in which loops gather their result; no text can name it.
pub(crate) const ACCUMULATOR: &str = "@result";

/// The loop variable of a loop that does not run.
pub(crate) const UNUSED: &str = "#unused";

/// One node.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Literal(Value),
    Ident(Arc<str>),
    Select { operand: Id, field: Arc<str>, test: bool },
    Call { function: Arc<str>, target: Option<Id>, arguments: Vec<Id> },
    List { elements: Vec<(Id, bool)> },
    Map { entries: Vec<Entry> },
    Struct { name: Arc<str>, values: Vec<Id> },
    Loop(Arc<Loop>),
}

/// An entry of a map literal.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Id,
    pub(crate) value: Id,
    pub(crate) optional: bool,
}

/// A loop over a list or map.
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    pub(crate) range: Id,
    pub(crate) variable: Arc<str>,
    pub(crate) second: Option<Arc<str>>,
    pub(crate) accumulator: Arc<str>,
    pub(crate) start: Id,
    pub(crate) condition: Id,
    pub(crate) step: Id,
    pub(crate) result: Id,
}

/// A whole expression.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Expr>,
    /// Where each node stands in the text, in characters.
    pub(crate) offsets: Vec<usize>,
    pub(crate) root: Id,
}

impl Tree {
    pub(crate) fn get(&self, id: Id) -> &Expr {
        &self.nodes[id]
    }

    /// The children of a node, in the order of the text where there is one.
    pub(crate) fn children(&self, id: Id) -> Vec<Id> {
        match &self.nodes[id] {
            Expr::Literal(_) | Expr::Ident(_) => Vec::new(),
            Expr::Select { operand, .. } => vec![*operand],
            Expr::Call { target, arguments, .. } => target.iter().chain(arguments).copied().collect(),
            Expr::List { elements } => elements.iter().map(|(element, _)| *element).collect(),
            Expr::Map { entries } => entries.iter().flat_map(|entry| [entry.key, entry.value]).collect(),
            Expr::Struct { values, .. } => values.clone(),
            Expr::Loop(walk) => vec![walk.range, walk.start, walk.condition, walk.step, walk.result],
        }
    }

    /// The dotted name an expression spells, if it is one.
    pub(crate) fn dotted(&self, id: Id) -> Option<String> {
        // No name that is declared has more parts; a longer chain is a path.
        const MOST: usize = 4;
        let mut parts: Vec<&str> = Vec::new();
        let mut at = id;
        loop {
            match &self.nodes[at] {
                Expr::Ident(name) => {
                    parts.push(name);
                    parts.reverse();
                    return Some(parts.join("."));
                }
                Expr::Select { operand, field, test: false } if parts.len() < MOST => {
                    parts.push(field);
                    at = *operand;
                }
                _ => return None,
            }
        }
    }
}

//! What an expression may cost at most, before it runs: cel-go's estimate with Kubernetes' sizes.
//!
//! Costs are in the units evaluation charges. Sizes come from literals, from the declared type of `self`, and from
//! what functions are known to give; everything else may be as large as a number can say.

mod calls;
mod libraries;
mod path;
mod range;

use std::collections::HashMap;
use std::sync::Arc;

use self::path::Path;
pub use self::range::Range;
use super::declared::Declared;
use super::infer::Typed;
use super::tree::{ACCUMULATOR, Expr, Id, Loop};
use super::types::{Kind, Type};
use crate::value::Value;

const LIST: Range = Range::exactly(10);
const MAP: Range = Range::exactly(30);
const MESSAGE: Range = Range::exactly(40);
const ONE: Range = Range::exactly(1);
/// The cost of looking at one character, byte or element.
const TRAVERSAL: f64 = 0.1;
/// The cost of one character of a pattern.
const PATTERN: f64 = 0.25;

/// The cost of an expression whose variables all have this declared type.
pub(super) fn estimate(typed: &Typed, declared: &Declared) -> Range {
    let count = typed.tree.nodes.len();
    let mut estimation = Estimation {
        typed,
        declared,
        paths: vec![Path::default(); count],
        sizes: vec![None; count],
        entries: vec![None; count],
        locals: HashMap::new(),
    };
    estimation.node(typed.tree.root)
}

struct Estimation<'a> {
    typed: &'a Typed,
    declared: &'a Declared,
    paths: Vec<Path>,
    sizes: Vec<Option<Range>>,
    entries: Vec<Option<Entries>>,
    /// What is known of the names loops bind, the innermost last.
    locals: HashMap<Arc<str>, Vec<Local>>,
}

/// The sizes of what a list or map holds.
#[derive(Clone, Copy, Debug)]
struct Entries {
    kind: Kind,
    key: Range,
    value: Range,
}

#[derive(Clone, Debug)]
struct Local {
    path: Path,
    size: Option<Range>,
    entries: Option<Entries>,
}

/// What the estimate of a call needs to know of an argument.
#[derive(Clone, Debug)]
struct Argument<'a> {
    id: Option<Id>,
    path: Path,
    kind: &'a Type,
    size: Option<Range>,
}

/// The part of a loop's range a variable stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Key,
    Value,
    /// The elements of a list, the keys of a map.
    Single,
}

impl<'a> Estimation<'a> {
    fn node(&mut self, id: Id) -> Range {
        let typed = self.typed;
        match typed.tree.get(id) {
            Expr::Literal(_) => Range::ZERO,
            Expr::Ident(name) => {
                self.paths[id] = self.local(name).map_or_else(|| Path::of(name), |local| local.path.clone());
                ONE
            }
            Expr::Select { operand, test: true, .. } => self.node(*operand),
            Expr::Select { operand, field, test: false } => {
                let cost = self.node(*operand);
                self.paths[id] = self.path(*operand).then(field);
                let looked_up =
                    matches!(typed.types[*operand].kind(), Kind::Map | Kind::Struct | Kind::Param);
                if looked_up { cost.plus(ONE) } else { cost }
            }
            Expr::Call { function, target, arguments } => self.call(id, function, *target, arguments),
            Expr::List { elements } => {
                let (mut cost, mut size) = (LIST, Range::EMPTY);
                for (element, _) in elements {
                    cost = cost.plus(self.node(*element));
                    size = size.union(self.size_or_unknown(*element));
                }
                if elements.is_empty() {
                    size = Range::ZERO;
                }
                self.entries[id] = Some(Entries { kind: Kind::List, key: ONE, value: size });
                cost
            }
            Expr::Map { entries } => {
                let (mut cost, mut key, mut value) = (MAP, Range::EMPTY, Range::EMPTY);
                for entry in entries {
                    cost = cost.plus(self.node(entry.key)).plus(self.node(entry.value));
                    key = key.union(self.size_or_unknown(entry.key));
                    value = value.union(self.size_or_unknown(entry.value));
                }
                if entries.is_empty() {
                    (key, value) = (Range::ZERO, Range::ZERO);
                }
                self.entries[id] = Some(Entries { kind: Kind::Map, key, value });
                cost
            }
            Expr::Struct { values, .. } => {
                values.iter().fold(MESSAGE, |cost, value| cost.plus(self.node(*value)))
            }
            Expr::Loop(walk) if self.is_bind(walk) => self.bind(id, walk),
            Expr::Loop(walk) => self.walk(id, walk),
        }
    }

    /// Whether a loop only names a value: it goes over nothing and never runs.
    fn is_bind(&self, walk: &Loop) -> bool {
        let empty = matches!(self.typed.tree.get(walk.range), Expr::List { elements } if elements.is_empty());
        let never = matches!(self.typed.tree.get(walk.condition), Expr::Literal(Value::Bool(false)));
        empty && never
    }

    fn bind(&mut self, id: Id, walk: &Loop) -> Range {
        let mut cost = self.node(walk.range).plus(self.node(walk.start));
        self.push(&walk.accumulator, walk.start);
        cost = cost.plus(self.node(walk.result));
        self.pop(&walk.accumulator);
        self.take_sizes(id, walk.result);
        cost
    }

    fn walk(&mut self, id: Id, walk: &Loop) -> Range {
        let mut cost = self.node(walk.range).plus(self.node(walk.start));
        self.push(&walk.accumulator, walk.start);
        match &walk.second {
            Some(second) => {
                self.push_part(&walk.variable, walk.range, Part::Key);
                self.push_part(second, walk.range, Part::Value);
            }
            None => self.push_part(&walk.variable, walk.range, Part::Single),
        }
        let each = self.node(walk.condition);
        let each = self.node(walk.step).plus(each);
        self.pop(&walk.variable);
        if let Some(second) = &walk.second {
            self.pop(second);
        }
        cost = cost.plus(self.node(walk.result));
        self.pop(&walk.accumulator);
        let count = self.size_or_unknown(walk.range);
        match self.typed.tree.get(walk.start) {
            Expr::Literal(_) => self.sizes[id] = self.size(walk.start).or(self.sizes[id]),
            Expr::List { .. } | Expr::Map { .. } => {
                self.sizes[id] = Some(count);
                self.entries[id] = self.entries_of(walk.step).or(self.entries[id]);
            }
            _ => {}
        }
        cost.plus(count.times(each))
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.get(name).and_then(|stack| stack.last())
    }

    fn push(&mut self, name: &Arc<str>, value: Id) {
        let (path, entries) = (self.path(value), self.entries_of(value));
        let size = self.size(value);
        self.locals.entry(Arc::clone(name)).or_default().push(Local { path, size, entries });
    }

    fn push_part(&mut self, name: &Arc<str>, range: Id, part: Part) {
        let entries = self.entries_of(range);
        let kind = entries.map_or_else(|| self.typed.types[range].kind(), |entries| entries.kind);
        let is_list = kind == Kind::List;
        let (step, size) = match part {
            Part::Key => (if is_list { "@indices" } else { "@keys" }, entries.map(|entries| entries.key)),
            Part::Value => (if is_list { "@items" } else { "@values" }, entries.map(|entries| entries.value)),
            Part::Single if is_list => ("@items", entries.map(|entries| entries.value)),
            Part::Single => ("@keys", entries.map(|entries| entries.key)),
        };
        let path = self.path(range).then(step);
        self.locals.entry(Arc::clone(name)).or_default().push(Local { path, size, entries: None });
    }

    fn pop(&mut self, name: &str) {
        if let Some(stack) = self.locals.get_mut(name) {
            stack.pop();
        }
    }

    fn path(&self, id: Id) -> Path {
        if let Expr::Ident(name) = self.typed.tree.get(id)
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths[id].clone()
    }

    fn declared_size(&self, path: &Path) -> Option<Range> {
        if path.is_empty() {
            return None;
        }
        let steps = path.steps();
        self.declared.most_at(&steps[1..]).map(|most| Range::new(0, most))
    }

    fn size(&mut self, id: Id) -> Option<Range> {
        if let Some(size) = self.sizes[id].or_else(|| self.written_size(id)) {
            return Some(size);
        }
        if let Some(size) = self.declared_size(&self.path(id)) {
            self.sizes[id] = Some(size);
            return Some(size);
        }
        if is_scalar(&self.typed.types[id]) {
            return Some(ONE);
        }
        match self.typed.tree.get(id) {
            Expr::Ident(name) => self.local(name).and_then(|local| local.size),
            _ => None,
        }
    }

    fn size_or_unknown(&mut self, id: Id) -> Range {
        self.size(id).unwrap_or(Range::UNKNOWN)
    }

    /// The size of a literal.
    fn written_size(&self, id: Id) -> Option<Range> {
        let count = match self.typed.tree.get(id) {
            Expr::Literal(Value::String(text)) => text.chars().count(),
            Expr::Literal(Value::Bytes(bytes)) => bytes.len(),
            Expr::Literal(_) => 1,
            Expr::List { elements } => elements.len(),
            Expr::Map { entries } => entries.len(),
            _ => return None,
        };
        Some(Range::exactly(count as u64))
    }

    fn entries_of(&self, id: Id) -> Option<Entries> {
        if let Some(entries) = self.entries[id] {
            return Some(entries);
        }
        match self.typed.tree.get(id) {
            Expr::Ident(name) => self.local(name).and_then(|local| local.entries),
            _ => None,
        }
    }

    fn take_sizes(&mut self, to: Id, from: Id) {
        self.sizes[to] = self.size(from).or(self.sizes[to]);
        self.entries[to] = self.entries_of(from).or(self.entries[to]);
    }

    fn argument(&mut self, id: Id) -> Argument<'a> {
        let path = self.path(id);
        let hidden = path.steps().first().is_some_and(|first| matches!(&**first, ACCUMULATOR | "__result__"));
        let path = if hidden { Path::default() } else { path };
        let typed = self.typed;
        Argument { id: Some(id), path, kind: &typed.types[id], size: self.size(id) }
    }
}

/// Whether values of a type are all of one size.
fn is_scalar(found: &Type) -> bool {
    match found.kind() {
        Kind::Bool | Kind::Double | Kind::Duration | Kind::Int | Kind::Timestamp | Kind::Uint => true,
        Kind::Opaque => found.unwrapped().is_some_and(is_scalar),
        _ => false,
    }
}

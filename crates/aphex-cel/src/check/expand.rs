//! From the parser's tree to the checked one, macros expanded.
//!
//! The steps of each loop are those of cel-go's macros: types are inferred and costs reckoned over them, and what
//! is wrong inside is reported at the place of the macro's bracket.

use std::sync::Arc;

use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, EntryExpr, Expr as Parsed, IdedExpr};

use super::tree::{ACCUMULATOR, Entry, Expr, Id, Loop, Tree, UNUSED};
use crate::environment::Dialect;
use crate::error::{CompileError, Issues};
use crate::guard;
use crate::lower::value_of;
use crate::syntax;
use crate::value::Value;

/// How many nodes an expression may have once expanded, whatever its size; `optMap` doubles what it is called on.
const MOST_NODES: usize = 5_000;
/// And how many for every byte of it.
const MOST_NODES_PER_BYTE: usize = 10;
/// The variable `sortBy` keeps its list in.
const SORTED: &str = "@__sortBy_input__";

/// The expanded tree, or what is wrong with the macros.
pub(super) fn expand(source: &str, parsed: &syntax::Parsed, dialect: Dialect) -> Result<Tree, CompileError> {
    let most = MOST_NODES + MOST_NODES_PER_BYTE * source.len();
    let (tree, issues) = (Tree::default(), Issues::new(source));
    let mut expansion = Expansion { source, parsed, dialect, tree, issues, level: 0, most };
    let root = expansion.node(&parsed.expression);
    expansion.tree.root = root;
    expansion.issues.or(expansion.tree)
}

struct Expansion<'a> {
    source: &'a str,
    parsed: &'a syntax::Parsed,
    dialect: Dialect,
    tree: Tree,
    issues: Issues<'a>,
    level: usize,
    most: usize,
}

/// What a loop does with each element.
struct Body {
    start: Id,
    condition: Id,
    step: Id,
    result: Id,
}

impl Expansion<'_> {
    fn offset(&self, id: u64) -> usize {
        self.parsed.places.offset_for(id).map_or(0, |(start, _)| start as usize)
    }

    fn issue(&mut self, id: u64, message: impl Into<String>) -> Id {
        let offset = self.offset(id);
        self.issues.at(offset, message);
        self.add(Expr::Literal(Value::Null), offset)
    }

    fn add(&mut self, node: Expr, offset: usize) -> Id {
        if self.is_full() {
            if self.issues.is_empty() {
                let most = self.most;
                let message = format!("expression has more than {most} parts with its macros expanded");
                self.issues.at(offset, message);
            }
            // Some node that is there: the tree is not used once an issue is noted.
            return 0;
        }
        self.tree.nodes.push(node);
        self.tree.offsets.push(offset);
        self.tree.nodes.len() - 1
    }

    fn is_full(&self) -> bool {
        self.tree.nodes.len() >= self.most
    }

    fn node(&mut self, expression: &IdedExpr) -> Id {
        // Depth was bounded on the text; a tree that is deeper still means the two disagree.
        if self.level > 2 * guard::MAX_DEPTH {
            return self.issue(expression.id, "expression recursion limit exceeded");
        }
        if self.is_full() {
            return 0;
        }
        self.level += 1;
        let id = self.below(expression);
        self.level -= 1;
        id
    }

    fn below(&mut self, expression: &IdedExpr) -> Id {
        let offset = self.offset(expression.id);
        let node = match &expression.expr {
            Parsed::Literal(literal) => {
                let value = value_of(literal);
                let offset = self.sign(&value, offset);
                return self.add(Expr::Literal(value), offset);
            }
            Parsed::Ident(name) => Expr::Ident(name.as_str().into()),
            Parsed::Select(select) => {
                let operand = self.node(&select.operand);
                Expr::Select { operand, field: select.field.as_str().into(), test: false }
            }
            Parsed::Call(call) => return self.call(expression.id, call),
            Parsed::List(list) => {
                let elements = list.elements.iter().enumerate();
                let elements = elements
                    .map(|(at, element)| (self.node(element), list.optional_indices.contains(&at)))
                    .collect();
                Expr::List { elements }
            }
            Parsed::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        let (key, value) = (self.node(&entry.key), self.node(&entry.value));
                        entries.push(Entry { key, value, optional: entry.optional });
                    }
                }
                Expr::Map { entries }
            }
            Parsed::Struct(message) => {
                let mut values = Vec::with_capacity(message.entries.len());
                for entry in &message.entries {
                    if let EntryExpr::StructField(field) = &entry.expr {
                        values.push(self.node(&field.value));
                    }
                }
                Expr::Struct { name: message.type_name.as_str().into(), values }
            }
            Parsed::Comprehension(_) | Parsed::Unspecified => {
                return self.issue(expression.id, "unsupported expression");
            }
        };
        self.add(node, offset)
    }

    /// Where a number begins: at its sign, where the parser has its digits.
    fn sign(&self, value: &Value, offset: usize) -> usize {
        let negative = match value {
            Value::Int(number) => *number < 0,
            Value::Double(number) => number.is_sign_negative(),
            _ => false,
        };
        let before = self.source.get(..offset).map(str::trim_end).filter(|before| before.ends_with('-'));
        before.filter(|_| negative).map_or(offset, |before| before.len() - 1)
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Id {
        let (name, arguments) = (call.func_name.as_str(), call.args.as_slice());
        let offset = self.offset(id);
        match (name, call.target.as_deref(), arguments) {
            ("has", None, [argument]) => {
                let Parsed::Select(select) = &argument.expr else {
                    return self.issue(argument.id, "invalid argument to has() macro");
                };
                let operand = self.node(&select.operand);
                self.add(Expr::Select { operand, field: select.field.as_str().into(), test: true }, offset)
            }
            ("greatest" | "least", Some(target), arguments) if self.is_math(target) => {
                self.extreme(offset, name, arguments)
            }
            (_, target, arguments) => {
                let target = target.map(|target| (target.id, self.node(target)));
                if let Some((place, target)) = target
                    && let Some(node) = self.receiver_macro(offset, name, (place, target), arguments)
                {
                    return node;
                }
                let arguments = arguments.iter().map(|argument| self.node(argument)).collect();
                let target = target.map(|(_, target)| target);
                self.add(Expr::Call { function: name.into(), target, arguments }, offset)
            }
        }
    }

    /// Whether this is the space of the functions that are macros to Tekton.
    fn is_math(&self, target: &IdedExpr) -> bool {
        self.dialect == Dialect::Triggers && matches!(&target.expr, Parsed::Ident(name) if name == "math")
    }

    /// `math.greatest` and `math.least`, which take one list or up to two numbers, or make a list of more.
    fn extreme(&mut self, at: usize, name: &str, arguments: &[IdedExpr]) -> Id {
        let one = matches!(arguments, [_]);
        if let Some(wrong) = arguments.iter().find(|argument| !is_numeric(argument, one)) {
            let words = if one {
                "invalid single argument value"
            } else {
                "simple literal arguments must be numeric"
            };
            return self.issue(wrong.id, format!("math.{name}() {words}"));
        }
        let mut given: Vec<Id> = arguments.iter().map(|argument| self.node(argument)).collect();
        if given.len() > 2 {
            let elements = given.into_iter().map(|element| (element, false)).collect();
            given = vec![self.add(Expr::List { elements }, at)];
        }
        self.invoke(at, if name == "greatest" { "math.@max" } else { "math.@min" }, given)
    }

    fn receiver_macro(
        &mut self,
        at: usize,
        name: &str,
        target: (u64, Id),
        arguments: &[IdedExpr],
    ) -> Option<Id> {
        match (name, arguments) {
            ("all" | "exists" | "exists_one" | "filter", [variable, body])
            | ("map", [variable, body] | [variable, _, body]) => {
                let filter = (arguments.len() == 3).then(|| &arguments[1]);
                Some(self.one_variable(at, name, target.1, variable, filter, body))
            }
            ("all" | "exists" | "exists_one" | "existsOne", [_, _, _])
            | ("transformList" | "transformMap" | "transformMapEntry", [_, _, _] | [_, _, _, _]) => {
                Some(self.two_variables(at, name, target.1, arguments))
            }
            ("optMap" | "optFlatMap", [variable, body]) => {
                Some(self.optional_map(at, name, target.1, variable, body))
            }
            ("sortBy", [variable, body]) => Some(self.sort_by(at, target, variable, body)),
            _ => None,
        }
    }

    fn one_variable(
        &mut self,
        at: usize,
        name: &str,
        range: Id,
        variable: &IdedExpr,
        filter: Option<&IdedExpr>,
        body: &IdedExpr,
    ) -> Id {
        let words = if matches!(name, "map" | "filter") {
            "argument is not an identifier"
        } else {
            "argument must be a simple name"
        };
        let Some(text) = self.variable(variable, words) else { return range };
        let filter = filter.map(|filter| self.node(filter));
        let body = self.node(body);
        let body = match name {
            "filter" => {
                let element = self.add(Expr::Ident(Arc::clone(&text)), self.offset(variable.id));
                self.collect(at, Some(body), element)
            }
            "map" => self.collect(at, filter, body),
            _ => self.quantifier(at, name, body),
        };
        self.walk(at, range, text, None, &body)
    }

    fn two_variables(&mut self, at: usize, name: &str, range: Id, arguments: &[IdedExpr]) -> Id {
        const WORDS: &str = "argument must be a simple name";
        let [first, second, rest @ ..] = arguments else { return range };
        let (Some(one), Some(two)) = (self.variable(first, WORDS), self.variable(second, WORDS)) else {
            return range;
        };
        if one == two {
            return self.issue(second.id, format!("duplicate variable name: {one}"));
        }
        let rest: Vec<Id> = rest.iter().map(|argument| self.node(argument)).collect();
        let (filter, transform) = match rest.as_slice() {
            [filter, transform] => (Some(*filter), *transform),
            [transform, ..] => (None, *transform),
            [] => return range,
        };
        let body = match name {
            "transformList" => self.collect(at, filter, transform),
            "transformMap" => {
                let key = self.ident(at, &one);
                self.insert(at, filter, &[key, transform])
            }
            "transformMapEntry" => self.insert(at, filter, &[transform]),
            _ => self.quantifier(at, name, transform),
        };
        self.walk(at, range, one, Some(two), &body)
    }

    fn variable(&mut self, expression: &IdedExpr, words: &str) -> Option<Arc<str>> {
        match &expression.expr {
            Parsed::Ident(name) if name == "__result__" => {
                self.issue(expression.id, "iteration variable overwrites accumulator variable");
                None
            }
            Parsed::Ident(name) => Some(name.as_str().into()),
            _ => {
                self.issue(expression.id, words);
                None
            }
        }
    }

    fn literal(&mut self, at: usize, value: impl Into<Value>) -> Id {
        self.add(Expr::Literal(value.into()), at)
    }

    fn ident(&mut self, at: usize, name: &str) -> Id {
        self.add(Expr::Ident(name.into()), at)
    }

    fn gathered(&mut self, at: usize) -> Id {
        self.ident(at, ACCUMULATOR)
    }

    fn invoke(&mut self, at: usize, function: &str, arguments: Vec<Id>) -> Id {
        self.add(Expr::Call { function: function.into(), target: None, arguments }, at)
    }

    fn member(&mut self, at: usize, target: Id, function: &str, arguments: Vec<Id>) -> Id {
        self.add(Expr::Call { function: function.into(), target: Some(target), arguments }, at)
    }

    fn walk(
        &mut self,
        at: usize,
        range: Id,
        variable: Arc<str>,
        second: Option<Arc<str>>,
        body: &Body,
    ) -> Id {
        let Body { start, condition, step, result } = *body;
        let accumulator = ACCUMULATOR.into();
        let walk = Loop { range, variable, second, accumulator, start, condition, step, result };
        self.add(Expr::Loop(Arc::new(walk)), at)
    }

    fn quantifier(&mut self, at: usize, name: &str, body: Id) -> Body {
        let gathered = self.gathered(at);
        match name {
            "all" => {
                let start = self.literal(at, true);
                let condition = self.invoke(at, "@not_strictly_false", vec![gathered]);
                let so_far = self.gathered(at);
                let step = self.invoke(at, op::LOGICAL_AND, vec![so_far, body]);
                Body { start, condition, step, result: self.gathered(at) }
            }
            "exists" => {
                let start = self.literal(at, false);
                let not = self.invoke(at, op::LOGICAL_NOT, vec![gathered]);
                let condition = self.invoke(at, "@not_strictly_false", vec![not]);
                let so_far = self.gathered(at);
                let step = self.invoke(at, op::LOGICAL_OR, vec![so_far, body]);
                Body { start, condition, step, result: self.gathered(at) }
            }
            _ => {
                let start = self.literal(at, 0_i64);
                let condition = self.literal(at, true);
                let one = self.literal(at, 1_i64);
                let more = self.invoke(at, op::ADD, vec![gathered, one]);
                let same = self.gathered(at);
                let step = self.invoke(at, op::CONDITIONAL, vec![body, more, same]);
                let (total, one) = (self.gathered(at), self.literal(at, 1_i64));
                Body { start, condition, step, result: self.invoke(at, op::EQUALS, vec![total, one]) }
            }
        }
    }

    /// A loop that makes a list.
    fn collect(&mut self, at: usize, filter: Option<Id>, element: Id) -> Body {
        let start = self.add(Expr::List { elements: Vec::new() }, at);
        let so_far = self.gathered(at);
        let one = self.add(Expr::List { elements: vec![(element, false)] }, at);
        let step = self.invoke(at, op::ADD, vec![so_far, one]);
        self.filtered(at, start, filter, step)
    }

    /// A loop that makes a map.
    fn insert(&mut self, at: usize, filter: Option<Id>, entry: &[Id]) -> Body {
        let start = self.add(Expr::Map { entries: Vec::new() }, at);
        let so_far = self.gathered(at);
        let arguments = std::iter::once(so_far).chain(entry.iter().copied()).collect();
        let step = self.invoke(at, "cel.@mapInsert", arguments);
        self.filtered(at, start, filter, step)
    }

    fn filtered(&mut self, at: usize, start: Id, filter: Option<Id>, step: Id) -> Body {
        let condition = self.literal(at, true);
        let step = match filter {
            Some(filter) => {
                let same = self.gathered(at);
                self.invoke(at, op::CONDITIONAL, vec![filter, step, same])
            }
            None => step,
        };
        Body { start, condition, step, result: self.gathered(at) }
    }

    /// A name for a value: a loop over nothing that starts with it.
    fn bind(&mut self, at: usize, name: Arc<str>, value: Id, result: Id) -> Id {
        let range = self.add(Expr::List { elements: Vec::new() }, at);
        let condition = self.literal(at, false);
        let step = self.ident(at, &name);
        let (variable, second) = (UNUSED.into(), None);
        let walk = Loop { range, variable, second, accumulator: name, start: value, condition, step, result };
        self.add(Expr::Loop(Arc::new(walk)), at)
    }

    fn optional_map(
        &mut self,
        at: usize,
        name: &str,
        target: Id,
        variable: &IdedExpr,
        body: &IdedExpr,
    ) -> Id {
        let words = format!("{name}() variable name must be a simple identifier");
        let Some(variable) = self.variable(variable, &words) else { return target };
        let body = self.node(body);
        let there = self.member(at, target, "hasValue", Vec::new());
        let copy = self.copy(target);
        let value = self.member(at, copy, "value", Vec::new());
        let mut mapped = self.bind(at, variable, value, body);
        if name == "optMap" {
            mapped = self.invoke(at, "optional.of", vec![mapped]);
        }
        let none = self.invoke(at, "optional.none", Vec::new());
        self.invoke(at, op::CONDITIONAL, vec![there, mapped, none])
    }

    fn sort_by(&mut self, at: usize, target: (u64, Id), variable: &IdedExpr, body: &IdedExpr) -> Id {
        let (place, target) = target;
        if matches!(self.tree.get(target), Expr::Literal(_) | Expr::Map { .. } | Expr::Struct { .. }) {
            let words =
                "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
            return self.issue(place, words);
        }
        let range = self.ident(at, SORTED);
        let keys = self.one_variable(at, "map", range, variable, None, body);
        let list = self.ident(at, SORTED);
        let sorted = self.member(at, list, "@sortByAssociatedKeys", vec![keys]);
        self.bind(at, SORTED.into(), target, sorted)
    }

    /// A copy of a node and all below it.
    fn copy(&mut self, id: Id) -> Id {
        if self.is_full() {
            return 0;
        }
        let offset = self.tree.offsets[id];
        let node = match self.tree.get(id).clone() {
            node @ (Expr::Literal(_) | Expr::Ident(_)) => node,
            Expr::Select { operand, field, test } => {
                Expr::Select { operand: self.copy(operand), field, test }
            }
            Expr::Call { function, target, arguments } => Expr::Call {
                function,
                target: target.map(|target| self.copy(target)),
                arguments: arguments.into_iter().map(|argument| self.copy(argument)).collect(),
            },
            Expr::List { elements } => Expr::List {
                elements: elements.into_iter().map(|(id, optional)| (self.copy(id), optional)).collect(),
            },
            Expr::Map { entries } => Expr::Map {
                entries: entries
                    .into_iter()
                    .map(|entry| Entry { key: self.copy(entry.key), value: self.copy(entry.value), ..entry })
                    .collect(),
            },
            Expr::Struct { name, values } => {
                Expr::Struct { name, values: values.into_iter().map(|value| self.copy(value)).collect() }
            }
            Expr::Loop(walk) => Expr::Loop(Arc::new(Loop {
                range: self.copy(walk.range),
                start: self.copy(walk.start),
                condition: self.copy(walk.condition),
                step: self.copy(walk.step),
                result: self.copy(walk.result),
                ..Loop::clone(&walk)
            })),
        };
        self.add(node, offset)
    }
}

/// Whether a number may come of it; of a list only where that is the only argument.
fn is_numeric(argument: &IdedExpr, alone: bool) -> bool {
    match &argument.expr {
        Parsed::Literal(literal) => {
            matches!(value_of(literal), Value::Double(_) | Value::Int(_) | Value::Uint(_))
        }
        Parsed::List(list) if alone => {
            !list.elements.is_empty() && list.elements.iter().all(|element| is_numeric(element, false))
        }
        Parsed::List(_) | Parsed::Map(_) | Parsed::Struct(_) => false,
        _ => true,
    }
}

//! From syntax tree to program: names resolved, macros recognized, functions found.

mod constants;

use std::sync::Arc;

use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr};

use crate::ast::{Call, Fold, FoldKind, Node};
use crate::environment::{Environment, Found};
use crate::error::{CompileError, Issues};
use crate::fields;
use crate::guard;
use crate::program::{Inner, Program};
use crate::syntax::Parsed;
use crate::value::{Key, Value};

/// The names of types, which are values of type `type`.
const TYPES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "duration",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "timestamp",
    "type",
    "uint",
    "optional_type",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "net.IP",
    "net.CIDR",
];

/// Turns a parsed text into a program, or lists what is wrong with it.
pub(crate) fn lower(
    environment: &Environment,
    source: &Arc<str>,
    variables: &[Arc<str>],
    parsed: &Parsed,
    depth: usize,
    literals: Literals,
) -> Result<Program, CompileError> {
    let mut lowering = Lowering {
        environment,
        variables,
        used: vec![false; variables.len()],
        locals: Vec::new(),
        parsed,
        issues: Issues::new(source),
        level: 0,
        formatting: 0,
        literals,
        doomed: None,
    };
    let root = lowering.node(&parsed.expression);
    lowering.issues.or(())?;
    Ok(Program::new(Inner {
        source: Arc::clone(source),
        variables: variables.to_vec(),
        used: lowering.used,
        fields: fields::of(&root, variables.len()),
        root,
        depth,
        repeats: !environment.is_strict(),
        doomed: lowering.doomed,
    }))
}

struct Lowering<'a> {
    environment: &'a Environment,
    variables: &'a [Arc<str>],
    used: Vec<bool>,
    locals: Vec<String>,
    parsed: &'a Parsed,
    issues: Issues<'a>,
    level: usize,
    /// How many calls of `format` enclose what is lowered.
    formatting: usize,
    literals: Literals,
    doomed: Option<String>,
}

/// Whether it is still to be seen what literals say of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Literals {
    /// Types are not known: literals that can only fail are looked for here.
    Unchecked,
    /// All types were checked.
    Checked,
}

/// Stands in the tree where an issue was noted; never evaluated.
const BROKEN: Node = Node::Local(usize::MAX);

impl Lowering<'_> {
    fn issue(&mut self, id: u64, message: impl Into<String>) -> Node {
        let offset = self.parsed.places.offset_for(id).map_or(0, |(start, _)| start as usize);
        self.issues.at(offset, message);
        BROKEN
    }

    fn undeclared(&mut self, id: u64, name: &str) -> Node {
        self.issue(id, format!("undeclared reference to '{name}' (in container '')"))
    }

    fn node(&mut self, expression: &IdedExpr) -> Node {
        // Depth was bounded on the text; a tree that is deeper still means the two disagree.
        if self.level > 2 * guard::MAX_DEPTH {
            return self.issue(expression.id, "expression recursion limit exceeded");
        }
        self.level += 1;
        let node = self.node_below(expression);
        self.level -= 1;
        node
    }

    fn node_below(&mut self, expression: &IdedExpr) -> Node {
        match &expression.expr {
            Expr::Literal(literal) => Node::Literal(value_of(literal)),
            Expr::Ident(name) => self.name(expression.id, name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(expression.id, call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Struct(message) => self.undeclared(expression.id, &message.type_name),
            Expr::Comprehension(_) | Expr::Unspecified => self.issue(expression.id, "unsupported expression"),
        }
    }

    fn list(&mut self, list: &ListExpr) -> Node {
        if let (Some(at), false) = (list.optional_indices.first(), self.environment.is_strict()) {
            let id = list.elements.get(*at).map_or(0, |element| element.id);
            return self.issue(id, "unsupported syntax '?'");
        }
        let elements: Vec<(Node, bool)> = list
            .elements
            .iter()
            .enumerate()
            .map(|(at, element)| (self.node(element), list.optional_indices.contains(&at)))
            .collect();
        if self.is_strict() {
            let ids = list.elements.iter().map(|element| element.id);
            self.check_same(ids.zip(elements.iter().map(|(node, _)| node)));
        }
        constants::list(elements)
    }

    fn map(&mut self, map: &MapExpr) -> Node {
        let mut entries = Vec::with_capacity(map.entries.len());
        let mut ids = Vec::with_capacity(map.entries.len());
        for entry in &map.entries {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                if entry.optional && !self.environment.is_strict() {
                    return self.issue(entry.key.id, "unsupported syntax '?'");
                }
                ids.push((entry.key.id, entry.value.id));
                entries.push((self.node(&entry.key), self.node(&entry.value), entry.optional));
            }
        }
        if self.is_strict() {
            let keys = ids.iter().zip(&entries).map(|((id, _), (key, _, _))| (*id, key));
            self.check_same(keys);
            let values = ids.iter().zip(&entries).map(|((_, id), (_, value, _))| (*id, value));
            self.check_same(values);
        }
        constants::map(entries, !self.environment.is_strict())
    }

    fn is_literal_checked(&self) -> bool {
        self.environment.is_strict() && self.literals == Literals::Unchecked
    }

    /// Whether literals are held to Kubernetes' rules; the arguments of `format` are not.
    fn is_strict(&self) -> bool {
        self.is_literal_checked() && self.formatting == 0
    }

    fn resolve(&mut self, name: &str) -> Option<Node> {
        if let Some(at) = self.locals.iter().rposition(|local| local == name) {
            return Some(Node::Local(at));
        }
        let plain = name.strip_prefix('.').unwrap_or(name);
        if let Some(at) = self.variables.iter().position(|variable| **variable == *plain) {
            self.used[at] = true;
            return Some(Node::Variable(at));
        }
        let known = TYPES.iter().find(|known| **known == plain)?;
        let full = match *known {
            "duration" => "google.protobuf.Duration",
            "timestamp" => "google.protobuf.Timestamp",
            other => other,
        };
        Some(Node::Literal(Value::Type(full.into())))
    }

    fn name(&mut self, id: u64, name: &str) -> Node {
        match self.resolve(name) {
            Some(node) => node,
            None => self.undeclared(id, name),
        }
    }

    fn select(&mut self, select: &SelectExpr) -> Node {
        if let Some(name) = dotted(&select.operand.expr).map(|left| format!("{left}.{}", select.field))
            && let Some(node) = self.resolve(&name)
        {
            return node;
        }
        let mut operand = self.node(&select.operand);
        let path = self.path_below(&mut operand).map(|path| format!("{path}.{}", select.field).into());
        Node::Select {
            operand: Box::new(operand),
            field: select.field.as_str().into(),
            optional: false,
            path,
        }
    }

    /// The text of a node that a path may go on from.
    fn path_of(&self, node: &Node) -> Option<Arc<str>> {
        match node {
            Node::Variable(at) => Some(Arc::clone(&self.variables[*at])),
            Node::Select { path, .. } | Node::Index { path, .. } => path.clone(),
            _ => None,
        }
    }

    /// The same, taken from the node: what a path leads to is shown, not the objects on the way.
    fn path_below(&self, node: &mut Node) -> Option<Arc<str>> {
        let path = self.path_of(node);
        if let Node::Select { path, .. } | Node::Index { path, .. } = node {
            *path = None;
        }
        path
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Node {
        let name = call.func_name.as_str();
        match (name, call.target.as_deref(), call.args.as_slice()) {
            (op::LOGICAL_AND | op::LOGICAL_OR, None, [left, right]) => Node::Logic {
                wanted: name == op::LOGICAL_OR,
                terms: Box::new([self.node(left), self.node(right)]),
            },
            (op::CONDITIONAL, None, [condition, yes, no]) => {
                Node::Conditional(Box::new([self.node(condition), self.node(yes), self.node(no)]))
            }
            (op::OPT_INDEX, None, [_, _]) if !self.environment.is_strict() => {
                self.issue(id, "unsupported syntax '[?'")
            }
            (op::OPT_SELECT, None, [_, _]) if !self.environment.is_strict() => {
                self.issue(id, "unsupported syntax '.?'")
            }
            (op::INDEX | op::OPT_INDEX, None, [operand, index]) => {
                self.index(operand, index, name == op::OPT_INDEX)
            }
            (op::OPT_SELECT, None, [operand, field]) => self.optional_select(operand, field),
            ("has", None, [argument]) => self.has(argument),
            (_, Some(target), arguments) => match self.receiver_macro(name, target, arguments) {
                Some(node) => node,
                None => self.member(id, name, target, arguments),
            },
            (_, None, arguments) => self.function(id, name, false, None, arguments),
        }
    }

    fn index(&mut self, operand: &IdedExpr, index: &IdedExpr, optional: bool) -> Node {
        let mut operand = self.node(operand);
        let index = self.node(index);
        if let (Node::Literal(value), Literals::Checked, None) = (&index, self.literals, &self.doomed) {
            self.doomed = constants::no_index(value).map(|kind| format!("invalid qualifier type: {kind}"));
        }
        let path = self.path_below(&mut operand).and_then(|path| match &index {
            Node::Literal(Value::Int(at)) => Some(format!("{path}[{at}]").into()),
            Node::Literal(Value::String(key)) => Some(format!("{path}[{key:?}]").into()),
            _ => None,
        });
        Node::Index { operand: Box::new(operand), index: Box::new(index), optional, path }
    }

    fn optional_select(&mut self, operand: &IdedExpr, field: &IdedExpr) -> Node {
        let Expr::Literal(LiteralValue::String(field)) = &field.expr else {
            return self.issue(field.id, "unsupported optional field selection");
        };
        let mut operand = self.node(operand);
        let field: Arc<str> = field.inner().into();
        let path = self.path_below(&mut operand).map(|path| format!("{path}.?{field}").into());
        Node::Select { operand: Box::new(operand), field, optional: true, path }
    }

    fn has(&mut self, argument: &IdedExpr) -> Node {
        let Expr::Select(select) = &argument.expr else {
            return self.issue(argument.id, "invalid argument to has() macro");
        };
        let mut operand = self.node(&select.operand);
        let path = self.path_below(&mut operand).map(|path| format!("has({path}.{})", select.field).into());
        Node::Has { operand: Box::new(operand), field: select.field.as_str().into(), path }
    }

    fn receiver_macro(&mut self, name: &str, target: &IdedExpr, arguments: &[IdedExpr]) -> Option<Node> {
        let extended = self.environment.is_strict();
        if let (true, "bind", Expr::Ident(space), [variable, value, body]) =
            (extended, name, &target.expr, arguments)
            && space == "cel"
        {
            let value = self.node(value);
            return Some(self.scoped(&[variable], |this| Node::Bind(Box::new([value, this.node(body)]))));
        }
        if let (true, "optMap" | "optFlatMap", [variable, body]) = (extended, name, arguments) {
            let target = self.node(target);
            let flat = name == "optFlatMap";
            return Some(self.scoped(&[variable], |this| Node::OptionalMap {
                parts: Box::new([target, this.node(body)]),
                flat,
            }));
        }
        let (kind, names, filtered) =
            fold_shape(name, arguments.len()).filter(|(_, names, _)| extended || *names == 1)?;
        let range = self.node(target);
        if let Some(found) = constants::no_range(&range) {
            return Some(self.issue(
                target.id,
                format!("expression of type '{found}' cannot be range of a comprehension (must be list, map, or dynamic)"),
            ));
        }
        let (variables, rest) = arguments.split_at(names);
        let variables: Vec<&IdedExpr> = variables.iter().collect();
        Some(self.scoped(&variables, |this| {
            let (filter, body) = match rest {
                [filter, body] if filtered => (Some(this.node(filter)), this.node(body)),
                [body, ..] => (None, this.node(body)),
                [] => (None, BROKEN),
            };
            Node::Fold(Box::new(Fold { kind, range, two: names == 2, filter, body }))
        }))
    }

    /// Lowers a part of the tree in which these names are bound.
    fn scoped(&mut self, names: &[&IdedExpr], part: impl FnOnce(&mut Self) -> Node) -> Node {
        let before = self.locals.len();
        for name in names {
            if let Expr::Ident(text) = &name.expr {
                if self.locals[before..].contains(text) {
                    self.issue(name.id, format!("duplicate variable name: {text}"));
                }
                self.locals.push(text.clone());
            } else {
                self.issue(name.id, "argument must be a simple name");
                self.locals.truncate(before);
                return BROKEN;
            }
        }
        let node = part(self);
        self.locals.truncate(before);
        node
    }

    fn member(&mut self, id: u64, name: &str, target: &IdedExpr, arguments: &[IdedExpr]) -> Node {
        // `math.greatest(1, 2)` is a function with a dotted name, unless `math` is a variable.
        if let Some(space) = dotted(&target.expr) {
            let full = format!("{space}.{name}");
            let root = space.split('.').next().unwrap_or_default();
            let shadowed = self.locals.iter().any(|local| local == root)
                || self.variables.iter().any(|variable| **variable == *root);
            if !shadowed && !matches!(self.environment.find(&full, false, 0), Found::Unknown) {
                return self.function(id, &full, false, None, arguments);
            }
        }
        self.function(id, name, true, Some(target), arguments)
    }

    fn function(
        &mut self,
        id: u64,
        name: &str,
        member: bool,
        target: Option<&IdedExpr>,
        arguments: &[IdedExpr],
    ) -> Node {
        let plain = name.strip_prefix('.').unwrap_or(name);
        self.formatting += usize::from(plain == "format");
        let given: Vec<&IdedExpr> = target.into_iter().chain(arguments).collect();
        let nodes: Vec<Node> = given.iter().map(|argument| self.node(argument)).collect();
        self.formatting -= usize::from(plain == "format");
        let mismatch = |nodes: &[Node]| {
            let shown = constants::signature(member, nodes);
            format!("found no matching overload for '{plain}' applied to '{shown}'")
        };
        let callees = match self.environment.find(plain, member, nodes.len()) {
            Found::Callees(callees) => callees,
            Found::Unknown => return self.undeclared(id, plain),
            Found::Mismatch => return self.issue(id, mismatch(&nodes)),
        };
        match constants::call(plain, &callees, &nodes, self.is_literal_checked()) {
            constants::Outcome::Constant(value) => Node::Literal(value),
            constants::Outcome::Mismatch if self.literals == Literals::Unchecked => {
                self.issue(id, mismatch(&nodes))
            }
            constants::Outcome::Invalid => {
                let place = given.last().map_or(id, |argument| argument.id);
                self.issue(place, format!("invalid {plain} argument"))
            }
            constants::Outcome::Fails(message) => self.issue(id, message),
            constants::Outcome::Later
                if constants::in_nothing(plain, &nodes) && !self.environment.is_strict() =>
            {
                Node::Literal(Value::Bool(false))
            }
            constants::Outcome::Later | constants::Outcome::Mismatch => {
                if self.doomed.is_none() {
                    self.doomed = constants::failure(plain, &callees, &nodes);
                }
                let path = self.call_path(plain, member, &nodes);
                Node::Call(Box::new(Call { name: plain.into(), callees, arguments: nodes, path }))
            }
        }
    }

    /// The text of a member call on a path with literal arguments: `header.match("X", "y")`.
    fn call_path(&self, name: &str, member: bool, nodes: &[Node]) -> Option<Arc<str>> {
        let (target, rest) = nodes.split_first().filter(|_| member)?;
        let target = self.path_of(target)?;
        let literals: Option<Vec<String>> = rest
            .iter()
            .map(|node| match node {
                Node::Literal(Value::String(text)) => Some(format!("{text:?}")),
                Node::Literal(value) => value.to_json().ok().map(|json| json.to_string()),
                _ => None,
            })
            .collect();
        Some(format!("{target}.{name}({})", literals?.join(", ")).into())
    }
}

/// For a macro of this name and argument count: what it gives, its names, whether it filters.
fn fold_shape(name: &str, count: usize) -> Option<(FoldKind, usize, bool)> {
    Some(match (name, count) {
        ("all", 2) => (FoldKind::All, 1, false),
        ("all", 3) => (FoldKind::All, 2, false),
        ("exists", 2) => (FoldKind::Exists, 1, false),
        ("exists", 3) => (FoldKind::Exists, 2, false),
        ("exists_one", 2) => (FoldKind::ExistsOne, 1, false),
        ("exists_one" | "existsOne", 3) => (FoldKind::ExistsOne, 2, false),
        ("map", 2) => (FoldKind::List, 1, false),
        ("map", 3) => (FoldKind::List, 1, true),
        ("filter", 2) => (FoldKind::Filter, 1, false),
        ("transformList", 3) => (FoldKind::List, 2, false),
        ("transformList", 4) => (FoldKind::List, 2, true),
        ("transformMap", 3) => (FoldKind::Map, 2, false),
        ("transformMap", 4) => (FoldKind::Map, 2, true),
        ("transformMapEntry", 3) => (FoldKind::MapEntry, 2, false),
        ("transformMapEntry", 4) => (FoldKind::MapEntry, 2, true),
        ("sortBy", 2) => (FoldKind::SortBy, 1, false),
        _ => return None,
    })
}

/// The dotted name an expression spells, if it is one.
fn dotted(expression: &Expr) -> Option<String> {
    let mut parts = Vec::new();
    let mut expression = expression;
    loop {
        match expression {
            Expr::Ident(name) => {
                parts.push(name.as_str());
                parts.reverse();
                return Some(parts.join("."));
            }
            // No name of ours has more parts; a longer chain is a path.
            Expr::Select(select) if parts.len() < 3 => {
                parts.push(&select.field);
                expression = &select.operand.expr;
            }
            _ => return None,
        }
    }
}

pub(crate) fn value_of(literal: &LiteralValue) -> Value {
    match literal {
        LiteralValue::Boolean(truth) => Value::Bool(*truth.inner()),
        LiteralValue::Bytes(bytes) => Value::Bytes(bytes.inner().into()),
        LiteralValue::Double(number) => Value::Double(*number.inner()),
        LiteralValue::Int(number) => Value::Int(*number.inner()),
        LiteralValue::Null => Value::Null,
        LiteralValue::String(text) => Value::from(&Key::String(text.inner().into())),
        LiteralValue::UInt(number) => Value::Uint(*number.inner()),
    }
}

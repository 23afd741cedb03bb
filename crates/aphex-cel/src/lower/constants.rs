//! What can be said of an expression before it runs: constants computed, literals checked.
//!
//! cel-go computes constant lists, maps and conversions when it builds a program, so that they cost
//! nothing later. Kubernetes also refuses literals that can only fail (`cel/validator.go`).

use super::Lowering;
use crate::ast::Node;
use crate::environment::Callee;
use crate::error::Fault;
use crate::eval::Scope;
use crate::functions;
use crate::value::{Map, Value};

/// Functions whose result for a constant is a constant.
const CONVERSIONS: &[&str] =
    &["int", "uint", "double", "string", "bytes", "bool", "duration", "timestamp", "type"];
/// Enough for any conversion; a costlier call is left for later.
const BUDGET: u64 = 10_000;

/// A list whose elements are all constants is one itself.
pub(super) fn list(elements: Vec<(Node, bool)>) -> Node {
    let constant = |(node, optional): &(Node, bool)| match node {
        Node::Literal(value) if !optional => Some(value.clone()),
        _ => None,
    };
    match elements.iter().map(constant).collect::<Option<Vec<Value>>>() {
        Some(values) => Node::Literal(Value::from(values)),
        None => Node::List(elements),
    }
}

/// A map whose entries are all constants is one itself, unless a key is none or repeats where it may not.
pub(super) fn map(entries: Vec<(Node, Node, bool)>, repeats: bool) -> Node {
    let mut map = Map::new();
    for entry in &entries {
        let (Node::Literal(key), Node::Literal(value), false) = entry else { return Node::Map(entries) };
        let Some(key) = key.as_key() else { return Node::Map(entries) };
        if map.insert(key, value.clone()).is_some() && !repeats {
            return Node::Map(entries);
        }
    }
    Node::Literal(Value::from(map))
}

/// Whether a call asks for a member of an empty list, which cel-go answers without looking for the member.
pub(super) fn in_nothing(name: &str, nodes: &[Node]) -> bool {
    name == "@in" && matches!(nodes, [_, Node::Literal(Value::List(items))] if items.is_empty())
}

/// What a call on constants comes to.
pub(super) enum Outcome {
    /// This constant.
    Constant(Value),
    /// An error: no function takes these.
    Mismatch,
    /// An error: the last argument cannot be read.
    Invalid,
    /// This error, whenever it would run.
    Fails(String),
    /// That is only known when it runs.
    Later,
}

/// Tries a call; `strict` is Kubernetes' refusal of literals that can only fail.
pub(super) fn call(name: &str, callees: &[Callee], nodes: &[Node], strict: bool) -> Outcome {
    if let ("matches", [_, Node::Literal(Value::String(pattern))]) = (name, nodes) {
        return if strict && functions::compile_pattern(pattern).is_err() {
            Outcome::Invalid
        } else {
            Outcome::Later
        };
    }
    let literal = |node: &Node| match node {
        Node::Literal(value) => Some(value.clone()),
        _ => None,
    };
    let Some(arguments) = nodes.iter().map(literal).collect::<Option<Vec<Value>>>() else {
        return Outcome::Later;
    };
    let mut scope = Scope::new(BUDGET);
    for callee in callees {
        let Callee::Builtin(function) = callee else { return Outcome::Later };
        match (function.run)(&mut scope, &arguments) {
            Err(Fault::NoOverload) => {}
            Err(_) if strict && matches!(name, "duration" | "timestamp") => {
                return Outcome::Invalid;
            }
            Err(Fault::Message(message)) if strict && name == "format" => return Outcome::Fails(message),
            Ok(value) if CONVERSIONS.contains(&name) => return Outcome::Constant(value),
            Ok(Value::Double(number)) if name == "-_" => return Outcome::Constant(Value::Double(number)),
            _ => return Outcome::Later,
        }
    }
    Outcome::Mismatch
}

/// What a conversion of a constant, or a constant pattern, can only fail with.
pub(super) fn failure(name: &str, callees: &[Callee], nodes: &[Node]) -> Option<String> {
    match (name, nodes) {
        ("matches" | "find" | "findAll", [_, Node::Literal(Value::String(pattern)), ..]) => {
            functions::compile_pattern(pattern).err()
        }
        // Go's times reach some hours further than ours: such a one fails where it is come to, not before.
        ("timestamp", [Node::Literal(Value::String(text))]) if text.starts_with("9999-12-3") => None,
        (_, [Node::Literal(value)]) if CONVERSIONS.contains(&name) => {
            let mut scope = Scope::new(BUDGET);
            let mut unfit = false;
            let failed = callees.iter().find_map(|callee| match callee {
                Callee::Builtin(function) => match (function.run)(&mut scope, std::slice::from_ref(value)) {
                    Err(Fault::Message(message)) => Some(message),
                    Err(Fault::NoOverload) => {
                        unfit = true;
                        None
                    }
                    _ => None,
                },
                Callee::Extension(_) => None,
            });
            let null = unfit && matches!(value, Value::Null);
            failed.or_else(|| null.then(|| format!("no such overload: {name}(null_type)")))
        }
        _ => None,
    }
}

/// cel-go's name for a constant that nothing can be looked up with.
pub(super) fn no_index(value: &Value) -> Option<&'static str> {
    Some(match value {
        Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::String(_) => return None,
        Value::List(_) => "*types.baseList",
        Value::Map(_) => "*types.baseMap",
        Value::Null => "types.Null",
        Value::Bytes(_) => "types.Bytes",
        Value::Timestamp(_) => "types.Timestamp",
        Value::Duration(_) => "types.Duration",
        _ => "*types.Type",
    })
}

impl Lowering<'_> {
    /// Notes the first element of another type than the one before it, where both are known.
    pub(super) fn check_same<'a>(&mut self, nodes: impl Iterator<Item = (u64, &'a Node)>) {
        let mut first: Option<String> = None;
        for (id, node) in nodes {
            let found = kind(node);
            if found.contains("dyn") {
                return;
            }
            match &first {
                None => first = Some(found),
                Some(expected) if *expected == found => {}
                Some(expected) => {
                    let message = format!("expected type '{expected}' but found '{found}'");
                    self.issue(id, message);
                    return;
                }
            }
        }
    }
}

/// The types of a call's arguments as cel-go shows them.
pub(super) fn signature(member: bool, nodes: &[Node]) -> String {
    let kinds: Vec<String> = nodes.iter().map(kind).collect();
    match kinds.split_first() {
        Some((target, rest)) if member => format!("{target}.({})", rest.join(", ")),
        _ => format!("({})", kinds.join(", ")),
    }
}

/// The type of a literal as cel-go writes it; of anything else, `dyn`.
fn kind(node: &Node) -> String {
    match node {
        Node::Literal(value) => kind_of(value),
        Node::List(items) => format!("list({})", common(items.iter().map(|(item, _)| kind(item)))),
        Node::Map(entries) => {
            let keys = common(entries.iter().map(|(key, _, _)| kind(key)));
            format!("map({keys}, {})", common(entries.iter().map(|(_, value, _)| kind(value))))
        }
        _ => "dyn".to_owned(),
    }
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Type(name) => format!("type({name})"),
        Value::Null => "null".to_owned(),
        Value::List(items) => format!("list({})", common(items.iter().map(kind_of))),
        Value::Map(map) => {
            let keys = common(map.keys().map(|key| kind_of(&Value::from(key))));
            format!("map({keys}, {})", common(map.values().map(kind_of)))
        }
        other => other.type_name().to_owned(),
    }
}

fn common(mut kinds: impl Iterator<Item = String>) -> String {
    let first = kinds.next().unwrap_or_else(|| "dyn".to_owned());
    if kinds.all(|kind| kind == first) { first } else { "dyn".to_owned() }
}

/// The type of a constant no macro can walk over.
pub(super) fn no_range(node: &Node) -> Option<String> {
    match node {
        Node::Literal(Value::List(_) | Value::Map(_)) => None,
        Node::Literal(value) => Some(kind_of(value)),
        _ => None,
    }
}

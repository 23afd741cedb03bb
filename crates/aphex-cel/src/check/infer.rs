//! The type of every part of an expression, and what does not fit: cel-go's checker.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cel::common::ast::operators as op;

use super::Declarations;
use super::signatures::{self, Overload};
use super::tree::{Entry, Expr, Id, Loop, Tree};
use super::types::{Kind, LETTERS, Object, Type};
use super::unify::Unifier;
use crate::environment::{Dialect, reserved_words};
use crate::error::{CompileError, Issues};
use crate::value::Value;

/// An expression with the type of every node.
#[derive(Debug)]
pub(crate) struct Typed {
    pub(crate) tree: Tree,
    pub(crate) types: Vec<Type>,
    /// The overloads each call may mean.
    pub(crate) overloads: Vec<Vec<&'static str>>,
    /// The names that were resolved.
    pub(crate) names: BTreeSet<Arc<str>>,
}

/// Infers all types, or says what is wrong, in the order it is found.
pub(super) fn infer(
    source: &str,
    tree: Tree,
    dialect: Dialect,
    declarations: &Declarations,
) -> Result<Typed, CompileError> {
    let count = tree.nodes.len();
    let mut inference = Inference {
        dialect,
        declarations,
        types: vec![Type::Error; count],
        overloads: vec![Vec::new(); count],
        names: BTreeSet::new(),
        scopes: Vec::new(),
        mixes: dialect == Dialect::Kubernetes,
        unifier: Unifier::new(count),
        issues: Issues::new(source),
        tree,
    };
    let root = inference.tree.root;
    inference.node(root);
    let Inference { tree, mut types, overloads, names, mut unifier, mut issues, .. } = inference;
    for found in &mut types {
        *found = unifier.resolve(found, false);
    }
    if unifier.is_exhausted() {
        issues = Issues::new(source);
        issues.at(0, "the types of the expression are too large to be checked");
    }
    issues.or(Typed { tree, types, overloads, names })
}

struct Inference<'a> {
    dialect: Dialect,
    declarations: &'a Declarations,
    tree: Tree,
    types: Vec<Type>,
    overloads: Vec<Vec<&'static str>>,
    names: BTreeSet<Arc<str>>,
    /// The names loops bind, the innermost last.
    scopes: Vec<(Arc<str>, Type)>,
    /// Whether numbers of different types may be ordered. Tekton does not let them, but cel-go forgets that with the
    /// first loop it comes to, for all that it looks at from then on.
    mixes: bool,
    unifier: Unifier,
    issues: Issues<'a>,
}

impl Inference<'_> {
    fn issue(&mut self, id: Id, message: impl Into<String>) {
        self.issues.at(self.tree.offsets[id], message);
    }

    fn undeclared(&mut self, id: Id, name: &str) -> Type {
        self.issue(id, format!("undeclared reference to '{name}' (in container '')"));
        Type::Error
    }

    fn mismatch(&mut self, id: Id, expected: &Type, found: &Type) {
        self.issue(id, format!("expected type '{expected}' but found '{found}'"));
    }

    fn node(&mut self, id: Id) -> Type {
        // Once given up, nothing more is asked of a type.
        if self.unifier.is_exhausted() {
            return Type::Error;
        }
        let found = match self.tree.get(id).clone() {
            Expr::Literal(value) => literal(&value),
            Expr::Ident(name) => self.name(id, &name),
            Expr::Select { operand, field, test } => self.select(id, operand, &field, test),
            Expr::Call { function, target, arguments } => self.call(id, &function, target, &arguments),
            Expr::List { elements } => self.list(&elements),
            Expr::Map { entries } => self.map(&entries),
            Expr::Struct { name, values } => self.message(id, &name, &values),
            Expr::Loop(walk) => self.walk(&walk),
        };
        self.types[id] = found.clone();
        found
    }

    fn lookup(&self, name: &str) -> Option<(Arc<str>, Type)> {
        let plain = name.strip_prefix('.').unwrap_or(name);
        if let Some((name, found)) = self.scopes.iter().rev().find(|(bound, _)| **bound == *plain) {
            return Some((Arc::clone(name), found.clone()));
        }
        if let Some((name, found)) = self.declarations.variable(plain) {
            return Some((Arc::clone(name), found.clone()));
        }
        Some((plain.into(), Type::of(type_named(plain, self.dialect)?)))
    }

    fn name(&mut self, id: Id, name: &str) -> Type {
        let Some((full, found)) = self.lookup(name) else { return self.undeclared(id, name) };
        self.tree.nodes[id] = Expr::Ident(Arc::clone(&full));
        self.names.insert(full);
        found
    }

    fn select(&mut self, id: Id, operand: Id, field: &Arc<str>, test: bool) -> Type {
        if !test
            && let Some(name) = self.tree.dotted(id)
            && let Some((full, found)) = self.lookup(&name)
        {
            self.tree.nodes[id] = Expr::Ident(Arc::clone(&full));
            self.names.insert(full);
            return found;
        }
        let found = self.field(id, operand, field, false);
        let found = if test { Type::Bool } else { found };
        self.unifier.resolve(&found, true)
    }

    fn field(&mut self, id: Id, operand: Id, field: &str, optional: bool) -> Type {
        let operand = self.node(operand);
        let operand = self.unifier.resolve(&operand, true);
        let inner = operand.unwrapped();
        let target = inner.unwrap_or(&operand);
        let result = match target {
            Type::Map(entry) => entry.1.clone(),
            Type::Object(object) => self.declared(id, object, field),
            Type::Param(_) => {
                self.unifier.assignable(&Type::Dyn, target);
                Type::Dyn
            }
            Type::Dyn | Type::Error => Type::Dyn,
            other => {
                let message = format!("type '{other}' does not support field selection");
                self.issue(id, message);
                Type::Dyn
            }
        };
        if inner.is_some() || optional { Type::optional(result) } else { result }
    }

    /// The type of a field of an object.
    fn declared(&mut self, id: Id, object: &Object, field: &str) -> Type {
        let Some(fields) = &object.fields else {
            self.issue(id, format!("unexpected failed resolution of '{}'", object.name));
            return Type::Error;
        };
        let found = fields.get(field).or_else(|| fields.get(keyword(field)?.as_str()));
        found.cloned().unwrap_or_else(|| {
            self.issue(id, format!("undefined field '{field}'"));
            Type::Error
        })
    }

    fn call(&mut self, id: Id, function: &Arc<str>, target: Option<Id>, arguments: &[Id]) -> Type {
        if let (op::OPT_SELECT, [operand, field]) = (&**function, arguments) {
            return self.optional_select(id, *operand, *field);
        }
        for argument in arguments {
            self.node(*argument);
        }
        let Some(target) = target else {
            let plain = function.strip_prefix('.').unwrap_or(function);
            let Some(overloads) = signatures::find(self.dialect, plain) else {
                return self.undeclared(id, function);
            };
            self.rename(id, plain);
            return self.overload(id, plain, overloads, None, arguments);
        };
        if let Some(space) = self.tree.dotted(target) {
            let full = format!("{space}.{function}");
            let plain = full.strip_prefix('.').unwrap_or(&full);
            if let Some(overloads) = signatures::find(self.dialect, plain) {
                self.rename(id, plain);
                return self.overload(id, plain, overloads, None, arguments);
            }
        }
        self.node(target);
        match signatures::find(self.dialect, function) {
            Some(overloads) => self.overload(id, function, overloads, Some(target), arguments),
            None => self.undeclared(id, function),
        }
    }

    /// Notes that a call is that of a function of this full name, without a receiver.
    fn rename(&mut self, id: Id, name: &str) {
        if let Expr::Call { function, target, .. } = &mut self.tree.nodes[id] {
            *function = name.into();
            *target = None;
        }
    }

    fn optional_select(&mut self, id: Id, operand: Id, field: Id) -> Type {
        let Expr::Literal(Value::String(name)) = self.tree.get(field).clone() else {
            self.issue(field, "unsupported optional field selection");
            return Type::Error;
        };
        let found = self.field(id, operand, &name, true);
        self.overloads[id] = vec!["select_optional_field"];
        self.unifier.resolve(&found, true)
    }

    fn overload(
        &mut self,
        id: Id,
        name: &str,
        overloads: &'static [Overload],
        target: Option<Id>,
        arguments: &[Id],
    ) -> Type {
        let given: Vec<Type> =
            target.iter().chain(arguments).map(|argument| self.types[*argument].clone()).collect();
        if matches!(name, op::LOGICAL_AND | op::LOGICAL_OR) && target.is_none() {
            return self.logic(id, overloads, arguments, &given);
        }
        let mut result: Option<Type> = None;
        let mut matching = Vec::new();
        let mixes = self.mixes;
        let offered =
            |overload: &&Overload| overload.member == target.is_some() && (mixes || !overload.mixed);
        for overload in overloads.iter().filter(offered) {
            let mut letters = HashMap::new();
            for letter in &overload.parameters {
                letters.insert(*letter, self.unifier.unknown());
            }
            let wanted: Vec<Type> =
                overload.arguments.iter().map(|wanted| Unifier::instance(wanted, &letters)).collect();
            if !self.unifier.all_assignable(&given, &wanted) {
                continue;
            }
            matching.push(overload.id);
            let found = Unifier::instance(&overload.result, &letters);
            let found = self.unifier.resolve(&found, true);
            result = Some(match result {
                None => found,
                Some(before) if before.kind() == Kind::Dyn || self.unifier.same(&found, &before) => before,
                Some(_) => Type::Dyn,
            });
        }
        let Some(result) = result else {
            let shown = self.signature(target.is_some(), &given);
            self.issue(id, format!("found no matching overload for '{name}' applied to '{shown}'"));
            return Type::Error;
        };
        self.overloads[id] = matching;
        result
    }

    fn logic(&mut self, id: Id, overloads: &'static [Overload], arguments: &[Id], given: &[Type]) -> Type {
        let mut result = Type::Bool;
        for (argument, found) in arguments.iter().zip(given) {
            if !self.unifier.assignable(found, &Type::Bool) {
                self.mismatch(*argument, &Type::Bool, found);
                result = Type::Error;
            }
        }
        if matches!(result, Type::Bool) {
            self.overloads[id] = overloads.iter().map(|overload| overload.id).collect();
        }
        result
    }

    fn signature(&mut self, member: bool, given: &[Type]) -> String {
        let shown: Vec<String> =
            given.iter().map(|found| self.unifier.resolve(found, false).to_string()).collect();
        match shown.split_first() {
            Some((target, rest)) if member => format!("{target}.({})", rest.join(", ")),
            _ => format!("({})", shown.join(", ")),
        }
    }

    fn join(&mut self, before: Option<Type>, found: &Type) -> Type {
        let Some(before) = before else { return found.clone() };
        // Mixed literals are refused later, where their types are known in full.
        if self.unifier.assignable(&before, found) {
            self.unifier.more_general(&before, found)
        } else {
            Type::Dyn
        }
    }

    /// The type inside an element marked optional.
    fn element(&mut self, id: Id, found: Type, optional: bool) -> Type {
        if !optional {
            return found;
        }
        if let Some(inner) = found.unwrapped() {
            return inner.clone();
        }
        if !matches!(found, Type::Dyn) {
            self.mismatch(id, &Type::optional(found.clone()), &found);
        }
        found
    }

    fn list(&mut self, elements: &[(Id, bool)]) -> Type {
        let mut joined = None;
        for (id, optional) in elements {
            let found = self.node(*id);
            let found = self.element(*id, found, *optional);
            joined = Some(self.join(joined, &found));
        }
        Type::list(joined.unwrap_or_else(|| self.unifier.unknown()))
    }

    fn map(&mut self, entries: &[Entry]) -> Type {
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            let key = self.node(entry.key);
            keys = Some(self.join(keys, &key));
            let value = self.node(entry.value);
            let value = self.element(entry.value, value, entry.optional);
            values = Some(self.join(values, &value));
        }
        let key = keys.unwrap_or_else(|| self.unifier.unknown());
        let value = values.unwrap_or_else(|| self.unifier.unknown());
        Type::map(key, value)
    }

    /// A message literal: there are no messages, only names that may not be one.
    fn message(&mut self, id: Id, name: &str, values: &[Id]) -> Type {
        match self.lookup(name).map(|(_, found)| found) {
            None => return self.undeclared(id, name),
            Some(Type::Type(Some(inner))) => {
                self.issue(id, format!("'{}' is not a message type", inner.name()));
            }
            Some(found) => self.issue(id, format!("'{}' is not a type", found.name())),
        }
        for value in values {
            self.node(*value);
        }
        Type::Error
    }

    fn walk(&mut self, walk: &Loop) -> Type {
        let range = self.node(walk.range);
        let start = self.node(walk.start);
        self.mixes = true;
        let range = self.unifier.resolve(&range, true);
        let before = self.scopes.len();
        self.scopes.push((Arc::clone(&walk.accumulator), start.clone()));
        let (first, second) = self.elements(walk, &range);
        self.scopes.push((Arc::clone(&walk.variable), first));
        if let Some(name) = &walk.second {
            self.scopes.push((Arc::clone(name), second));
        }
        self.node(walk.condition);
        self.expect(walk.condition, &Type::Bool);
        self.node(walk.step);
        self.expect(walk.step, &start);
        self.scopes.truncate(before + 1);
        let result = self.node(walk.result);
        self.scopes.truncate(before);
        self.unifier.resolve(&result, true)
    }

    /// The types of the variables of a loop over this.
    fn elements(&mut self, walk: &Loop, range: &Type) -> (Type, Type) {
        match range {
            Type::List(element) if walk.second.is_some() => (Type::Int, Type::clone(element)),
            Type::List(element) => (Type::clone(element), Type::Error),
            Type::Map(entry) => entry.as_ref().clone(),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.unifier.assignable(&Type::Dyn, range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.issue(walk.range, message);
                (Type::Error, Type::Error)
            }
        }
    }

    fn expect(&mut self, id: Id, wanted: &Type) {
        let found = self.types[id].clone();
        if !self.unifier.assignable(wanted, &found) {
            self.mismatch(id, wanted, &found);
        }
    }
}

/// The name a field whose own name is a reserved word is declared under: both may be written.
fn keyword(field: &str) -> Option<String> {
    reserved_words().contains(&field).then(|| format!("__{field}__"))
}

fn literal(value: &Value) -> Type {
    match value {
        Value::Bool(_) => Type::Bool,
        Value::Bytes(_) => Type::Bytes,
        Value::Double(_) => Type::Double,
        Value::Int(_) => Type::Int,
        Value::Null => Type::Null,
        Value::String(_) => Type::String,
        Value::Uint(_) => Type::Uint,
        _ => Type::Dyn,
    }
}

/// The type a name stands for where no variable does.
fn type_named(name: &str, dialect: Dialect) -> Option<Type> {
    let kubernetes = dialect == Dialect::Kubernetes;
    Some(match name {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "duration" | "google.protobuf.Duration" => Type::Duration,
        "int" => Type::Int,
        "list" => Type::list(Type::Param(LETTERS)),
        "map" => Type::map(Type::Param(LETTERS), Type::Param(LETTERS + 1)),
        "null_type" => Type::Null,
        "string" => Type::String,
        "timestamp" | "google.protobuf.Timestamp" => Type::Timestamp,
        "type" => Type::Type(None),
        "uint" => Type::Uint,
        "optional_type" if kubernetes => Type::optional(Type::Param(LETTERS + 21)),
        "net.IP" | "net.CIDR" if kubernetes => Type::Opaque(name.into(), Arc::new([])),
        _ => return None,
    })
}

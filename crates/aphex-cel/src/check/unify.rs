//! Which type may stand for which, and what unknown types come to be: cel-go's assignability.

use std::collections::HashMap;
use std::sync::Arc;

use super::types::{Kind, LETTERS, Type};

/// Steps a check may take whatever the size of the text.
const FUEL: u64 = 20_000;
/// And for every node: a tenfold of what expressions take.
const FUEL_PER_NODE: u64 = 400;

/// What unknown types were found to be.
#[derive(Debug)]
pub(crate) struct Unifier {
    known: HashMap<u32, Type>,
    /// What to put back when an attempt fails.
    undo: Vec<(u32, Option<Type>)>,
    next: u32,
    fuel: u64,
}

impl Unifier {
    /// Nothing known, and fuel for an expression of so many nodes.
    pub(crate) fn new(nodes: usize) -> Self {
        let fuel = FUEL + FUEL_PER_NODE * nodes as u64;
        Self { known: HashMap::new(), undo: Vec::new(), next: 0, fuel }
    }

    /// A type nothing is known of yet.
    pub(crate) fn unknown(&mut self) -> Type {
        self.next += 1;
        Type::Param(self.next - 1)
    }

    /// Whether the check had to be given up: types that share their parts can be larger than any text.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.fuel == 0
    }

    fn step(&mut self) -> bool {
        self.fuel = self.fuel.saturating_sub(1);
        self.fuel > 0
    }

    /// Whether `second` may be given where `first` is wanted; what it takes for that is kept if so.
    pub(crate) fn assignable(&mut self, first: &Type, second: &Type) -> bool {
        self.attempt(|this| this.fits(first, second))
    }

    /// The same for lists of types of one length, all or nothing.
    pub(crate) fn all_assignable(&mut self, first: &[Type], second: &[Type]) -> bool {
        first.len() == second.len()
            && self.attempt(|this| first.iter().zip(second).all(|(first, second)| this.fits(first, second)))
    }

    fn attempt(&mut self, attempt: impl FnOnce(&mut Self) -> bool) -> bool {
        self.undo.clear();
        if attempt(self) {
            return true;
        }
        while let Some((number, before)) = self.undo.pop() {
            match before {
                Some(before) => self.known.insert(number, before),
                None => self.known.remove(&number),
            };
        }
        false
    }

    fn learn(&mut self, number: u32, found: Type) {
        let before = self.known.insert(number, found);
        self.undo.push((number, before));
    }

    fn fits(&mut self, first: &Type, second: &Type) -> bool {
        if !self.step() {
            return true;
        }
        if let Type::Param(number) = second {
            let (valid, known) = self.may_be(first, *number, second);
            if valid || known {
                return valid;
            }
        }
        if let Type::Param(number) = first {
            return self.may_be(second, *number, first).0;
        }
        if first.is_dyn_or_error() || second.is_dyn_or_error() {
            return true;
        }
        match (first.kind(), second.kind()) {
            (Kind::Null, _) => takes_null(second),
            (_, Kind::Null) => takes_null(first),
            (Kind::Type, other) => other == Kind::Type,
            (Kind::Opaque | Kind::List | Kind::Map, kind) => {
                let (left, right) = (first.parameters(), second.parameters());
                first.kind() == kind
                    && first.name() == second.name()
                    && left.len() == right.len()
                    && left.into_iter().zip(right).all(|(left, right)| self.fits(left, right))
            }
            _ => self.same(first, second),
        }
    }

    /// Whether the unknown type may be `found`, and whether something was known of it before.
    fn may_be(&mut self, found: &Type, number: u32, unknown: &Type) -> (bool, bool) {
        if self.same(found, unknown) {
            return (true, true);
        }
        if let Some(before) = self.known.get(&number).cloned() {
            if self.same(found, &before) {
                return (true, true);
            }
            if !self.fits(found, &before) {
                return (false, true);
            }
            let general = self.more_general(found, &before);
            if self.is_free_of(&general, number) {
                self.learn(number, general);
            }
            return (true, true);
        }
        if self.is_free_of(found, number) {
            self.learn(number, found.clone());
            return (true, false);
        }
        (false, false)
    }

    /// Whether the types are the same, parameters by name.
    pub(crate) fn same(&mut self, first: &Type, second: &Type) -> bool {
        if !self.step() {
            return true;
        }
        match (first, second) {
            (Type::Param(first), Type::Param(second)) => first == second,
            (Type::List(first), Type::List(second)) if Arc::ptr_eq(first, second) => true,
            (Type::Map(first), Type::Map(second)) if Arc::ptr_eq(first, second) => true,
            _ => {
                let (left, right) = (first.parameters(), second.parameters());
                first.kind() == second.kind()
                    && first.name() == second.name()
                    && left.len() == right.len()
                    && left.into_iter().zip(right).all(|(left, right)| self.same(left, right))
            }
        }
    }

    /// The one of two compatible types that says less.
    pub(crate) fn more_general(&mut self, first: &Type, second: &Type) -> Type {
        if self.says_less(first, second) { first.clone() } else { second.clone() }
    }

    fn says_less(&mut self, first: &Type, second: &Type) -> bool {
        if !self.step() {
            return true;
        }
        let open = |kind| matches!(kind, Kind::Dyn | Kind::Param);
        let (left, right) = (first.kind(), second.kind());
        if open(left) {
            return true;
        }
        if open(right) || left != right {
            return false;
        }
        match left {
            Kind::Opaque | Kind::List | Kind::Map => {
                let (parts, others) = (first.parameters(), second.parameters());
                first.name() == second.name()
                    && parts.len() == others.len()
                    && parts.into_iter().zip(others).all(|(first, second)| self.says_less(first, second))
            }
            Kind::Type => true,
            _ => self.same(first, second),
        }
    }

    /// Whether the unknown type does not occur in what it would be.
    fn is_free_of(&mut self, within: &Type, number: u32) -> bool {
        if !self.step() {
            return true;
        }
        match within {
            Type::Param(other) if *other == number => false,
            Type::Param(other) => match self.known.get(other).cloned() {
                Some(known) => self.is_free_of(&known, number),
                None => true,
            },
            other => other.parameters().into_iter().all(|part| self.is_free_of(part, number)),
        }
    }

    /// The type with all that is known filled in; `open` is whether what is unknown stays so or becomes `dyn`.
    pub(crate) fn resolve(&mut self, found: &Type, open: bool) -> Type {
        if !self.step() {
            return Type::Dyn;
        }
        match found {
            Type::Param(number) => match self.known.get(number).cloned() {
                Some(known) => self.resolve(&known, open),
                None if open => found.clone(),
                None => Type::Dyn,
            },
            Type::List(element) => Type::list(self.resolve(element, open)),
            Type::Map(entry) => Type::map(self.resolve(&entry.0, open), self.resolve(&entry.1, open)),
            Type::Opaque(name, parameters) => {
                let parameters = parameters.iter().map(|part| self.resolve(part, open)).collect();
                Type::Opaque(Arc::clone(name), parameters)
            }
            Type::Type(Some(inner)) => Type::of(self.resolve(inner, open)),
            other => other.clone(),
        }
    }

    /// A declared type with fresh unknowns for its letters.
    pub(crate) fn instance(found: &Type, letters: &HashMap<u32, Type>) -> Type {
        match found {
            Type::Param(letter) if *letter < LETTERS => {
                letters.get(letter).cloned().unwrap_or_else(|| found.clone())
            }
            Type::List(element) => Type::list(Self::instance(element, letters)),
            Type::Map(entry) => {
                Type::map(Self::instance(&entry.0, letters), Self::instance(&entry.1, letters))
            }
            Type::Opaque(name, parameters) => {
                let parameters = parameters.iter().map(|part| Self::instance(part, letters)).collect();
                Type::Opaque(Arc::clone(name), parameters)
            }
            Type::Type(Some(inner)) => Type::of(Self::instance(inner, letters)),
            other => other.clone(),
        }
    }
}

fn takes_null(found: &Type) -> bool {
    matches!(found.kind(), Kind::Opaque | Kind::Struct | Kind::Duration | Kind::Timestamp | Kind::Null)
}

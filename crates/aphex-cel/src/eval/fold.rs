//! The macros that walk lists and maps.
//!
//! Charges per element are those of the expressions cel-go expands the macros to.

use std::sync::Arc;

use super::{Eval, LIST_COST, Outcome, combine};
use crate::ast::{Fold, FoldKind, Node};
use crate::error::Fault;
use crate::functions::sort;
use crate::value::{Map, Value};

impl Eval<'_> {
    pub(super) fn fold(&mut self, fold: &Fold) -> Outcome {
        let pairs = pairs(&self.node(&fold.range)?, fold.two)?;
        match fold.kind {
            FoldKind::All => self.quantify(fold, pairs, false),
            FoldKind::Exists => self.quantify(fold, pairs, true),
            FoldKind::ExistsOne => self.exists_one(fold, pairs),
            FoldKind::List | FoldKind::Filter => self.gather(fold, pairs),
            FoldKind::Map | FoldKind::MapEntry => self.transform(fold, pairs),
            FoldKind::SortBy => self.sort_by(fold, pairs),
        }
    }

    /// Evaluates a part for one element.
    fn part(&mut self, part: &Node, pair: &(Value, Option<Value>)) -> Outcome {
        let before = self.locals.len();
        self.locals.push(pair.0.clone());
        self.locals.extend(pair.1.clone());
        let outcome = self.node(part);
        self.locals.truncate(before);
        outcome
    }

    fn truth(&mut self, part: &Node, pair: &(Value, Option<Value>)) -> Result<bool, Fault> {
        match self.part(part, pair)? {
            Value::Bool(truth) => Ok(truth),
            _ => Err(Fault::NoOverload),
        }
    }

    /// `all` and `exists`: as `&&` and `||` over the elements, errors included.
    fn quantify(&mut self, fold: &Fold, pairs: Pairs, wanted: bool) -> Outcome {
        let mut outcome = Ok(Value::Bool(!wanted));
        for pair in pairs {
            self.scope.charge(if wanted { 4 } else { 3 })?;
            let next = self.part(&fold.body, &pair);
            outcome = combine(wanted, outcome, next);
            match &outcome {
                Ok(Value::Bool(truth)) if *truth == wanted => {
                    // The loop's condition is looked at once more before it ends.
                    self.scope.charge(if wanted { 3 } else { 2 })?;
                    break;
                }
                Err(Fault::Cost) => return outcome,
                _ => {}
            }
        }
        self.scope.charge(1)?;
        outcome
    }

    fn exists_one(&mut self, fold: &Fold, pairs: Pairs) -> Outcome {
        let mut count = 0_usize;
        for pair in pairs {
            let truth = self.truth(&fold.body, &pair)?;
            self.scope.charge(if truth { 2 } else { 0 })?;
            count += usize::from(truth);
        }
        self.scope.charge(2)?;
        Ok(Value::Bool(count == 1))
    }

    /// `map`, `filter` and `transformList`.
    fn gather(&mut self, fold: &Fold, pairs: Pairs) -> Outcome {
        let mut items = Vec::new();
        for pair in pairs {
            let test = match fold.kind {
                FoldKind::Filter => Some(&fold.body),
                _ => fold.filter.as_ref(),
            };
            if let Some(test) = test
                && !self.truth(test, &pair)?
            {
                continue;
            }
            self.scope.charge(LIST_COST + 2)?;
            if fold.kind == FoldKind::Filter {
                self.scope.charge(1)?;
                items.push(pair.0);
            } else {
                items.push(self.part(&fold.body, &pair)?);
            }
        }
        self.scope.charge(1)?;
        Ok(Value::from(items))
    }

    /// `transformMap` and `transformMapEntry`.
    fn transform(&mut self, fold: &Fold, pairs: Pairs) -> Outcome {
        let mut map = Map::new();
        for pair in pairs {
            if let Some(filter) = &fold.filter
                && !self.truth(filter, &pair)?
            {
                continue;
            }
            self.scope.charge(3)?;
            let value = self.part(&fold.body, &pair)?;
            let entries = match (fold.kind, value) {
                (FoldKind::Map, value) => vec![(pair.0.as_key().ok_or(Fault::NoOverload)?, value)],
                (_, Value::Map(entries)) => {
                    entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
                }
                _ => return Err(Fault::NoOverload),
            };
            for (key, value) in entries {
                if map.contains_key(&key) {
                    return Err(Fault::new(format!("insert failed: key {key} already exists")));
                }
                map.insert(key, value);
            }
        }
        self.scope.charge(1)?;
        Ok(Value::from(map))
    }

    fn sort_by(&mut self, fold: &Fold, pairs: Pairs) -> Outcome {
        let mut keyed = Vec::with_capacity(pairs.len());
        for pair in pairs {
            self.scope.charge(LIST_COST + 2)?;
            keyed.push((self.part(&fold.body, &pair)?, pair.0));
        }
        let count = keyed.len() as u64;
        self.scope.charge(LIST_COST + 2 + count.saturating_pow(2).saturating_mul(2))?;
        let sorted = sort(keyed)?;
        Ok(Value::List(Arc::new(sorted)))
    }
}

type Pairs = Vec<(Value, Option<Value>)>;

/// What the macro's names are bound to, element by element.
fn pairs(range: &Value, two: bool) -> Result<Pairs, Fault> {
    Ok(match range {
        Value::List(items) if two => {
            (0_i64..).zip(items.iter()).map(|(at, item)| (Value::Int(at), Some(item.clone()))).collect()
        }
        Value::List(items) => items.iter().map(|item| (item.clone(), None)).collect(),
        Value::Map(map) => {
            map.iter().map(|(key, value)| (Value::from(key), two.then(|| value.clone()))).collect()
        }
        other => {
            return Err(Fault::new(format!("got '{}', expected iterable type", go_type(other))));
        }
    })
}

/// The name cel-go's own code has for a type.
fn go_type(value: &Value) -> String {
    match value {
        Value::Duration(_) => "types.Duration".into(),
        Value::Timestamp(_) => "types.Timestamp".into(),
        Value::Optional(_) => "*types.Optional".into(),
        Value::Null => "types.Null".into(),
        other => {
            let name = other.type_name();
            let (first, rest) = name.split_at(1);
            format!("types.{}{rest}", first.to_uppercase())
        }
    }
}

//! Tables of defaults: which field gets which value where it is left out.
//!
//! Paths are dotted. `name` alone is made where it is absent, `name?` must be there for what is below it to get
//! defaults, and `name[]` stands for every element of a list or, with `name{}`, of a map.

use serde_json::{Value, json};

use crate::fields::map;

/// A default.
#[derive(Clone, Copy)]
pub(crate) enum Default {
    /// A text; an empty one counts as left out.
    Text(&'static str),
    /// A number; 0 counts as given.
    Number(i64),
    /// A number; 0 counts as left out.
    NonZero(i64),
    /// A truth.
    Bool(bool),
    /// An empty object.
    Object,
    /// Null, which clients read as an unset time.
    Null,
}

/// Rows of paths and defaults.
pub(crate) type Table = &'static [(&'static str, Default)];

/// Fills in what an object leaves out.
pub(crate) fn fill(object: &mut Value, table: Table) {
    for (path, default) in table {
        descend(object, path, *default);
    }
}

/// Does something with every value that a path stands for; nothing is made on the way.
pub(crate) fn each(object: &mut Value, path: &str, change: &mut dyn FnMut(&mut Value)) {
    let (step, rest) = path.split_once('.').map_or((path, None), |(step, rest)| (step, Some(rest)));
    let mut go = |value: &mut Value| match rest {
        Some(rest) => each(value, rest, change),
        None => change(value),
    };
    if let Some(name) = step.strip_suffix("[]") {
        object.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().for_each(go);
    } else if let Some(name) = step.strip_suffix("{}") {
        let below = object.get_mut(name).and_then(Value::as_object_mut);
        below.into_iter().flat_map(|map| map.values_mut()).for_each(go);
    } else if let Some(value) = object.get_mut(step).filter(|value| !value.is_null()) {
        go(value);
    }
}

fn descend(object: &mut Value, path: &str, default: Default) {
    let Some((step, rest)) = path.split_once('.') else { return set(object, path, default) };
    if let Some(name) = step.strip_suffix("[]") {
        let list = object.get_mut(name).and_then(Value::as_array_mut);
        list.into_iter().flatten().for_each(|item| descend(item, rest, default));
    } else if let Some(name) = step.strip_suffix('?') {
        if let Some(below) = object.get_mut(name).filter(|below| !below.is_null()) {
            descend(below, rest, default);
        }
    } else if object.is_object() || object.is_null() {
        descend(map(object).entry(step).or_insert(Value::Null), rest, default);
    }
}

fn set(object: &mut Value, field: &str, default: Default) {
    if !object.is_object() && !object.is_null() {
        return;
    }
    let slot = map(object).entry(field).or_insert(Value::Null);
    let absent = match default {
        Default::Text(_) => slot.is_null() || slot == "",
        Default::NonZero(_) => slot.is_null() || slot == 0,
        _ => slot.is_null(),
    };
    if absent {
        *slot = match default {
            Default::Text(text) => json!(text),
            Default::Number(number) | Default::NonZero(number) => json!(number),
            Default::Bool(truth) => json!(truth),
            Default::Object => json!({}),
            Default::Null => Value::Null,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_left_out_is_filled_in() {
        let mut object = json!({"list": [{"a": 0}, {"a": null, "t": ""}], "zero": 0});
        fill(
            &mut object,
            &[
                ("list[].a", Default::Number(7)),
                ("list[].t", Default::Text("x")),
                ("zero", Default::NonZero(3)),
                ("absent?.b", Default::Bool(true)),
                ("made.c", Default::Object),
            ],
        );
        let wanted = json!({"list": [{"a": 0, "t": "x"}, {"a": 7, "t": "x"}], "zero": 3, "made": {"c": {}}});
        assert_eq!(object, wanted);
    }
}

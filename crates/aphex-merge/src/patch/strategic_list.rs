//! Lists of a strategic merge patch: merging by key and keeping everyone's order.

use std::mem::discriminant;

use serde_json::Value;

use super::strategic::{DIRECTIVE, ListRule, PatchError, merge_map};
use crate::path::equal;

/// Merges two lists; with `deletes`, removes the second's scalars from the first.
pub(super) fn merge_list(
    original: Vec<Value>,
    patch: Vec<Value>,
    rule: &ListRule<'_>,
    deletes: bool,
) -> Result<Vec<Value>, PatchError> {
    let Some(of_maps) = element_type(&[&original, &patch])? else { return Ok(original) };
    if !of_maps {
        if deletes {
            return Ok(original.into_iter().filter(|item| !contains(&patch, item)).collect());
        }
        let mut merged = original.clone();
        for item in &patch {
            if !contains(&merged, item) {
                merged.push(item.clone());
            }
        }
        return order_by(merged, &patch, &original, "");
    }
    if rule.key.is_empty() {
        return Err(PatchError::Mismatch("cannot merge lists without merge key for struct".to_owned()));
    }
    let (original, patch) = special_elements(original, patch, rule.key)?;
    let mut merged = original.clone();
    for item in &patch {
        let Some(key) = item.get(rule.key) else { return Err(PatchError::no_merge_key(item, rule.key)) };
        match merged.iter().position(|other| other.get(rule.key).is_some_and(|other| equal(other, key))) {
            None => merged.push(item.clone()),
            Some(position) => {
                if let (Value::Object(before), Value::Object(item)) = (merged[position].take(), item.clone())
                {
                    merged[position] = Value::Object(merge_map(before, item, rule.items)?);
                }
            }
        }
    }
    order_by(merged, &patch, &original, rule.key)
}

/// Whether the lists hold objects; none when both are empty.
fn element_type(lists: &[&[Value]]) -> Result<Option<bool>, PatchError> {
    let mut items = lists.iter().flat_map(|list| list.iter());
    let Some(first) = items.next() else { return Ok(None) };
    if first.is_array() {
        return Err(PatchError::LIST_OF_LISTS);
    }
    if items.all(|item| discriminant(item) == discriminant(first)) {
        return Ok(Some(first.is_object()));
    }
    let all: Vec<String> =
        lists.iter().map(|list| crate::typed::go_value(&Value::Array(list.to_vec()))).collect();
    Err(PatchError::Mismatch(format!("list element types are not identical: [{}]", all.join(" "))))
}

/// Obeys the patch elements that are directives; the rest comes back with what is left of the original.
fn special_elements(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut rest = Vec::with_capacity(patch.len());
    let mut replace = false;
    for item in patch {
        let Some(directive) = item.get(DIRECTIVE) else {
            rest.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let Some(value) = item.get(key) else { return Err(PatchError::no_merge_key(&item, key)) };
                original.retain(|other| other.get(key).is_none_or(|other| !equal(other, value)));
            }
            Some("replace") => replace = true,
            Some("merge") => {
                return Err(PatchError::Mismatch(
                    "merging lists cannot yet be specified in the patch".to_owned(),
                ));
            }
            _ => return Err(PatchError::unknown_directive(directive, &item)),
        }
    }
    Ok(if replace { (rest, Vec::new()) } else { (original, rest) })
}

/// What tells an element apart: its merge key, or itself.
fn identity<'v>(item: &'v Value, key: &str) -> &'v Value {
    if key.is_empty() { item } else { item.get(key).unwrap_or(&Value::Null) }
}

fn contains(list: &[Value], item: &Value) -> bool {
    list.iter().any(|other| equal(other, item))
}

fn index(list: &[Value], item: &Value, key: &str) -> Option<usize> {
    let wanted = identity(item, key);
    list.iter().position(|other| equal(identity(other, key), wanted))
}

fn require_key(list: &[Value], key: &str) -> Result<(), PatchError> {
    for item in list.iter().filter(|_| !key.is_empty()) {
        match item {
            Value::Object(fields) if fields.contains_key(key) => {}
            Value::Object(_) => return Err(PatchError::no_merge_key(item, key)),
            other => return Err(PatchError::wrong_type("map[string]interface {}", other)),
        }
    }
    Ok(())
}

/// Orders a merged list: patched elements as `order` has them, the others as the live list had them, interleaved.
pub(super) fn order_by(
    merged: Vec<Value>,
    order: &[Value],
    live: &[Value],
    key: &str,
) -> Result<Vec<Value>, PatchError> {
    for list in [merged.as_slice(), order, live] {
        require_key(list, key)?;
    }
    let (mut patched, mut others): (Vec<_>, Vec<_>) =
        merged.into_iter().partition(|item| index(order, item, key).is_some());
    patched.sort_by_key(|item| index(order, item, key));
    others.sort_by_key(|item| index(live, item, key));
    let mut out = Vec::with_capacity(patched.len() + others.len());
    let (mut patched, mut others) = (patched.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let other_first = match (others.peek(), patched.peek()) {
            (None, None) => return Ok(out),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(patched)) => {
                matches!((index(live, other, key), index(live, patched, key)), (Some(o), Some(p)) if o < p)
            }
        };
        out.extend(if other_first { others.next() } else { patched.next() });
    }
}

/// Verifies that the patch has its elements in the order it demands, and no others.
pub(super) fn check_order(patch: &[Value], order: &[Value], key: &str) -> Result<(), PatchError> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut wanted = order.iter();
    for item in patch.iter().filter(|item| item.get(DIRECTIVE).is_none()) {
        require_key(std::slice::from_ref(item), key)?;
        if !wanted.any(|wanted| equal(identity(wanted, key), identity(item, key))) {
            let (patch, order) = (Value::Array(patch.to_vec()), Value::Array(order.to_vec()));
            return Err(PatchError::Mismatch(format!(
                "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                crate::typed::go_value(&patch),
                crate::typed::go_value(&order)
            )));
        }
    }
    Ok(())
}

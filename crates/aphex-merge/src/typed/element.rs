//! The path element that stands for a list element.

use serde_json::Value;

use crate::node::{Identity, ListShape};
use crate::path::{PathElement, Scalar};

/// Names the element of an associative list; the error says why it cannot be told apart from others.
pub(super) fn identify(list: &ListShape<'_>, item: &Value) -> Result<PathElement, String> {
    match list.identity {
        Identity::Atomic => Err("invalid indexing of non-associative list".to_owned()),
        Identity::Keys([]) | Identity::Set => match item {
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null".to_owned())
            }
            scalar => Ok(PathElement::Value(Scalar(scalar.clone()))),
        },
        Identity::Keys(keys) => by_keys(list, keys, item),
    }
}

fn by_keys(list: &ListShape<'_>, keys: &[String], item: &Value) -> Result<PathElement, String> {
    let fields = match item {
        Value::Object(fields) => fields,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let element = list.element.shapes().map;
    let mut named = Vec::with_capacity(keys.len());
    for key in keys {
        let Some(shape) = &element else {
            return Err(format!(
                "couldn't find default value for {key}: associative list may not have non-map types"
            ));
        };
        // An element without the key and without a default for it is another element than any with it.
        let Some(value) = fields.get(key).or_else(|| shape.default_of(key)) else { continue };
        named.push((key.clone(), Scalar(value.clone())));
    }
    if named.is_empty() {
        let keys: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] \
             (and doesn't have default values for any key fields)",
            keys.join(" ")
        ));
    }
    named.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(PathElement::Key(named))
}

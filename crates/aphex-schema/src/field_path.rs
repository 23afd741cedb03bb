//! The `fieldPath` of a rule: which field below the node to blame (`.spec.a`, `['x.y']`).

use serde_json::Value;

use crate::path::Path;

/// One step of a path.
struct Step {
    name: String,
}

/// Whether a path leads to something the written schema declares.
pub(crate) fn is_field_path(path: &str, schema: &Value) -> bool {
    let Some(steps) = steps(path) else { return false };
    let mut node = schema;
    for step in steps {
        let below = match node.get("properties").filter(|properties| !properties.is_null()) {
            Some(properties) => properties.get(&step.name),
            None => node.get("additionalProperties").filter(|additional| additional.is_object()),
        };
        match below {
            Some(below) => node = below,
            None => return false,
        }
    }
    true
}

/// The path as field errors write it: map keys in brackets, fields after dots.
pub(crate) fn normalized(path: &str, schema: &crate::model::Schema) -> Path {
    let mut at = Path::root();
    let mut node = Some(schema);
    for step in steps(path).unwrap_or_default() {
        let declared = node.is_none_or(|node| !node.properties.is_empty());
        node = match node {
            Some(node) if declared => node.properties.get(&step.name),
            Some(node) => match &node.additional {
                crate::model::Additional::Each(each) => Some(each),
                _ => None,
            },
            None => None,
        };
        at = if declared { at.child(&step.name) } else { at.key(&step.name) };
    }
    at
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("['") {
            let (name, tail) = unquote(quoted)?;
            rest = tail.strip_prefix(']')?;
            steps.push(Step { name });
        } else {
            let tail = rest.strip_prefix('.')?;
            let end = tail.find(['.', '[', ']']).unwrap_or(tail.len());
            if end == 0 {
                return None;
            }
            steps.push(Step { name: tail[..end].to_owned() });
            rest = &tail[end..];
        }
    }
    Some(steps)
}

/// Reads up to the closing quote; gives the text and what follows the quote.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Some((name, &text[at + 1..])),
            '\\' => name.push(match chars.next()?.1 {
                'a' => '\u{7}',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                plain @ ('\\' | '\'' | '"') => plain,
                _ => return None,
            }),
            c => name.push(c),
        }
    }
    None
}

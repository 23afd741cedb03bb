//! Changing one value of a kubeconfig's text: every byte outside of what changes stays, comments too.
//!
//! What comes out is read again and compared with what was meant, so that a way of writing YAML that this does not
//! understand leads to an error, never to a damaged file.

use serde_json::{Map, Value, json};

use super::yaml::{self, Kind, Node, Yaml};

/// A step from a value into one of its parts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// The value of a key.
    Key(&'a str),
    /// The entry of a list with this `name`.
    Named(&'a str),
}

use Step::{Key, Named};

/// Why a text was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// It is no YAML, or not of the shape.
    #[error("it is no kubeconfig: {0}")]
    Shape(String),
    /// It is written in a way that cannot be changed safely.
    #[error("it is written in a way that cannot be changed safely; nothing was written")]
    Unsafe,
}

/// Reads a kubeconfig's text as a value; an empty one is an empty map.
pub(crate) fn read(text: &str) -> Result<Value, EditError> {
    let value: Value = if yaml::parse(text).map_err(EditError::Shape)?.is_none() {
        json!({})
    } else {
        serde_saphyr::from_str(text).map_err(|error| EditError::Shape(error.to_string()))?
    };
    if value.is_object() { Ok(value) } else { Err(EditError::Shape("not a mapping".to_owned())) }
}

/// Sets a value, with everything on the way to it that is missing; gives the new text.
pub(crate) fn set(text: &str, path: &[Step<'_>], value: &Yaml) -> Result<String, EditError> {
    let before = read(text)?;
    let wanted = value.value();
    if find(&before, path) == Some(&wanted) {
        return Ok(text.to_owned());
    }
    let mut expected = before;
    place(&mut expected, path, wanted);
    let edited = match yaml::parse(text).map_err(EditError::Shape)? {
        None => append_document(text, path, value),
        Some(root) => splice(text, &root, path, value),
    };
    checked(edited, &expected)
}

/// Takes a value away where it is there.
pub(crate) fn remove(text: &str, path: &[Step<'_>]) -> Result<String, EditError> {
    let mut expected = read(text)?;
    let (Some((Key(key), parents)), Some(root)) =
        (path.split_last(), yaml::parse(text).map_err(EditError::Shape)?)
    else {
        return Ok(text.to_owned());
    };
    let parent = parents.iter().try_fold(&root, |node, step| descend(node, step));
    let Some((parent, name, value)) =
        parent.and_then(|parent| parent.get(key).map(|(name, value)| (parent, name, value)))
    else {
        return Ok(text.to_owned());
    };
    if let Some(map) = find_mut(&mut expected, parents).and_then(Value::as_object_mut) {
        map.remove(*key);
    }
    let line = line_start(text, name.start);
    let alone = text.get(line..name.start).is_some_and(|before| before.trim().is_empty());
    let only = matches!(&parent.kind, Kind::Map(entries) if entries.len() == 1);
    let edited = if alone && !only && !parent.inline {
        let end = line_end(text, value.end);
        let next = (end + 1).min(text.len());
        format!("{}{}", &text[..line], &text[next..])
    } else {
        let Yaml::Map(mut entries) = Yaml::of(text, parent) else { return Err(EditError::Unsafe) };
        let at = match &parent.kind {
            Kind::Map(nodes) => nodes.iter().position(|(node, _)| node.start == name.start),
            _ => None,
        };
        entries.remove(at.ok_or(EditError::Unsafe)?);
        rewrite(text, parent, &Yaml::Map(entries))
    };
    checked(edited, &expected)
}

fn checked(edited: String, expected: &Value) -> Result<String, EditError> {
    match read(&edited) {
        Ok(value) if value == *expected => Ok(edited),
        _ => Err(EditError::Unsafe),
    }
}

fn descend<'n>(node: &'n Node, step: &Step<'_>) -> Option<&'n Node> {
    match step {
        Key(key) => node.get(key).map(|(_, value)| value),
        Named(name) => node.named(name),
    }
}

/// Walks down as far as the text goes, and changes it there.
fn splice(text: &str, root: &Node, path: &[Step<'_>], value: &Yaml) -> String {
    let mut node = root;
    for (at, step) in path.iter().enumerate() {
        let rest = &path[at + 1..];
        // What is in brackets or empty is written anew, in lines.
        if node.inline {
            return rewrite(text, node, &merged(Yaml::of(text, node), &path[at..], value));
        }
        match (step, &node.kind) {
            (Key(key), Kind::Map(_)) => match node.get(key) {
                Some((name, found))
                    if rest.is_empty() || found.inline || matches!(found.kind, Kind::Leaf(_)) =>
                {
                    let new = merged(Yaml::of(text, found), rest, value);
                    let colon = text[name.end..].find(':').map_or(name.end, |colon| name.end + colon + 1);
                    return format!(
                        "{}{}{}",
                        &text[..colon],
                        new.behind_key(node.column + 2),
                        &text[found.end..]
                    );
                }
                Some((_, found)) => node = found,
                None => {
                    let entry = Yaml::Map(vec![((*key).to_owned(), wrapped(rest, value))]);
                    return append(text, node, &entry.lines(node.column));
                }
            },
            (Named(name), Kind::List(_)) => {
                let Some(found) = node.named(name) else {
                    let item = Yaml::List(vec![wrapped(&path[at..], value).into_item()]);
                    return append(text, node, &item.lines(node.column));
                };
                node = found;
            }
            _ => return rewrite(text, node, &wrapped(&path[at..], value)),
        }
    }
    rewrite(text, node, value)
}

/// A text without a document gets one.
fn append_document(text: &str, path: &[Step<'_>], value: &Yaml) -> String {
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{gap}{}\n", wrapped(path, value).lines(0))
}

/// The value inside of everything on the way to it; a list's entry comes as a list of one.
fn wrapped(path: &[Step<'_>], value: &Yaml) -> Yaml {
    match path.split_first() {
        None => value.clone(),
        Some((Key(key), rest)) => Yaml::Map(vec![((*key).to_owned(), wrapped(rest, value))]),
        Some((Named(name), rest)) => {
            let mut entries = vec![("name".to_owned(), Yaml::text(*name))];
            if let Yaml::Map(more) = wrapped(rest, value) {
                entries.extend(more);
            }
            Yaml::List(vec![Yaml::Map(entries)])
        }
    }
}

/// A value with another set in it.
fn merged(old: Yaml, path: &[Step<'_>], value: &Yaml) -> Yaml {
    match (path.split_first(), old) {
        (None, _) => value.clone(),
        (Some((Key(key), rest)), Yaml::Map(mut entries)) => {
            match entries.iter_mut().find(|(name, _)| yaml::unquoted(name) == *key) {
                Some((_, held)) => *held = merged(held.clone(), rest, value),
                None => entries.push(((*key).to_owned(), wrapped(rest, value))),
            }
            Yaml::Map(entries)
        }
        (Some((Named(name), rest)), Yaml::List(mut items)) => {
            let held = items.iter_mut().find(|item| item.value()["name"] == **name);
            match held {
                Some(held) => *held = merged(held.clone(), rest, value),
                None => items.push(wrapped(path, value).into_item()),
            }
            Yaml::List(items)
        }
        (Some(_), _) => wrapped(path, value),
    }
}

impl Yaml {
    /// The only entry of a list of one.
    fn into_item(self) -> Yaml {
        match self {
            Yaml::List(mut items) if items.len() == 1 => items.remove(0),
            other => other,
        }
    }
}

/// Writes a node anew where it stands.
fn rewrite(text: &str, node: &Node, value: &Yaml) -> String {
    let line = line_start(text, node.start);
    let before = text.get(line..node.start).unwrap_or_default();
    let new = if before.trim().is_empty() || before.trim_end().ends_with('-') {
        value.within(node.start - line)
    } else {
        // Behind a key: on lines of its own, further in than the key.
        let indent = before.len() - before.trim_start_matches([' ', '-']).len();
        return format!(
            "{}{}{}",
            text[..node.start].trim_end_matches(' '),
            value.behind_key(indent + 2),
            &text[node.end..]
        );
    };
    format!("{}{new}{}", &text[..node.start], &text[node.end..])
}

/// Puts lines after the last of a node.
fn append(text: &str, node: &Node, lines: &str) -> String {
    let body = text[..node.end].trim_end_matches(['\n', '\r']).len();
    let end = line_end(text, body);
    let (head, tail) = text.split_at(end);
    let tail = if tail.is_empty() { "\n" } else { tail };
    format!("{head}\n{lines}{tail}")
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// The place of the line break after a place, or the end.
fn line_end(text: &str, at: usize) -> usize {
    // A block of lines ends at the beginning of the next.
    let at = if at > 0 && text[..at].ends_with('\n') { at - 1 } else { at };
    text[at..].find('\n').map_or(text.len(), |newline| at + newline)
}

fn find<'v>(value: &'v Value, path: &[Step<'_>]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, step| match step {
        Key(key) => value.get(key),
        Named(name) => value.as_array()?.iter().find(|item| item["name"] == **name),
    })
}

fn find_mut<'v>(value: &'v mut Value, path: &[Step<'_>]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, step| match step {
        Key(key) => value.get_mut(key),
        Named(name) => value.as_array_mut()?.iter_mut().find(|item| item["name"] == **name),
    })
}

/// The same change on the value: what the changed text must say.
fn place(value: &mut Value, path: &[Step<'_>], new: Value) {
    match path.split_first() {
        None => *value = new,
        Some((Key(key), rest)) => {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            if let Some(map) = value.as_object_mut() {
                place(map.entry(*key).or_insert(Value::Null), rest, new);
            }
        }
        Some((Named(name), rest)) => {
            if !value.is_array() {
                *value = json!([]);
            }
            let Some(items) = value.as_array_mut() else { return };
            let at = items.iter().position(|item| item["name"] == **name).unwrap_or_else(|| {
                items.push(json!({ "name": name }));
                items.len() - 1
            });
            place(&mut items[at], rest, new);
        }
    }
}

#[cfg(test)]
mod tests;

//! Where an overlay's key puts its value: the paths of sjson v1.2, which upstream sets its overlays with.
//!
//! A path's parts are divided by dots; `\` takes the next character as it is, and a number is a place in a list unless a
//! colon before it makes it a name. A path with one of `|#@*?` sets nothing anew: it changes what it finds, if anything.

use serde_json::{Map, Value as Json};

/// Most parts of a key: what is built from more would be nested too deeply to be read again.
const PARTS_MAX: usize = 100;
/// Most items that one key adds to lists so that its places are there.
const FILLED_MAX: usize = 1_000;
/// Characters that make a path a search.
const SEARCHES: [char; 5] = ['|', '#', '@', '*', '?'];

/// One part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    name: String,
    /// Written with a colon: a name, even where it is a number.
    named: bool,
}

/// What a part is where nothing is yet.
enum Step {
    Name,
    Place(usize),
    /// `-1`: behind the last item of a list.
    Append,
}

impl Part {
    fn new(text: &str) -> Self {
        let (named, text) = text.strip_prefix(':').map_or((false, text), |text| (true, text));
        let mut name = String::with_capacity(text.len());
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            name.extend(if c == '\\' { characters.next() } else { Some(c) });
        }
        Self { name, named }
    }

    fn step(&self) -> Step {
        if self.named {
            return Step::Name;
        }
        if self.name == "-1" {
            return Step::Append;
        }
        // An empty part is the number 0 to sjson.
        let digits = self.name.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            return Step::Name;
        }
        if self.name.is_empty() {
            Step::Place(0)
        } else {
            self.name.parse().map_or(Step::Place(usize::MAX), Step::Place)
        }
    }

    /// What there already is under this part.
    fn there<'a>(&self, at: &'a mut Json) -> Option<&'a mut Json> {
        match at {
            Json::Object(fields) => fields.get_mut(&self.name),
            Json::Array(items) => items.get_mut(self.name.parse::<usize>().ok()?),
            _ => None,
        }
    }
}

/// Sets the value at a path, or says why it cannot be set.
pub(in crate::interceptors) fn set(
    root: &mut Map<String, Json>,
    path: &str,
    value: Json,
) -> Result<(), String> {
    if path.is_empty() {
        return Err("path cannot be empty".to_owned());
    }
    let texts = divided(path);
    if texts.len() > PARTS_MAX {
        return Err(format!("the path has more than {PARTS_MAX} parts"));
    }
    let mut whole = Json::Object(std::mem::take(root));
    let done = if texts.iter().any(|text| is_search(text)) {
        if let Some(found) = found(&mut whole, &texts) {
            *found = value;
        }
        Ok(())
    } else {
        let parts: Vec<Part> = texts.into_iter().map(Part::new).collect();
        put(&mut whole, &parts, value)
    };
    if let Json::Object(fields) = whole {
        *root = fields;
    }
    done
}

/// A path's parts as they are written.
fn divided(path: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in path.char_indices() {
        if c == '.' && !escaped {
            parts.push(&path[start..at]);
            start = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    parts.push(&path[start..]);
    parts
}

fn is_search(part: &str) -> bool {
    let mut escaped = false;
    part.chars().any(|c| {
        let plain = !escaped;
        escaped = c == '\\' && plain;
        plain && SEARCHES.contains(&c)
    })
}

fn put(at: &mut Json, parts: &[Part], value: Json) -> Result<(), String> {
    let Some((first, behind)) = parts.split_first() else {
        *at = value;
        return Ok(());
    };
    match first.there(at) {
        Some(next) => put(next, behind, value),
        None => add(at, first, behind, value),
    }
}

/// Adds a part that is not there yet, and what is behind it.
fn add(at: &mut Json, first: &Part, behind: &[Part], value: Json) -> Result<(), String> {
    let mut left = FILLED_MAX;
    let step = first.step();
    if !at.is_object() && !at.is_array() {
        *at = if matches!(step, Step::Place(_)) { Json::Array(Vec::new()) } else { Json::Object(Map::new()) };
    }
    match (at, step) {
        (Json::Array(items), Step::Place(place)) => {
            fill(items, place, &mut left)?;
            items.push(built(behind, value, &mut left)?);
        }
        (Json::Array(items), Step::Append) => items.push(built(behind, value, &mut left)?),
        (Json::Array(_), Step::Name) => {
            return Err(format!("cannot set array element for non-numeric key '{}'", first.name));
        }
        (Json::Object(fields), _) => {
            fields.insert(first.name.clone(), built(behind, value, &mut left)?);
        }
        _ => {}
    }
    Ok(())
}

/// What the parts make where nothing is yet.
fn built(parts: &[Part], value: Json, left: &mut usize) -> Result<Json, String> {
    let mut made = value;
    for part in parts.iter().rev() {
        made = match part.step() {
            Step::Name => Json::Object(Map::from_iter([(part.name.clone(), made)])),
            Step::Append => Json::Array(vec![made]),
            Step::Place(place) => {
                let mut items = Vec::new();
                fill(&mut items, place, left)?;
                items.push(made);
                Json::Array(items)
            }
        };
    }
    Ok(made)
}

/// Makes a list long enough that the next item is at this place.
fn fill(items: &mut Vec<Json>, place: usize, left: &mut usize) -> Result<(), String> {
    let missing = place.saturating_sub(items.len());
    let too_long = || format!("the list would have to be filled with more than {FILLED_MAX} items");
    *left = left.checked_sub(missing).ok_or_else(too_long)?;
    items.resize(items.len() + missing, Json::Null);
    Ok(())
}

/// The first value that a search leads to.
fn found<'a>(at: &'a mut Json, parts: &[&str]) -> Option<&'a mut Json> {
    let Some((first, rest)) = parts.split_first() else { return Some(at) };
    // Behind a `|` a copy is looked at, and so it is with a list's `#`.
    if first.contains('|') {
        return None;
    }
    match at {
        Json::Object(fields) => {
            let pattern: Vec<char> = Part { named: false, ..Part::new(first) }.name.chars().collect();
            let fitting = fields.iter_mut().filter(|(name, _)| fits(name, &pattern));
            fitting.map(|(_, field)| field).find_map(|field| found(field, rest))
        }
        Json::Array(items) => found(items.get_mut(first.parse::<usize>().ok()?)?, rest),
        _ => None,
    }
}

/// Whether a name fits a pattern in which `*` stands for any characters and `?` for one.
fn fits(name: &str, pattern: &[char]) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut in_pattern) = (0, 0);
    // Where the last star is, and what of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(in_pattern) {
            Some('*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(c) if *c == '?' || *c == name[at] => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                (at, in_pattern) = (taken + 1, place + 1);
            }
        }
    }
    pattern[in_pattern..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn after(keys: &[(&str, Json)]) -> Result<Json, String> {
        let mut root = Map::new();
        for (key, value) in keys {
            set(&mut root, key, value.clone())?;
        }
        Ok(Json::Object(root))
    }

    #[test]
    fn overlays_are_set_at_dotted_paths() {
        let keys = [
            ("a", json!(1)),
            ("b.c.d", json!("x")),
            ("b.c.e", json!("y")),
            ("a.b", json!(2)),
            ("dotted\\.key", json!(3)),
            ("list.1.x", json!(4)),
            ("b.0", json!(5)),
        ];
        let expected = json!({
            "a": { "b": 2 }, "b": { "c": { "d": "x", "e": "y" }, "0": 5 }, "dotted.key": 3, "list": [null, { "x": 4 }],
        });
        assert_eq!(after(&keys), Ok(expected));
    }

    #[test]
    fn paths_mean_what_they_mean_to_sjson() {
        let list = || ("a", json!([1, 2]));
        for (keys, expected) in [
            (vec![list(), ("a.-1", json!("n"))], json!({ "a": [1, 2, "n"] })),
            (vec![list(), ("a.3", json!("n"))], json!({ "a": [1, 2, null, "n"] })),
            (vec![list(), ("a.", json!("n"))], json!({ "a": [1, 2, "n"] })),
            (vec![("a.-1", json!("n"))], json!({ "a": ["n"] })),
            (vec![("a", json!(1)), ("a.-1", json!("n"))], json!({ "a": { "-1": "n" } })),
            (vec![("a.:0", json!("n"))], json!({ "a": { "0": "n" } })),
            (vec![(":7", json!("n"))], json!({ "7": "n" })),
            (vec![("a..b", json!("n"))], json!({ "a": [{ "b": "n" }] })),
            (vec![("u@d", json!("n"))], json!({})),
            (vec![("ab", json!(1)), ("a*", json!("n"))], json!({ "ab": "n" })),
            (vec![("a", json!({ "u@d": 1 })), ("a.u@d", json!("n"))], json!({ "a": { "u@d": "n" } })),
            (vec![("a|b", json!("n"))], json!({})),
            (vec![("a\\*", json!("n"))], json!({ "a*": "n" })),
        ] {
            assert_eq!(after(&keys), Ok(expected), "{keys:?}");
        }
    }

    #[test]
    fn what_cannot_be_set_says_why() {
        assert_eq!(after(&[("", json!(1))]), Err("path cannot be empty".to_owned()));
        let words = "cannot set array element for non-numeric key 'x'";
        assert_eq!(after(&[("a", json!([1])), ("a.x", json!(1))]), Err(words.to_owned()));
        let many = ["1"; PARTS_MAX + 1].join(".");
        for path in ["a.1001", "a.18446744073709551616", "a.600.600", &many] {
            assert!(after(&[(path, json!(1))]).is_err(), "{path}");
        }
    }

    #[test]
    fn stars_stand_for_any_characters() {
        for (name, pattern, expected) in [
            ("abc", "a*", true),
            ("abc", "*c", true),
            ("abc", "a?c", true),
            ("abc", "*b", false),
            ("", "*", true),
        ] {
            assert_eq!(fits(name, &pattern.chars().collect::<Vec<_>>()), expected, "{name} {pattern}");
        }
    }
}

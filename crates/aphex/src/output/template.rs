//! `-o jsonpath=…`: text with expressions between braces, `range` and `end`, as kubectl has it.
//!
//! Expressions themselves are read by the gateway's JSONPath, which Tekton's `$(…)` is written in too. As kubectl does,
//! a key that is not there prints nothing, several values are printed with spaces between, and objects as JSON.

use aphex_gateway::jsonpath::{self, JsonPathError};
use serde_json::Value;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Path(String),
    Range(String, Vec<Part>),
}

impl Template {
    /// Reads a template; one without any brace is taken for an expression.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if !text.contains('{') {
            return Ok(Self(vec![path(text)?]));
        }
        let mut rest = text;
        let parts = parts(&mut rest, false)?;
        Ok(Self(parts))
    }

    /// The text for a document.
    pub(crate) fn render(&self, document: &Value) -> anyhow::Result<String> {
        let mut text = String::new();
        render(&self.0, document, document, &mut text)?;
        Ok(text)
    }
}

fn parts(rest: &mut &str, inside: bool) -> Result<Vec<Part>, String> {
    let mut found = Vec::new();
    loop {
        let Some(open) = rest.find('{') else {
            if inside {
                return Err("a {range …} has no {end}".to_owned());
            }
            text(&mut found, rest);
            return Ok(found);
        };
        text(&mut found, &rest[..open]);
        let inner = &rest[open + 1..];
        let close = closing(inner).ok_or_else(|| format!("no closing brace after {{{inner}"))?;
        let expression = inner[..close].trim();
        *rest = &inner[close + 1..];
        if expression == "end" {
            return if inside { Ok(found) } else { Err("an {end} has no {range …}".to_owned()) };
        }
        if let Some(over) = expression.strip_prefix("range ") {
            let Part::Path(over) = path(over.trim())? else {
                return Err(format!("cannot range over {over}"));
            };
            found.push(Part::Range(over, parts(rest, true)?));
        } else {
            found.push(path(expression)?);
        }
    }
}

fn text(found: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        found.push(Part::Text(text.to_owned()));
    }
}

/// Where the brace that is open ends; braces in quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') => quote = Some(letter),
            (None, '}') => return Some(at),
            _ => {}
        }
    }
    None
}

fn path(expression: &str) -> Result<Part, String> {
    if let Some(quoted) = expression.strip_prefix('"') {
        let text = quoted.strip_suffix('"').ok_or_else(|| format!("no closing quote in {expression}"))?;
        return Ok(Part::Text(unescaped(text)));
    }
    match jsonpath::find(&Value::Null, expression.strip_prefix('$').unwrap_or(expression)) {
        Err(JsonPathError::Syntax(why)) if !is_whole(expression) => Err(format!("{expression}: {why}")),
        _ => Ok(Part::Path(expression.to_owned())),
    }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => plain.push('\n'),
                Some('t') => plain.push('\t'),
                Some('r') => plain.push('\r'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            other => plain.push(other),
        }
    }
    plain
}

/// Whether an expression means what it starts from.
fn is_whole(expression: &str) -> bool {
    matches!(expression, "$" | "@" | "." | "$." | "@.")
}

fn render(parts: &[Part], root: &Value, current: &Value, into: &mut String) -> anyhow::Result<()> {
    for part in parts {
        match part {
            Part::Text(text) => into.push_str(text),
            Part::Path(path) => {
                let words: Vec<String> = find(root, current, path)?.into_iter().map(word).collect();
                into.push_str(&words.join(" "));
            }
            Part::Range(path, inner) => {
                for one in find(root, current, path)? {
                    render(inner, root, one, into)?;
                }
            }
        }
    }
    Ok(())
}

fn find<'a>(root: &'a Value, current: &'a Value, path: &str) -> anyhow::Result<Vec<&'a Value>> {
    let (from, rest) = match path.strip_prefix('$') {
        Some(rest) => (root, rest),
        None => (current, path.strip_prefix('@').unwrap_or(path)),
    };
    if matches!(rest, "" | ".") {
        return Ok(vec![from]);
    }
    match jsonpath::find(from, rest) {
        Ok(found) => Ok(found),
        Err(JsonPathError::NotFound(_)) => Ok(Vec::new()),
        Err(error) => Err(anyhow::Error::new(error).context(format!("cannot evaluate {{{path}}}"))),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rendered(template: &str) -> String {
        let document = json!({
            "kind": "List",
            "items": [
                { "metadata": { "name": "a", "labels": { "x/y.z": "1" } }, "status": { "ready": true } },
                { "metadata": { "name": "b" }, "spec": { "list": [1, 2] } },
            ]
        });
        Template::parse(template).unwrap().render(&document).unwrap()
    }

    #[test]
    fn templates_print_what_kubectl_prints() {
        let cases = [
            ("{.kind}", "List"),
            (".kind", "List"),
            ("{.items[*].metadata.name}", "a b"),
            ("{.items[0].metadata.labels.x/y\\.z}", "1"),
            ("kind: {.kind}!", "kind: List!"),
            ("{range .items[*]}{.metadata.name}{\"\\n\"}{end}", "a\nb\n"),
            ("{range .items[*]}{.metadata.name}={.status.ready};{end}", "a=true;b=;"),
            ("{range .items[*]}{$.kind}/{@.metadata.name} {end}", "List/a List/b "),
            ("{.items[?(@.metadata.name=='b')].spec.list}", "[1,2]"),
            ("{.none}", ""),
            ("{\"}\"}", "}"),
        ];
        for (template, expected) in cases {
            assert_eq!(rendered(template), expected, "{template}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused_when_the_command_line_is_read() {
        for wrong in
            ["{.kind", "{range .items[*]}{.x}", "{end}", "{.items[}", "{\"open}", "{range \"a\"}{end}"]
        {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}

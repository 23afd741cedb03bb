//! Field selectors: `metadata.name=a,status.phase!=Running`.

use serde_json::Value;

use crate::object;
use crate::resource::{Resource, Selectable};
use crate::status::Status;

/// A conjunction of comparisons of fields.
#[derive(Clone, Debug, Default)]
pub struct FieldSelector(Vec<Term>);

#[derive(Clone, Debug)]
struct Term {
    field: Selectable,
    equal: bool,
    value: String,
}

impl Term {
    fn holds(&self, actual: &str) -> bool {
        (actual == self.value) == self.equal
    }

    fn is_key(&self) -> bool {
        matches!(self.field.name.as_str(), "metadata.name" | "metadata.namespace")
    }
}

impl FieldSelector {
    /// Reads a selector; only fields that the resource declares may be named.
    pub fn parse(text: &str, resource: &Resource) -> Result<Self, Status> {
        let mut terms = Vec::new();
        for part in split(text).into_iter().filter(|part| !part.is_empty()) {
            let (name, equal, value) = operands(&part).ok_or_else(|| {
                Status::bad_request(format!("invalid selector: '{text}'; can't understand '{part}'"))
            })?;
            terms.push(Term { field: field(name, resource)?, equal, value: unescape(value) });
        }
        Ok(Self(terms))
    }

    /// Whether everything matches.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that a field must have, if one term says so.
    pub fn exactly(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|term| term.equal && term.field.name == name).map(|term| term.value.as_str())
    }

    /// Whether the terms on name and namespace hold.
    pub fn matches_key(&self, namespace: &str, name: &str) -> bool {
        self.0.iter().all(|term| match term.field.name.as_str() {
            "metadata.name" => term.holds(name),
            "metadata.namespace" => term.holds(namespace),
            _ => true,
        })
    }

    /// Whether a term looks into the object.
    pub fn needs_object(&self) -> bool {
        self.0.iter().any(|term| !term.is_key())
    }

    /// Whether the terms on other fields hold.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.0.iter().filter(|term| !term.is_key()).all(|term| term.holds(&text_of(object, &term.field)))
    }
}

fn text_of(object: &Value, field: &Selectable) -> String {
    match object::at(object, &field.path) {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        _ if field.name == "source" => {
            object::at(object, "reportingComponent").and_then(Value::as_str).unwrap_or("").to_owned()
        }
        _ => field.absent.clone(),
    }
}

fn field(name: &str, resource: &Resource) -> Result<Selectable, Status> {
    if name == "metadata.name" || (name == "metadata.namespace" && resource.namespaced) {
        return Ok(Selectable::new(name));
    }
    if let Some(found) = resource.selectable.iter().find(|field| field.name == name) {
        return Ok(found.clone());
    }
    if resource.selectable.is_empty() && resource.custom().is_none() {
        let known = "only \"metadata.name\", \"metadata.namespace\"";
        return Err(Status::bad_request(format!("\"{name}\" is not a known field selector: {known}")));
    }
    Err(Status::bad_request(format!("field label not supported: {name}")))
}

/// The name that a selector of any resource pins, if it pins one.
pub fn exact_name(text: &str) -> Option<String> {
    split(text).iter().find_map(|part| match operands(part)? {
        ("metadata.name", true, value) => Some(unescape(value)),
        _ => None,
    })
}

/// Splits at commas that are not escaped.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        match (c, escaped) {
            (',', false) => parts.push(String::new()),
            (c, _) => {
                if let Some(last) = parts.last_mut() {
                    last.push(c);
                }
            }
        }
        escaped = c == '\\' && !escaped;
    }
    parts
}

fn operands(part: &str) -> Option<(&str, bool, &str)> {
    let place = part.find(['=', '!'])?;
    let (name, rest) = part.split_at(place);
    let (equal, value) = match (rest.strip_prefix("!="), rest.strip_prefix("==")) {
        (Some(value), _) => (false, value),
        (_, Some(value)) => (true, value),
        _ => (true, rest.strip_prefix('=')?),
    };
    Some((name, equal, value))
}

fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::Registry;

    fn selector(plural: &str, text: &str) -> Result<FieldSelector, String> {
        let snapshot = Registry::new().snapshot();
        FieldSelector::parse(text, snapshot.resource("", "v1", plural).unwrap())
            .map_err(|status| status.message)
    }

    #[test]
    fn declared_fields_are_compared_as_text() {
        let pod = json!({"spec": {"nodeName": "n1"}, "status": {"phase": "Running"}});
        assert!(selector("pods", "spec.nodeName=n1,status.phase!=Pending").unwrap().matches_object(&pod));
        assert!(!selector("pods", "status.podIP=1.2.3.4").unwrap().matches_object(&pod));
        assert!(selector("nodes", "spec.unschedulable=false").unwrap().matches_object(&json!({})));
    }

    #[test]
    fn undeclared_fields_are_refused() {
        assert_eq!(
            selector("configmaps", "foo=b").unwrap_err(),
            "\"foo\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
        assert_eq!(selector("pods", "foo=b").unwrap_err(), "field label not supported: foo");
        assert_eq!(selector("pods", "foo").unwrap_err(), "invalid selector: 'foo'; can't understand 'foo'");
    }

    #[test]
    fn escaped_commas_belong_to_the_value() {
        let found = selector("configmaps", r"metadata.name=a\,b").unwrap();
        assert_eq!(found.exactly("metadata.name"), Some("a,b"));
    }
}

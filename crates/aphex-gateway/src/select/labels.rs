//! Label selectors as Kubernetes reads them (`LabelSelectorAsSelector` and `NewRequirement` in apimachinery), which
//! refuses more than the client library here does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::Selector;

/// Longest name of a label, and longest value.
const NAME_MAX: usize = 63;
/// Longest domain before the name of a label.
const DOMAIN_MAX: usize = 253;

/// What a selector selects by, or why it cannot be read; none selects everything.
pub(crate) fn read(labels: Option<&LabelSelector>) -> Result<Selector, String> {
    let Some(labels) = labels else { return Ok(Selector::default()) };
    for (key, value) in labels.match_labels.iter().flatten() {
        checked_key(key)?;
        checked_value(key, value)?;
    }
    for expression in labels.match_expressions.iter().flatten() {
        let (key, operator) = (expression.key.as_str(), expression.operator.as_str());
        let values = expression.values.as_deref().unwrap_or_default();
        checked_key(key)?;
        match operator {
            "In" | "NotIn" if values.is_empty() => return Err(format!("{operator} for {key} has no values")),
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                return Err(format!("{operator} for {key} has values"));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => return Err(format!("{other:?} is not a valid label selector operator")),
        }
        values.iter().try_for_each(|value| checked_value(key, value))?;
    }
    Selector::try_from(labels.clone()).map_err(|error| error.to_string())
}

fn checked_key(key: &str) -> Result<(), String> {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let good = domain.is_none_or(is_domain) && !name.is_empty() && is_name(name);
    if good { Ok(()) } else { Err(format!("{key:?} is no key of a label")) }
}

fn checked_value(key: &str, value: &str) -> Result<(), String> {
    if is_name(value) { Ok(()) } else { Err(format!("{value:?} for {key} is no value of a label")) }
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let within = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let ends = [bytes.first(), bytes.last()];
    bytes.len() <= NAME_MAX
        && bytes.iter().all(within)
        && ends.into_iter().flatten().all(u8::is_ascii_alphanumeric)
}

fn is_domain(text: &str) -> bool {
    let part = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !part.is_empty() && part.bytes().all(plain) && !part.starts_with('-') && !part.ends_with('-')
    };
    text.len() <= DOMAIN_MAX && text.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn is_read(written: Value) -> bool {
        read(Some(&serde_json::from_value(written).unwrap())).is_ok()
    }

    #[test]
    fn what_kubernetes_refuses_is_refused() {
        let by = |key: &str, operator: &str, values: Value| {
            is_read(json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] }))
        };
        assert!(by("a", "In", json!(["x", ""])) && by("b.c/a", "NotIn", json!(["x"])));
        assert!(by("a", "Exists", json!([])) && by("a", "DoesNotExist", Value::Null));
        assert!(!by("a", "In", json!([])) && !by("a", "NotIn", Value::Null));
        assert!(!by("a", "Exists", json!(["x"])) && !by("a", "DoesNotExist", json!(["x"])));
        assert!(!by("a", "Gt", json!(["1"])) && !by("a", "in", json!(["x"])));
        for key in ["", "a b", "-a", "a/b/c", "/a", "b/", "B.c/a", "b..c/a", &"a".repeat(64)] {
            assert!(!by(key, "In", json!(["x"])), "{key}");
            assert!(!is_read(json!({ "matchLabels": { key: "x" } })), "{key}");
        }
        for value in ["a b", "-a", "a.", "a/b", &"a".repeat(64)] {
            assert!(!by("a", "In", json!(["x", value])), "{value}");
            assert!(!is_read(json!({ "matchLabels": { "a": value } })), "{value}");
        }
        assert!(is_read(json!({})) && is_read(json!({ "matchLabels": { "a": "", "b.c/D_e": "A-b_c.D" } })));
    }
}

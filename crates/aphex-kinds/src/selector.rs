//! Label selectors as text: `labels.Selector.String` and `labels.FormatLabels` of apimachinery.

use serde_json::Value;

use crate::fields::{entries, items, sorted, text, texts};

/// A map of labels as text, `<none>` where it is empty.
pub(crate) fn labels(map: &Value) -> String {
    let pairs = sorted(map)
        .into_iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect::<Vec<_>>();
    or_none(&pairs.join(","))
}

/// A LabelSelector as text, `<none>` where it selects everything.
pub(crate) fn label_selector(selector: &Value) -> String {
    if selector.is_null() {
        return "<none>".to_owned();
    }
    or_none(&requirements(selector))
}

/// A LabelSelector as text, empty where it selects everything or nothing.
pub(crate) fn requirements(selector: &Value) -> String {
    let mut parts: Vec<(String, String)> = entries(selector, "matchLabels")
        .into_iter()
        .map(|(key, value)| (key.to_owned(), format!("{key}={}", value.as_str().unwrap_or_default())))
        .collect();
    for expression in items(selector, "matchExpressions") {
        let key = text(expression, "key");
        let mut values = texts(expression, "values");
        values.sort_unstable();
        let values = values.join(",");
        let part = match text(expression, "operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        };
        parts.push((key.to_owned(), part));
    }
    parts.sort_by(|(a, _), (b, _)| a.cmp(b));
    parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>().join(",")
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_sorted_by_key() {
        let selector = serde_json::json!({
            "matchLabels": {"b": "2"},
            "matchExpressions": [
                {"key": "c", "operator": "In", "values": ["y", "x"]},
                {"key": "a", "operator": "DoesNotExist"},
            ],
        });
        assert_eq!(label_selector(&selector), "!a,b=2,c in (x,y)");
        assert_eq!(label_selector(&serde_json::json!({})), "<none>");
    }
}

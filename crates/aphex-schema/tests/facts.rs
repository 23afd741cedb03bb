//! Recorded facts: what was sent to the real server and the causes it answered with.

use aphex_schema::FieldError;
use serde_json::Value;

/// A file of facts.
pub(crate) fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Causes as recorded: reason, field, message; sorted, since the server's order is random.
pub(crate) fn causes(errors: Vec<FieldError>) -> Vec<Vec<String>> {
    let errors = aphex_schema::error::distinct(errors);
    let cause = |error: &FieldError| vec![error.reason().to_owned(), error.field.clone(), error.body()];
    let mut causes: Vec<Vec<String>> = errors.iter().map(cause).collect();
    causes.sort();
    causes
}

/// The causes of a recorded case.
pub(crate) fn recorded(case: &Value) -> Vec<Vec<String>> {
    serde_json::from_value(case["causes"].clone()).unwrap()
}

/// Causes with the number left out that Kubernetes draws anew for the type of `self`.
pub(crate) fn anonymous(mut causes: Vec<Vec<String>>) -> Vec<Vec<String>> {
    const NAME: &str = "selfType";
    for message in causes.iter_mut().filter_map(|cause| cause.get_mut(2)) {
        let mut parts = message.split(NAME);
        let mut plain = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            plain.push_str(NAME);
            plain.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
        *message = plain;
    }
    causes
}

/// Compares all cases at once, so that one run shows everything that differs.
pub(crate) fn assert_all(differences: &[String]) {
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

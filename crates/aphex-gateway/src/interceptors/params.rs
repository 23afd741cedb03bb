//! Parameters of the interceptors that are built in, read as Go reads JSON: names in any case, null as what is not given.

use aphex_api::foreign::triggers::{InterceptorParam, TriggerInterceptor};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize as _, Deserializer};
use serde_json::{Map, Value};

/// The names of all parameters, and of the fields in them.
const NAMES: [&str; 14] = [
    "addChangedFiles",
    "checkType",
    "enabled",
    "eventTypes",
    "expression",
    "filter",
    "githubOwners",
    "key",
    "overlays",
    "personalAccessToken",
    "requestedFields",
    "secretKey",
    "secretName",
    "secretRef",
];

/// The parameters as the interceptor's own type.
pub(crate) fn params<T: DeserializeOwned>(interceptor: &TriggerInterceptor) -> Result<T, String> {
    let mut given: Vec<&InterceptorParam> = given(interceptor).collect();
    // Go writes them in order of their names before it reads them, and of several the last counts.
    given.sort_by(|a, b| a.name.cmp(&b.name));
    let params: Map<String, Value> =
        given.into_iter().map(|param| (known(&param.name), read(&param.value))).collect();
    serde_json::from_value(Value::Object(params))
        .map_err(|error| format!("failed to parse interceptor params: {error}"))
}

/// One parameter as it is written; nothing is made on the way, since each request asks it of every trigger of its listener.
pub(super) fn param<'a>(interceptor: &'a TriggerInterceptor, name: &str) -> Option<&'a Value> {
    let named = given(interceptor).filter(|param| is_named(&param.name, name));
    named.max_by(|a, b| a.name.cmp(&b.name)).map(|param| &param.value)
}

/// Whether a parameter is written, but without a value.
pub(crate) fn is_hollow(interceptor: &TriggerInterceptor, name: &str) -> bool {
    interceptor.params.iter().any(|param| param.value.is_null() && is_named(&param.name, name))
        && param(interceptor, name).is_none()
}

/// A field of a parameter that is an object.
pub(super) fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let mut named = fields.iter().filter(|(key, value)| !value.is_null() && is_named(key, name));
    named.next_back().map(|(_, value)| value)
}

/// Reads fields from an object: serde alone takes a list for them too, which Go does not.
pub(super) fn object<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let fields = Map::deserialize(from)?;
    serde_json::from_value(Value::Object(fields)).map_err(D::Error::custom)
}

/// The same for what may be left out.
pub(super) fn maybe_object<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    object(from).map(Some)
}

/// The same for each item of a list, of which null is one without any fields.
pub(super) fn objects<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let items: Vec<Option<Map<String, Value>>> = Vec::deserialize(from)?;
    let read = |fields: Option<_>| serde_json::from_value(Value::Object(fields.unwrap_or_default()));
    items.into_iter().map(read).collect::<Result<_, _>>().map_err(D::Error::custom)
}

/// Texts, of which null is the empty one.
pub(super) fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    let texts: Vec<Option<String>> = Vec::deserialize(from)?;
    Ok(Some(texts.into_iter().map(Option::unwrap_or_default).collect()))
}

/// Whether Go's `encoding/json` takes a name for that of a field.
pub(super) fn is_named(name: &str, field: &str) -> bool {
    // The two letters beyond ASCII that Unicode folds into it.
    let folded = |c: char| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    name == field || name.chars().map(folded).eq(field.chars().map(folded))
}

/// The parameters that have a value; of several with the very same name the last counts, also where it has none.
fn given(interceptor: &TriggerInterceptor) -> impl Iterator<Item = &InterceptorParam> {
    let params = interceptor.params.as_slice();
    let last = |(at, param): (usize, &'_ InterceptorParam)| {
        !param.value.is_null() && !params[at + 1..].iter().any(|later| later.name == param.name)
    };
    params.iter().enumerate().filter(move |(at, param)| last((*at, param))).map(|(_, param)| param)
}

fn known(name: &str) -> String {
    NAMES.into_iter().find(|known| is_named(name, known)).unwrap_or(name).to_owned()
}

fn read(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let there = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(there.map(|(name, value)| (known(name), read(value))).collect())
        }
        Value::Array(items) => items.iter().map(read).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn interceptor(params: &Value) -> TriggerInterceptor {
        serde_json::from_value(json!({ "ref": { "name": "x" }, "params": params })).unwrap()
    }

    fn all(written: &Value) -> Value {
        params(&interceptor(written)).unwrap()
    }

    #[test]
    fn names_are_read_in_any_case_and_null_is_not_given() {
        let written = json!([
            { "name": "SECRETREF", "value": { "SecretName": "s", "secretkey": null } },
            { "name": "filter", "value": null },
            { "name": "Overlays", "value": [{ "Key": "a", "EXPRESSION": "b" }] },
            { "name": "Unknown", "value": 1 },
        ]);
        let expected = json!({
            "secretRef": { "secretName": "s" }, "overlays": [{ "key": "a", "expression": "b" }], "Unknown": 1,
        });
        assert_eq!(all(&written), expected);
        assert!(
            is_named("overlayſ", "overlays") && is_named("\u{212a}ey", "key") && !is_named("keys", "key")
        );
    }

    #[test]
    fn of_several_the_one_counts_that_go_reads_last() {
        let several = interceptor(&json!([
            { "name": "filter", "value": "first" }, { "name": "filter", "value": "second" },
            { "name": "FILTER", "value": "before it in order" },
        ]));
        assert_eq!(param(&several, "filter"), Some(&json!("second")));
        assert_eq!(params::<Value>(&several).unwrap(), json!({ "filter": "second" }));
        let emptied = json!([{ "name": "filter", "value": "x" }, { "name": "filter", "value": null }]);
        assert_eq!(param(&interceptor(&emptied), "filter"), None);
        assert!(is_hollow(&interceptor(&emptied), "filter"));
        let emptied = json!([{ "name": "filter", "value": "x" }, { "name": "Filter", "value": null }]);
        assert_eq!(param(&interceptor(&emptied), "filter"), Some(&json!("x")));
    }
}

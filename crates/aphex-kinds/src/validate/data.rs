//! Config maps and secrets: keys, sizes, what each type of secret must hold, immutability.

use aphex_schema::{FieldError, Path};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::fields::{at, entries, text};

/// All data of an object together may have this many bytes.
const LIMIT: u64 = 1024 * 1024;

const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  \
                   or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// What each type of secret must hold; a type with two keys listed needs both or, for `basic-auth`, one of them.
const REQUIRED: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/basic-auth", &["username", "password"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

pub(super) fn config_map(object: &Value) -> Vec<FieldError> {
    let (data, binary) = (Path::root().child("data"), Path::root().child("binaryData"));
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in entries(object, "data") {
        key_errors(key, &data, &mut errors);
        if at(object, "binaryData").get(key).is_some() {
            errors.push(FieldError::invalid(&data.key(key), key, "duplicate of key present in binaryData"));
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in entries(object, "binaryData") {
        key_errors(key, &binary, &mut errors);
        size += decoded(value).len();
    }
    if size as u64 > LIMIT {
        errors.push(FieldError::too_long(&Path::parse("[]"), LIMIT));
    }
    errors
}

pub(super) fn secret(object: &Value) -> Vec<FieldError> {
    let data = Path::root().child("data");
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in entries(object, "data") {
        key_errors(key, &data, &mut errors);
        size += decoded(value).len();
    }
    if size as u64 > LIMIT {
        errors.push(FieldError::too_long(&data, LIMIT));
    }
    let kind = text(object, "type");
    if kind == "kubernetes.io/service-account-token" {
        const NAME: &str = "kubernetes.io/service-account.name";
        let name = at(object, "metadata.annotations").get(NAME).and_then(Value::as_str);
        if name.is_none_or(str::is_empty) {
            let path = Path::root().child("metadata").child("annotations").key(NAME);
            errors.push(FieldError::required(&path, ""));
        }
    }
    let held = |key: &str| at(object, "data").get(key);
    let keys = REQUIRED.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, keys)| *keys);
    let either = kind == "kubernetes.io/basic-auth" && keys.iter().any(|key| held(key).is_some());
    for key in keys {
        match held(key) {
            None if !either => errors.push(FieldError::required(&data.key(key), "")),
            Some(value) if key.starts_with(".docker") => docker_errors(value, &data.key(key), &mut errors),
            _ => {}
        }
    }
    errors
}

fn docker_errors(value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let bytes = decoded(value);
    if serde_json::from_slice::<Value>(&bytes).is_err() {
        let why = match bytes.first() {
            None => "unexpected end of JSON input".to_owned(),
            Some(byte) => format!("invalid character '{}' looking for beginning of value", char::from(*byte)),
        };
        errors.push(FieldError::invalid(path, "<secret contents redacted>", why));
    }
}

fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default()
}

fn key_errors(key: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let mut wrong = |why: &str| errors.push(FieldError::invalid(&path.key(key), key, why));
    if key.len() > 253 {
        wrong("must be no more than 253 characters");
    }
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        wrong(KEY);
    } else if key == "." || key == ".." {
        wrong(&format!("must not be '{key}'"));
    } else if key.starts_with("..") {
        wrong("must not start with '..'");
    }
}

/// What has been made immutable stays so, and so does its data.
pub(super) fn update(kind: &str, new: &Value, old: &Value) -> Vec<FieldError> {
    const WHY: &str = "field is immutable when `immutable` is set";
    let mut errors = Vec::new();
    if kind == "Secret" && new.get("type") != old.get("type") {
        errors.push(super::immutable(&Path::root().child("type"), new.get("type")));
    }
    if old.get("immutable") != Some(&Value::Bool(true)) {
        return errors;
    }
    if new.get("immutable") != Some(&Value::Bool(true)) {
        errors.push(FieldError::forbidden(&Path::root().child("immutable"), WHY));
    }
    for field in ["data", "binaryData"] {
        if new.get(field) != old.get(field) {
            errors.push(FieldError::forbidden(&Path::root().child(field), WHY));
        }
    }
    errors
}

//! The Kubernetes format library: `format.dns1123Label().validate(text)`.

use std::sync::Arc;

use super::{Cost, Function, global, member, named};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::{Format, Url, Value};

type Outcome = Result<Value, Fault>;

macro_rules! constant {
    ($function:literal, $name:literal) => {
        global($function, 0, Cost::One, |_, _| constant($name))
    };
}

pub(super) const FUNCTIONS: &[Function] = &[
    member("validate", 2, Cost::Named, validate),
    global("format.named", 1, Cost::One, by_name),
    constant!("format.dns1123Label", "dns1123Label"),
    constant!("format.dns1123Subdomain", "dns1123Subdomain"),
    constant!("format.dns1035Label", "dns1035Label"),
    constant!("format.qualifiedName", "qualifiedName"),
    constant!("format.dns1123LabelPrefix", "dns1123LabelPrefix"),
    constant!("format.dns1123SubdomainPrefix", "dns1123SubdomainPrefix"),
    constant!("format.dns1035LabelPrefix", "dns1035LabelPrefix"),
    constant!("format.labelValue", "labelValue"),
    constant!("format.uri", "uri"),
    constant!("format.uuid", "uuid"),
    constant!("format.byte", "byte"),
    constant!("format.date", "date"),
    constant!("format.datetime", "datetime"),
];

const fn format(name: &'static str, pattern_size: u64, validate: fn(&str) -> Vec<String>) -> Format {
    Format { name, pattern_size, validate }
}

/// The sizes are those Kubernetes reckons cost with (`library/format.go`).
const FORMATS: &[Format] = &[
    format("dns1123Label", 30, named::dns1123_label),
    format("dns1123Subdomain", 60, named::dns1123_subdomain),
    format("dns1035Label", 30, named::dns1035_label),
    format("qualifiedName", 60, named::qualified_name),
    format("dns1123LabelPrefix", 30, |text| named::dns1123_label(&named::masked(text))),
    format("dns1123SubdomainPrefix", 60, |text| named::dns1123_subdomain(&named::masked(text))),
    format("dns1035LabelPrefix", 30, |text| named::dns1035_label(&named::masked(text))),
    format("labelValue", 40, named::label_value),
    format("uri", 1103, |text| Url::parse_request(text).err().into_iter().collect()),
    format("uuid", 70, |text| refuse(named::is_uuid(text), "does not match the UUID format")),
    format("byte", 84, |text| refuse(named::is_base64(text), "invalid base64")),
    format("date", 71, |text| refuse(named::is_date(text), "invalid date")),
    format("datetime", 71, |text| refuse(named::is_datetime(text), "invalid datetime")),
];

fn refuse(valid: bool, reason: &str) -> Vec<String> {
    if valid { Vec::new() } else { vec![reason.to_owned()] }
}

fn find(name: &str) -> Option<Format> {
    FORMATS.iter().find(|format| format.name == name).copied()
}

fn constant(name: &str) -> Outcome {
    find(name).map(Value::Format).ok_or(Fault::NoOverload)
}

fn by_name(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(name)] = arguments else { return Err(Fault::NoOverload) };
    Ok(Value::Optional(find(name).map(|format| Arc::new(Value::Format(format)))))
}

fn validate(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::Format(format), Value::String(text)] = arguments else { return Err(Fault::NoOverload) };
    let reasons = (format.validate)(text);
    if reasons.is_empty() {
        return Ok(Value::Optional(None));
    }
    Ok(Value::some(Value::from(reasons.into_iter().map(Value::from).collect::<Vec<_>>())))
}

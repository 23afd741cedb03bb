//! From a request body to an object: decoding, kind and version, unknown and duplicate fields.

use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use aphex_schema::{builtin, decode, prune};
use serde_json::Value;

use crate::call::Call;
use crate::input::{self, DecodeError, Decoded};
use crate::names;
use crate::object;
use crate::request::FieldValidation;
use crate::resource::split_api_version;
use crate::status::Status;

/// The scheme that kube-apiserver names when a kind is not in it; clients match on the words before it.
const SCHEME: &str = "pkg/runtime/scheme.go:111";

/// Reads the object in the body of a create or update.
pub fn read_object(call: &Call, validation: FieldValidation) -> Result<Value, Status> {
    let decoded = input::decode(call.content_type(), &call.body)?;
    let decoded = decoded.map_err(|error| unreadable(call, &error))?;
    let Decoded { mut value, duplicates } = decoded;
    if value.is_null() {
        value = Value::Object(serde_json::Map::new());
    }
    if !value.is_object() {
        return Err(unreadable(call, &input::not_an_object(&value)));
    }
    check_kind(call, &mut value)?;
    check_fields(call, &mut value, validation, &duplicates)?;
    Ok(value)
}

fn unreadable(call: &Call, error: &DecodeError) -> Status {
    let kind = &call.resource.kind;
    let excerpt = input::excerpt(&call.body);
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse \
         error: {error} ({excerpt})"
    ))
}

/// The kind expected at this endpoint, its group and its version.
fn expected(call: &Call) -> (String, String, String) {
    let resource = &call.resource;
    let own = || (resource.group.clone(), resource.version.clone(), resource.kind.clone());
    let Some(sub) = resource.subresources.get(call.subresource()) else { return own() };
    if sub.kind.is_empty() || sub.kind == resource.kind {
        return own();
    }
    if sub.version.is_empty() {
        return (resource.group.clone(), resource.version.clone(), sub.kind.clone());
    }
    (sub.group.clone(), sub.version.clone(), sub.kind.clone())
}

/// Refuses another kind or version than the endpoint's; fills both in.
pub fn check_kind(call: &Call, value: &mut Value) -> Result<(), Status> {
    let (group, version, kind) = expected(call);
    let wanted = crate::resource::api_version(&group, &version);
    let given_kind = object::kind(value).to_owned();
    let given_version = object::api_version(value).to_owned();
    if call.resource.custom().is_some() && call.subresource() != "scale" {
        for (field, given) in [("kind", &given_kind), ("apiVersion", &given_version)] {
            if given.is_empty() {
                let label = if field == "kind" { "Kind" } else { "apiVersion" };
                let text = String::from_utf8_lossy(&call.body);
                return Err(Status::bad_request(format!(
                    "the object provided is unrecognized (must be of type {kind}): Object '{label}' is missing in \
                     '{text}' ({})",
                    input::excerpt(&call.body)
                )));
            }
        }
    }
    if !given_version.is_empty() && given_version != wanted || !given_kind.is_empty() && given_kind != kind {
        return Err(wrong_kind(call, object::name(value), (&given_version, &given_kind), (&wanted, &kind)));
    }
    let map = object::map(value);
    map.insert("apiVersion".to_owned(), Value::String(wanted));
    map.insert("kind".to_owned(), Value::String(kind));
    Ok(())
}

fn wrong_kind(
    call: &Call,
    name: &str,
    (given_version, given_kind): (&str, &str),
    (wanted, kind): (&str, &str),
) -> Status {
    let given_version = if given_version.is_empty() { wanted } else { given_version };
    let given_kind = if given_kind.is_empty() { kind } else { given_kind };
    if call.resource.custom().is_some() {
        if given_version == wanted {
            let path = Path::root().child("kind");
            let error = FieldError::invalid(&path, given_kind, format!("must be {kind}"));
            return Status::invalid(&call.resource.group, given_kind, name, vec![error]);
        }
        return Status::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({wanted})"
        ));
    }
    let (group, version) = split_api_version(given_version);
    let why = if builtin::typed(group, version, given_kind).is_some() {
        let internal = if call.resource.group.is_empty() { "core" } else { &call.resource.group };
        format!("converting ({version}.{given_kind}) to ({internal}.{kind}): unknown conversion")
    } else {
        format!("no kind {given_kind:?} is registered for version {given_version:?} in scheme {SCHEME:?}")
    };
    cannot_be_handled(given_kind, given_version, kind, &why)
}

fn cannot_be_handled(given_kind: &str, version: &str, kind: &str, why: &str) -> Status {
    Status::bad_request(format!("{given_kind} in version \"{version}\" cannot be handled as a {kind}: {why}"))
}

/// JSON types, then unknown and duplicate fields as the caller wants them treated.
fn check_fields(
    call: &Call,
    value: &mut Value,
    validation: FieldValidation,
    duplicates: &[String],
) -> Result<(), Status> {
    let (_, version, kind) = expected(call);
    let fail = |why: &str| cannot_be_handled(&kind, &version, &kind, why);
    check_json_types(call, value).map_err(|why| fail(&why))?;
    let unknown = prune_unknown(call, value);
    let unknown = unknown.iter().map(|path| format!("unknown field \"{path}\""));
    let duplicates = duplicates.iter().cloned();
    // Custom kinds are pruned after decoding, and YAML becomes JSON before it; JSON of built-in kinds is decoded
    // strictly in one go.
    let apart = call.resource.custom().is_some() || input::is_yaml(call.content_type());
    let findings: Vec<String> =
        if apart { duplicates.chain(unknown).collect() } else { unknown.chain(duplicates).collect() };
    match validation {
        FieldValidation::Strict if !findings.is_empty() => {
            Err(fail(&format!("strict decoding error: {}", findings.join(", "))))
        }
        FieldValidation::Warn => {
            for finding in findings {
                call.warnings.add(finding);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// JSON types, against the schema of a built-in kind or the metadata of a custom one.
fn check_json_types(call: &Call, value: &Value) -> Result<(), String> {
    if let Some(typed) = call.resource.subresource_schema(call.subresource()) {
        return decode::check(value, typed);
    }
    if call.resource.custom().is_none() {
        return call.resource.typed().map_or(Ok(()), |typed| decode::check(value, typed));
    }
    match (value.get("metadata"), builtin::object_meta()) {
        (Some(metadata), Some(typed)) => decode::check(metadata, typed)
            .map_err(|why| why.replace("struct field .", "struct field ObjectMeta.")),
        _ => Ok(()),
    }
}

/// Drops what the schema does not know; gives the paths.
fn prune_unknown(call: &Call, value: &mut Value) -> Vec<String> {
    let options = prune::Options { resource: true, keep: false };
    let typed = call.resource.subresource_schema(call.subresource()).or(call.resource.typed());
    typed.map_or_else(Vec::new, |typed| prune::prune(value, typed, options))
}

/// Checks and prunes an object that came of a patch.
pub fn settle_patched(call: &Call, mut value: Value, validation: FieldValidation) -> Result<Value, Status> {
    if !value.is_object() {
        return Err(Status::unprocessable());
    }
    let refused = |value: &Value, why: &str| {
        let error = FieldError::invalid(&Path::root().child("patch"), value.to_string(), why);
        Status::invalid("", "", "", vec![error])
    };
    if let Err(status) = check_kind(call, &mut value) {
        return Err(refused(&value, &status.message));
    }
    check_json_types(call, &value).map_err(|why| refused(&value, &why))?;
    let before = (validation == FieldValidation::Strict).then(|| value.clone());
    let unknown = prune_unknown(call, &mut value);
    match (validation, before) {
        (FieldValidation::Strict, Some(before)) if !unknown.is_empty() => {
            let why = format!("strict decoding error: {}", prune::strict_message(&unknown));
            Err(refused(&before, &why))
        }
        (FieldValidation::Warn, _) => {
            for path in &unknown {
                call.warnings.add(format!("unknown field \"{path}\""));
            }
            Ok(value)
        }
        _ => Ok(value),
    }
}

/// The object's namespace must be that of the path, or absent; it is filled in.
pub(super) fn settle_namespace(call: &Call, value: &mut Value) -> Result<(), Status> {
    let wanted = if call.resource.namespaced { call.namespace() } else { "" };
    let given = object::namespace(value);
    if given == wanted {
        return Ok(());
    }
    if given.is_empty() {
        object::set_meta(value, "namespace", Some(Value::String(wanted.to_owned())));
        return Ok(());
    }
    if wanted.is_empty() {
        let errors = names::label(given);
        if errors.is_empty() {
            let path = Path::root().child("metadata").child("namespace");
            let error = FieldError::forbidden(&path, "not allowed on this type");
            return Err(call.invalid(value, vec![error]));
        }
    }
    Err(Status::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request",
    ))
}

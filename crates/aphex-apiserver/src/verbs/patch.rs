//! Changing an object by a patch: JSON, merge, strategic merge, apply.

use aphex_merge::{JsonPatchError, PatchError};
use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use http::Response;
use serde_json::Value;

use crate::body::Body;
use crate::call::Call;
use crate::input;
use crate::object;
use crate::request::{FieldValidation, WriteOptions};
use crate::resource::split_api_version;
use crate::respond;
use crate::status::Status;
use crate::write::{self, Change, Creation, Modified};

const CUSTOM_FORMATS: &str = "the body of the request was in an unknown format - accepted media types include: \
                              application/json-patch+json, application/merge-patch+json, \
                              application/apply-patch+yaml";

/// The four formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
    /// A merge patch whose lists merge as the schema says.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl Format {
    /// The format of a body; strategic merge does not exist for custom resources.
    pub(super) fn of(call: &Call) -> Result<Self, Status> {
        match call.content_type() {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" if call.resource.custom().is_none() => {
                Ok(Self::Strategic)
            }
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ if call.resource.custom().is_some() => {
                Err(Status::new(415, "UnsupportedMediaType", CUSTOM_FORMATS))
            }
            _ => Err(Status::unsupported_media_type("")),
        }
    }
}

/// Applies the patch in the body to the object that the path names.
pub(super) async fn patch(call: &Call) -> Result<Response<Body>, Status> {
    let format = Format::of(call)?;
    let options = options(call, format)?;
    if format == Format::Apply {
        return apply(call, &options).await;
    }
    let patch = read_patch(call, format)?;
    let edit = |live: &Value| {
        let patched = patched(call, format, live, &patch)?;
        let settled = write::settle_patched(call, patched, options.field_validation)?;
        check_name(call, &settled)?;
        Ok(settled)
    };
    match write::modify(call, &options, Change::Plain, edit).await? {
        Modified::Object(served) => respond::object(call, 200, served),
        Modified::Absent => Err(call.not_found()),
    }
}

/// Reads the options and checks those that only make sense for one format.
pub(super) fn options(call: &Call, format: Format) -> Result<WriteOptions, Status> {
    let options = WriteOptions::parse(&call.query, "PatchOptions", call.user_agent())?;
    let mut errors = Vec::new();
    if format == Format::Apply {
        if !options.manager_given {
            let path = Path::root().child("fieldManager");
            errors.push(FieldError::required(&path, "is required for apply patch"));
        }
    } else if options.force.is_some() {
        errors.push(FieldError::forbidden(
            &Path::root().child("force"),
            "may not be specified for non-apply patch",
        ));
    }
    if errors.is_empty() {
        Ok(options)
    } else {
        Err(Status::invalid("meta.k8s.io", "PatchOptions", "", errors))
    }
}

/// Reads a patch other than an apply.
pub(super) fn read_patch(call: &Call, format: Format) -> Result<Value, Status> {
    let wrong = |why: &str| Status::bad_request(format!("error decoding patch: {why}"));
    let decoded = input::json(&call.body).map_err(|error| match format {
        Format::Strategic => Status::bad_request(error.to_string()),
        _ => wrong(&error.to_string()),
    })?;
    if format != Format::Json && !decoded.value.is_object() {
        let kind = input::go_kind(&decoded.value);
        return Err(wrong(&format!(
            "json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )));
    }
    for duplicate in decoded.duplicates {
        call.warnings.add(duplicate);
    }
    Ok(decoded.value)
}

/// The live object with a patch applied.
pub(super) fn patched(call: &Call, format: Format, live: &Value, patch: &Value) -> Result<Value, Status> {
    match format {
        Format::Json => aphex_merge::json_patch(live, patch).map_err(|error| match error {
            JsonPatchError::Malformed(_) => Status::bad_request(error.to_string()),
            JsonPatchError::TooLarge(_) => Status::new(413, "RequestEntityTooLarge", error.to_string()),
            JsonPatchError::Failed(_) => Status::unprocessable(),
        }),
        Format::Merge => {
            aphex_merge::merge_patch(live, patch).map_err(|error| Status::bad_request(error.to_string()))
        }
        Format::Strategic => {
            let typed = call.resource.subresource_schema(call.subresource()).or(call.resource.typed());
            let typed = typed.ok_or_else(|| Status::unsupported_media_type(""))?;
            aphex_merge::strategic_merge(live, patch, typed).map_err(|error| match error {
                PatchError::Malformed(_) => Status::bad_request(error.to_string()),
                PatchError::Unprocessable(_) => Status::unprocessable(),
                PatchError::Mismatch(_) => Status::new(500, "", error.to_string()),
            })
        }
        Format::Apply => Err(Status::unsupported_media_type("")),
    }
}

fn check_name(call: &Call, object: &Value) -> Result<(), Status> {
    let name = object::name(object);
    if name == call.name() { Ok(()) } else { Err(write::wrong_name(name, call.name())) }
}

/// Server-side apply: merges what the manager wants into the object, or creates it.
async fn apply(call: &Call, options: &WriteOptions) -> Result<Response<Body>, Status> {
    let applied = read_configuration(call, options)?;
    let edit = |live: &Value| {
        let merged = write::managed_apply(call, options, Some(live), &applied)?;
        write::settle_patched(call, merged, FieldValidation::Ignore)
    };
    if let Modified::Object(served) = write::modify(call, options, Change::Applied, edit).await? {
        return respond::object(call, 200, served);
    }
    if call.path.subresource.is_some() {
        return Err(call.not_found());
    }
    if !object::uid(&applied).is_empty() {
        return Err(Status::conflict(
            &call.resource.group,
            &call.resource.plural,
            call.name(),
            &format!(
                "uid mismatch: the provided object specified uid {}, and no existing object was found",
                object::uid(&applied)
            ),
        ));
    }
    let created = write::managed_apply(call, options, None, &applied)?;
    match write::create(call, options, created, Creation::Applied).await {
        Ok(served) => respond::object(call, 201, served),
        // Somebody else created it meanwhile: apply to that.
        Err(status) if status.reason == "AlreadyExists" => {
            match write::modify(call, options, Change::Applied, edit).await? {
                Modified::Object(served) => respond::object(call, 200, served),
                Modified::Absent => Err(call.not_found()),
            }
        }
        Err(status) => Err(status),
    }
}

/// Reads and checks an applied configuration.
fn read_configuration(call: &Call, options: &WriteOptions) -> Result<Value, Status> {
    let decoded = input::yaml(&call.body)
        .map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
    let mut applied = decoded.value;
    let (group, version) = split_api_version(object::api_version(&applied));
    let kind = object::kind(&applied);
    if kind.is_empty() || version.is_empty() {
        return Err(Status::bad_request(format!("invalid object type: {group}/{version}, Kind={kind}")));
    }
    // Here the words of the conversion to JSON come first.
    let findings: Vec<String> = decoded
        .duplicates
        .iter()
        .map(|finding| finding.replace("yaml: ", "error converting YAML to JSON: yaml: "))
        .collect();
    match options.field_validation {
        FieldValidation::Strict if !findings.is_empty() => {
            return Err(Status::bad_request(format!("error strict decoding YAML: {}", findings.join(", "))));
        }
        FieldValidation::Warn => findings.into_iter().for_each(|finding| call.warnings.add(finding)),
        _ => {}
    }
    if object::name(&applied).is_empty() {
        object::set_meta(&mut applied, "name", Some(Value::String(call.name().to_owned())));
    }
    check_name(call, &applied)?;
    // Types and unknown fields are left to the merge, which words their errors in its own way.
    write::check_kind(call, &mut applied)?;
    Ok(applied)
}

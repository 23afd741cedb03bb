//! Objects as bytes: how they are stored, and how stored bytes become what a version serves.
//!
//! Stored bytes start with `{"apiVersion":"…"` and have a hole where the store writes the revision, so that a
//! read copies bytes instead of parsing them. Parsing happens only where another version differs in more than its
//! name, or where a custom object was written before its schema got new defaults.

use aphex_schema::default;
use aphex_store::{Entry, Payload};
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value};

use crate::convert;
use crate::object;
use crate::resource::Resource;
use crate::status::Status;

const HEAD: &[u8] = b"{\"apiVersion\":\"";

/// Serialises an object for the store, in the version it is stored in.
pub fn encode(object: &Value, resource: &Resource) -> Payload {
    let converted = convert::to_storage(object, resource);
    let (mut bytes, mut stamp) = (Vec::with_capacity(1024), None);
    bytes.extend_from_slice(HEAD);
    bytes.extend_from_slice(resource.storage.api_version.as_bytes());
    bytes.push(b'"');
    let empty = Map::new();
    for (field, value) in converted.as_object().unwrap_or(&empty) {
        if field == "apiVersion" {
            continue;
        }
        bytes.push(b',');
        write(&mut bytes, field);
        bytes.push(b':');
        match value {
            Value::Object(metadata) if field == "metadata" => {
                stamp = Some(write_metadata(&mut bytes, metadata));
            }
            value => write(&mut bytes, value),
        }
    }
    bytes.push(b'}');
    Payload { bytes: bytes.into(), stamp }
}

/// Writes metadata with an empty revision; gives the offset where the revision goes.
fn write_metadata(bytes: &mut Vec<u8>, metadata: &Map<String, Value>) -> usize {
    bytes.extend_from_slice(b"{\"resourceVersion\":\"");
    let stamp = bytes.len();
    bytes.push(b'"');
    for (field, value) in metadata.iter().filter(|(field, _)| *field != "resourceVersion") {
        bytes.push(b',');
        write(bytes, field);
        bytes.push(b':');
        write(bytes, value);
    }
    bytes.push(b'}');
    stamp
}

fn write<T: serde::Serialize + ?Sized>(bytes: &mut Vec<u8>, value: &T) {
    // JSON values under string keys always serialise, and a Vec takes every write.
    let _ = serde_json::to_writer(bytes, value);
}

/// Parses stored bytes.
pub fn parse(bytes: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(bytes).map_err(|error| {
        tracing::error!(%error, "a stored object cannot be read");
        Status::internal("stored object cannot be read")
    })
}

/// An entry as an object of the resource's version.
pub fn read(resource: &Resource, entry: &Entry) -> Result<Value, Status> {
    let mut object = parse(&entry.value)?;
    if is_stale(resource, entry) {
        refresh(resource, &mut object);
    }
    convert::from_storage(&mut object, resource);
    Ok(object)
}

/// An entry as bytes of the resource's version.
pub fn serve(resource: &Resource, entry: &Entry) -> Result<Bytes, Status> {
    serve_bytes(resource, entry, &entry.value)
}

/// Other bytes of an entry (restamped ones) in the resource's version.
pub fn serve_bytes(resource: &Resource, entry: &Entry, bytes: &Bytes) -> Result<Bytes, Status> {
    if is_stale(resource, entry) || convert::is_structural(resource) {
        let mut object = parse(bytes)?;
        if is_stale(resource, entry) {
            refresh(resource, &mut object);
        }
        convert::from_storage(&mut object, resource);
        return Ok(to_bytes(&object));
    }
    Ok(with_api_version(bytes, resource))
}

/// The same bytes under the resource's `apiVersion`.
fn with_api_version(bytes: &Bytes, resource: &Resource) -> Bytes {
    let Some(rest) = bytes.strip_prefix(HEAD) else { return bytes.clone() };
    let Some(end) = rest.iter().position(|byte| *byte == b'"') else { return bytes.clone() };
    let (group, version) = (resource.group.as_bytes(), resource.version.as_bytes());
    let stored = &rest[..end];
    let same = match stored.iter().position(|byte| *byte == b'/') {
        Some(slash) => &stored[..slash] == group && &stored[slash + 1..] == version,
        None => group.is_empty() && stored == version,
    };
    if same {
        return bytes.clone();
    }
    let mut out = BytesMut::with_capacity(bytes.len() + version.len());
    out.put_slice(HEAD);
    out.put_slice(resource.api_version().as_bytes());
    out.put_slice(&rest[end..]);
    out.freeze()
}

/// Whether the object was written under an older schema of its definition.
fn is_stale(resource: &Resource, entry: &Entry) -> bool {
    resource
        .custom()
        .is_some_and(|custom| entry.modified < custom.since && default::has_defaults(&custom.schema))
}

fn refresh(resource: &Resource, object: &mut Value) {
    if let Some(custom) = resource.custom() {
        default::apply(object, custom.typed());
    }
}

/// An object as JSON bytes, `apiVersion` and `kind` first.
pub fn to_bytes(object: &Value) -> Bytes {
    let mut bytes = Vec::with_capacity(1024);
    write(&mut bytes, object);
    bytes.into()
}

/// The object with its revision filled in, as a write that stores nothing answers it.
pub fn with_revision(mut object: Value, revision: u64) -> Value {
    object::set_meta(&mut object, "resourceVersion", Some(Value::String(revision.to_string())));
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::Registry;

    #[test]
    fn the_stamp_is_where_the_revision_goes() {
        let snapshot = Registry::new().snapshot();
        let resource = snapshot.resource("", "v1", "configmaps").unwrap();
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "9"}});
        let payload = encode(&object, resource);
        let stamp = payload.stamp.unwrap();
        let mut text = String::from_utf8(payload.bytes.to_vec()).unwrap();
        text.insert_str(stamp, "42");
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["metadata"], json!({"name": "a", "resourceVersion": "42"}));
        assert!(text.starts_with("{\"apiVersion\":\"v1\""));
    }

    #[test]
    fn another_version_of_the_same_shape_is_spliced_in() {
        let snapshot = Registry::new().snapshot();
        let resource = snapshot.resource("apps", "v1", "deployments").unwrap();
        let old = Bytes::from_static(b"{\"apiVersion\":\"apps/v1beta1\",\"kind\":\"Deployment\"}");
        assert_eq!(
            &with_api_version(&old, resource)[..],
            b"{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\"}"
        );
        let same = Bytes::from_static(b"{\"apiVersion\":\"apps/v1\"}");
        assert_eq!(with_api_version(&same, resource), same);
    }
}

//! Objects as bytes: how they are stored, and how stored bytes become what a version serves.
//!
//! Stored bytes start with kind and version and have a hole where the store writes the revision, so that a read
//! copies bytes instead of parsing them. Parsing happens only where another version differs in more than its name, or
//! where a custom object was written before its schema got new defaults.
//!
//! Fields come in the order of Kubernetes' answers as far as clients can tell: built-in objects begin with `kind`, as
//! their Go types do, and custom ones with `apiVersion`, as sorted maps do.

use aphex_schema::default;
use aphex_store::{Entry, Payload};
use bytes::{BufMut, Bytes, BytesMut};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::convert;
use crate::object;
use crate::resource::Resource;
use crate::status::Status;

const CUSTOM_HEAD: &[u8] = b"{\"apiVersion\":\"";
const BUILTIN_HEAD: &[u8] = b"{\"kind\":\"";
const VERSION_AFTER_KIND: &[u8] = b"\",\"apiVersion\":\"";

/// Serialises an object for the store, in the version it is stored in.
pub fn encode(object: &Value, resource: &Resource) -> Payload {
    let converted = convert::to_storage(object, resource);
    let (mut bytes, mut stamp) = (Vec::with_capacity(1024), None);
    let empty = Map::new();
    let fields = converted.as_object().unwrap_or(&empty);
    let kind = fields.get("kind").and_then(Value::as_str).unwrap_or(&resource.kind);
    if resource.custom().is_some() {
        let parts =
            [CUSTOM_HEAD, resource.storage.api_version.as_bytes(), b"\",\"kind\":\"", kind.as_bytes()];
        bytes.extend(parts.concat());
    } else {
        let version = resource.storage.api_version.as_bytes();
        bytes.extend([BUILTIN_HEAD, kind.as_bytes(), VERSION_AFTER_KIND, version].concat());
    }
    bytes.push(b'"');
    for (field, value) in fields.iter().filter(|(field, _)| !is_type_field(field)) {
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

fn is_type_field(field: &str) -> bool {
    field == "kind" || field == "apiVersion"
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

fn write<T: Serialize + ?Sized>(bytes: &mut Vec<u8>, value: &T) {
    // JSON values under string keys always serialise, and a Vec takes every write.
    let _ = serde_json::to_writer(bytes, value);
}

/// Parses stored bytes.
pub fn parse(bytes: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(bytes).map_err(|error| unreadable(&error))
}

/// Parses specification and status of stored bytes and nothing else.
pub fn parse_content(bytes: &[u8]) -> Result<Value, Status> {
    #[derive(Deserialize)]
    struct Object {
        #[serde(default)]
        spec: Value,
        #[serde(default)]
        status: Value,
    }
    let object: Object = serde_json::from_slice(bytes).map_err(|error| unreadable(&error))?;
    Ok(json!({ "spec": object.spec, "status": object.status }))
}

/// The phase in the status of stored bytes, or "", found without building any of the object.
pub fn phase(bytes: &[u8]) -> Result<String, Status> {
    #[derive(Deserialize)]
    struct Phase {
        phase: Option<String>,
    }
    #[derive(Deserialize)]
    struct Object {
        status: Option<Phase>,
    }
    let object: Object = serde_json::from_slice(bytes).map_err(|error| unreadable(&error))?;
    Ok(object.status.and_then(|status| status.phase).unwrap_or_default())
}

/// The metadata of stored bytes as they are, found without building any of the object.
pub fn raw_metadata(bytes: &Bytes) -> Option<Bytes> {
    // The end of the value, or name, that begins there; stored JSON has no spaces.
    let end = |from: usize| {
        let mut values = serde_json::Deserializer::from_slice(bytes.get(from..)?).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        Some(from + values.byte_offset())
    };
    let mut at = 1;
    loop {
        let colon = end(at)?;
        let value = (bytes.get(colon) == Some(&b':')).then_some(colon + 1)?;
        let after = end(value)?;
        if &bytes[at..colon] == b"\"metadata\"" {
            return Some(bytes.slice(value..after));
        }
        at = (bytes.get(after) == Some(&b',')).then_some(after + 1)?;
    }
}

fn unreadable(error: &serde_json::Error) -> Status {
    tracing::error!(%error, "a stored object cannot be read");
    Status::internal("stored object cannot be read")
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
    let Some((start, end)) = version_in(bytes) else { return bytes.clone() };
    let (group, version) = (resource.group.as_bytes(), resource.version.as_bytes());
    let stored = &bytes[start..end];
    let same = match stored.iter().position(|byte| *byte == b'/') {
        Some(slash) => &stored[..slash] == group && &stored[slash + 1..] == version,
        None => group.is_empty() && stored == version,
    };
    if same {
        return bytes.clone();
    }
    let mut out = BytesMut::with_capacity(bytes.len() + version.len());
    out.put_slice(&bytes[..start]);
    out.put_slice(resource.api_version().as_bytes());
    out.put_slice(&bytes[end..]);
    out.freeze()
}

/// Where the `apiVersion` at the beginning of stored bytes starts and ends.
fn version_in(bytes: &[u8]) -> Option<(usize, usize)> {
    let quote = |from: usize| bytes[from..].iter().position(|byte| *byte == b'"').map(|at| from + at);
    let start = if bytes.starts_with(CUSTOM_HEAD) {
        CUSTOM_HEAD.len()
    } else {
        let after_kind = quote(bytes.strip_prefix(BUILTIN_HEAD).map(|_| BUILTIN_HEAD.len())?)?;
        bytes[after_kind..]
            .starts_with(VERSION_AFTER_KIND)
            .then_some(after_kind + VERSION_AFTER_KIND.len())?
    };
    Some((start, quote(start)?))
}

/// The fields of a built-in object within a list, where Go leaves kind and version to the list: `"metadata":…}`.
pub fn without_type(bytes: &Bytes) -> Option<Bytes> {
    let (_, end) = bytes.starts_with(BUILTIN_HEAD).then(|| version_in(bytes))??;
    bytes[end..].starts_with(b"\",").then(|| bytes.slice(end + 2..))
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

/// An object as JSON bytes, `kind` and `apiVersion` first.
pub fn to_bytes(object: &Value) -> Bytes {
    let mut bytes = Vec::with_capacity(1024);
    write(&mut bytes, &Ordered(object));
    bytes.into()
}

/// A value whose kind, version and metadata are written first, as Go's types have them.
#[derive(Debug)]
pub struct Ordered<'a>(pub &'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const FIRST: [&str; 3] = ["kind", "apiVersion", "metadata"];
        let Some(object) = self.0.as_object() else { return self.0.serialize(serializer) };
        let first = FIRST.iter().filter_map(|field| object.get_key_value(*field));
        serializer
            .collect_map(first.chain(object.iter().filter(|(field, _)| !FIRST.contains(&field.as_str()))))
    }
}

/// The object with its revision filled in, as a write that stores nothing answers it.
pub fn with_revision(mut object: Value, revision: u64) -> Value {
    object::set_meta(&mut object, "resourceVersion", Some(Value::String(revision.to_string())));
    object
}

#[cfg(test)]
mod tests {
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
        assert!(text.starts_with("{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{"), "{text}");
    }

    #[test]
    fn another_version_of_the_same_shape_is_spliced_in() {
        let snapshot = Registry::new().snapshot();
        let resource = snapshot.resource("apps", "v1", "deployments").unwrap();
        let deployment = |version: &str| {
            Bytes::from(format!("{{\"kind\":\"Deployment\",\"apiVersion\":\"{version}\",\"spec\":{{}}}}"))
        };
        assert_eq!(with_api_version(&deployment("apps/v1beta1"), resource), deployment("apps/v1"));
        assert_eq!(with_api_version(&deployment("apps/v1"), resource), deployment("apps/v1"));
        let custom = Bytes::from_static(b"{\"apiVersion\":\"apps/v2\",\"kind\":\"Deployment\"}");
        assert_eq!(
            &with_api_version(&custom, resource)[..],
            b"{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\"}"
        );
        assert_eq!(&without_type(&deployment("apps/v1")).unwrap()[..], b"\"spec\":{}}");
        assert_eq!(without_type(&custom), None);
    }

    #[test]
    fn metadata_is_found_without_the_rest() {
        let found = |object: &Value| {
            let snapshot = Registry::new().snapshot();
            let resource = snapshot.resource("", "v1", "configmaps").unwrap();
            raw_metadata(&encode(object, resource).bytes).map(|bytes| parse(&bytes).unwrap())
        };
        let metadata = json!({"labels": {"x": "a\"},{\"metadata\":"}, "name": "a", "resourceVersion": ""});
        let before = json!({"metadata": {"name": "other"}, "t": "\"metadata\":{}", "n": [1.5, true, null]});
        let object = json!({"metadata": metadata, "data": before, "zeta": {"metadata": 1}});
        assert_eq!(found(&object), Some(metadata));
        assert_eq!(found(&json!({"data": before})), None);
        for broken in ["", "{", "{}", "[]", "{\"metadata\"", "{\"metadata\":", "{\"metadata\":{", "{1:2}"] {
            assert_eq!(raw_metadata(&Bytes::from(broken)), None, "{broken}");
        }
    }

    #[test]
    fn content_is_read_without_metadata() {
        let bytes = br#"{"kind":"ResourceQuota","metadata":{"name":"a"},"spec":{"hard":{"pods":"1"}}}"#;
        assert_eq!(parse_content(bytes).unwrap(), json!({"spec": {"hard": {"pods": "1"}}, "status": null}));
        assert_eq!(phase(bytes).unwrap(), "");
        assert_eq!(phase(br#"{"spec":{},"status":{"conditions":[],"phase":"Active"}}"#).unwrap(), "Active");
    }

    #[test]
    fn kind_and_version_are_written_first() {
        let object =
            json!({"data": {}, "apiVersion": "v1", "metadata": {}, "kind": "ConfigMap", "binaryData": {}});
        assert_eq!(
            to_bytes(&object),
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{},"binaryData":{},"data":{}}"#
        );
    }
}

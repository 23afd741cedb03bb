//! Writing answers: one object, a list, a Status; in the shape and encoding that was asked for.

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WARNING};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::body::Body;
use crate::call::{Call, Warnings};
use crate::codec;
use crate::request::{Encoding, Output, Shape};
use crate::status::Status;
use crate::table;

/// Names the request, as Kubernetes' audit does; clients log it.
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// Pieces of a streamed list have about this size.
const PIECE: usize = 128 * 1024;

/// An object on its way out.
#[derive(Debug)]
pub enum Served {
    /// Bytes of the object in the version asked for.
    Bytes(Bytes),
    /// The object itself.
    Value(Value),
}

impl Served {
    /// The object.
    pub fn into_value(self) -> Result<Value, Status> {
        match self {
            Self::Bytes(bytes) => codec::parse(&bytes),
            Self::Value(value) => Ok(value),
        }
    }
}

/// The shape asked for must fit what there is.
fn check_shape(call: &Call, list: bool) -> Result<(), Status> {
    match call.output.shape {
        Shape::Table(_) => match call.query.get("includeObject") {
            None | Some("" | "None" | "Metadata" | "Object") => Ok(()),
            Some(other) => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be \
                 'Metadata', 'Object', 'None', or empty"
            ))),
        },
        Shape::MetadataList(_) if !list => Err(Status::new(
            406,
            "NotAcceptable",
            format!(
                "you requested PartialObjectMetadataList, but the requested object is not a list (*{}.{})",
                if call.resource.group.is_empty() { "core" } else { &call.resource.group },
                call.resource.kind
            ),
        )),
        _ => Ok(()),
    }
}

/// Answers with an object.
pub fn object(call: &Call, code: u16, served: Served) -> Result<Response<Body>, Status> {
    check_shape(call, false)?;
    let bytes = match (call.output, served) {
        (Output::JSON, Served::Bytes(bytes)) => bytes,
        (output, served) => {
            let value = served.into_value()?;
            let shaped = match output.shape {
                Shape::Object => value,
                _ if value["kind"] == "Status" => value,
                Shape::Table(version) => table::of_object(call, version, &value),
                Shape::Metadata(version) | Shape::MetadataList(version) => metadata_only(&value, version),
            };
            encode(&shaped, output.encoding)
        }
    };
    Ok(finish(call, code, Body::full(bytes)))
}

/// Answers with a value as it is, in the encoding asked for.
pub fn value(call: &Call, code: u16, value: &Value) -> Response<Body> {
    finish(call, code, Body::full(encode(value, call.output.encoding)))
}

/// The metadata of a list.
#[derive(Clone, Debug, Default)]
pub struct ListMeta {
    /// Revision of the list.
    pub revision: u64,
    /// Token of the next page.
    pub continue_token: Option<String>,
    /// How many objects follow.
    pub remaining: Option<usize>,
}

impl ListMeta {
    /// The object on the wire.
    pub fn to_json(&self) -> Value {
        let mut meta = json!({"resourceVersion": self.revision.to_string()});
        if let Some(token) = &self.continue_token {
            meta["continue"] = json!(token);
        }
        if let Some(remaining) = self.remaining {
            meta["remainingItemCount"] = json!(remaining);
        }
        meta
    }
}

/// Answers with a list of objects.
pub fn list(call: &Call, items: Vec<Bytes>, meta: &ListMeta) -> Result<Response<Body>, Status> {
    check_shape(call, true)?;
    if call.output == Output::JSON {
        return Ok(finish(call, 200, Body::stream(list_pieces(call, items, meta))));
    }
    let items: Vec<Value> = items.iter().map(|bytes| codec::parse(bytes)).collect::<Result<_, _>>()?;
    let whole = match call.output.shape {
        Shape::Object => json!({
            "kind": call.resource.list_kind,
            "apiVersion": call.resource.api_version(),
            "metadata": meta.to_json(),
            "items": items.into_iter().map(|item| in_list(call, item)).collect::<Vec<_>>(),
        }),
        Shape::Table(version) => table::of_list(call, version, &items, meta),
        Shape::Metadata(version) | Shape::MetadataList(version) => json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": format!("meta.k8s.io/{version}"),
            "metadata": meta.to_json(),
            "items": items.iter().map(|item| metadata_only(item, version)).collect::<Vec<_>>(),
        }),
    };
    Ok(finish(call, 200, Body::full(encode(&whole, call.output.encoding))))
}

/// An object within a list: built-in ones leave kind and version to the list.
fn in_list(call: &Call, mut item: Value) -> Value {
    if let Some(object) = item.as_object_mut().filter(|_| call.resource.custom().is_none()) {
        object.retain(|field, _| field != "kind" && field != "apiVersion");
    }
    item
}

/// The list in pieces: stored bytes are copied into them, never parsed.
fn list_pieces(
    call: &Call,
    items: Vec<Bytes>,
    meta: &ListMeta,
) -> impl futures::Stream<Item = Bytes> + use<> {
    let head = format!(
        "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{},\"items\":[",
        Value::from(call.resource.list_kind.as_str()),
        Value::from(call.resource.api_version()),
        meta.to_json()
    );
    let built_in = call.resource.custom().is_none();
    let state = (Some(BytesMut::from(head.as_bytes())), items.into_iter(), true);
    stream::unfold(state, move |(piece, mut items, mut first)| async move {
        let mut piece = piece?;
        while piece.len() < PIECE {
            let Some(item) = items.next() else {
                piece.put_slice(b"]}");
                return Some((piece.freeze(), (None, items, first)));
            };
            if !first {
                piece.put_u8(b',');
            }
            first = false;
            match codec::without_type(&item).filter(|_| built_in) {
                Some(fields) => {
                    piece.put_u8(b'{');
                    piece.put_slice(&fields);
                }
                None => piece.put_slice(&item),
            }
        }
        Some((piece.freeze(), (Some(BytesMut::with_capacity(PIECE + PIECE / 4)), items, first)))
    })
}

/// The object as `PartialObjectMetadata`.
pub fn metadata_only(object: &Value, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

/// The same of metadata that is JSON already.
pub fn raw_metadata_only(metadata: &[u8], version: &str) -> Bytes {
    let mut bytes = BytesMut::with_capacity(metadata.len() + 96);
    bytes.put_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/");
    bytes.put_slice(version.as_bytes());
    bytes.put_slice(b"\",\"metadata\":");
    bytes.put_slice(metadata);
    bytes.put_u8(b'}');
    bytes.freeze()
}

/// A value in an encoding.
pub fn encode(value: &Value, encoding: Encoding) -> Bytes {
    match encoding {
        Encoding::Json => codec::to_bytes(value),
        Encoding::PrettyJson => serde_json::to_vec_pretty(&codec::Ordered(value)).unwrap_or_default().into(),
        // A JSON value is always representable in YAML.
        Encoding::Yaml => serde_saphyr::to_string(value).unwrap_or_default().into(),
    }
}

/// Wraps a body into the answer to a call.
pub fn finish(call: &Call, code: u16, body: Body) -> Response<Body> {
    warned(plain(code, call.output.content_type(), body), &call.warnings)
}

/// The same answer with warnings.
pub fn warned(mut response: Response<Body>, warnings: &Warnings) -> Response<Body> {
    for warning in warnings.all() {
        if let Ok(value) = HeaderValue::from_str(&warning_header(&warning)) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

/// An answer with that body.
pub fn plain(code: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if let Ok(id) = HeaderValue::from_str(&crate::uid::v4()) {
        headers.insert(AUDIT_ID, id);
    }
    response
}

/// A `Status` as an answer: the one conversion of errors to bytes.
pub fn status(status: &Status, output: Output) -> Response<Body> {
    let bytes = match output.encoding {
        Encoding::Json => status.to_bytes().into(),
        other => encode(&status.to_json(), other),
    };
    let mut response = plain(status.code, output.content_type(), Body::full(bytes));
    if let Some(seconds) = status.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// `299 - "text"`, as RFC 7234 and `k8s.io/apimachinery/pkg/util/net.NewWarningHeader` write it.
fn warning_header(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
    format!("299 - \"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted() {
        assert_eq!(warning_header("unknown field \"a\""), "299 - \"unknown field \\\"a\\\"\"");
    }

    #[test]
    fn a_status_asks_to_come_back_later_in_its_header() {
        let response = status(&Status::too_many_requests(), Output::JSON);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }
}

//! OpenAPI documents: v3 per group version under hashed URLs, v2 as a whole in JSON and protobuf.
//!
//! Those of built-in kinds are published data; those of custom kinds follow from their definitions. Documents are
//! large and asked for rarely, so only the last few composed ones are kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aphex_schema::openapi::{CustomKind, add_to_v2, custom_v3};
use aphex_schema::{builtin, gnostic};
use bytes::Bytes;
use http::header::{ACCEPT, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Response};
use serde_json::{Map, Value, json};

use crate::body::Body;
use crate::discovery::etag;
use crate::registry::Snapshot;
use crate::request::Query;
use crate::resource::{Custom, Resource};
use crate::respond;
use crate::server::ApiServer;

/// How many composed documents are kept.
const KEPT: usize = 4;
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// The documents that were asked for last, with the generation of the registry they belong to.
#[derive(Debug, Default)]
pub struct Cache(Mutex<(u64, Vec<(String, Document)>)>);

#[derive(Clone, Debug)]
struct Document {
    bytes: Bytes,
    etag: String,
    content_type: &'static str,
}

impl Document {
    fn json(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { etag: etag(&bytes), bytes, content_type: JSON }
    }
}

/// Answers paths below `/openapi`.
pub async fn answer(
    server: &Arc<ApiServer>,
    path: &[&str],
    query: &Query,
    headers: &HeaderMap,
) -> Response<Body> {
    let mut name = path.join("/");
    let accepts =
        |what: &str| headers.get(ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains(what));
    if name == "v2" && (accepts(gnostic::ACCEPT) || accepts(gnostic::CONTENT_TYPE)) {
        "v2/protobuf".clone_into(&mut name);
    }
    let server = Arc::clone(server);
    // Composing a document takes many milliseconds.
    let found = tokio::task::spawn_blocking(move || document(&server, &name)).await;
    let Ok(Some(document)) = found else { return nothing() };
    let known = headers.get(IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == document.etag.as_bytes());
    let (code, body) = if known { (304, Bytes::new()) } else { (200, document.bytes) };
    let mut response = respond::plain(code, document.content_type, Body::full(body));
    if let Ok(tag) = HeaderValue::from_str(&document.etag) {
        response.headers_mut().insert(ETAG, tag);
    }
    if query.get("hash").is_some() {
        // The URL changes with the document (`k8s.io/kube-openapi/pkg/handler3`).
        let forever = HeaderValue::from_static("public, immutable, max-age=31536000");
        response.headers_mut().insert(http::header::CACHE_CONTROL, forever);
    }
    response
}

/// What no document is published for is answered without a word.
fn nothing() -> Response<Body> {
    let mut response = respond::plain(404, JSON, Body::full(Bytes::new()));
    response.headers_mut().remove(http::header::CONTENT_TYPE);
    response
}

fn document(server: &ApiServer, name: &str) -> Option<Document> {
    let snapshot = server.registry.snapshot();
    {
        let mut cache = server.openapi.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.0 != snapshot.generation {
            *cache = (snapshot.generation, Vec::new());
        }
        if let Some((_, found)) = cache.1.iter().find(|(known, _)| known == name) {
            return Some(found.clone());
        }
    }
    let document = compose(&snapshot, name)?;
    let mut cache = server.openapi.0.lock().unwrap_or_else(PoisonError::into_inner);
    if cache.0 == snapshot.generation {
        if cache.1.len() >= KEPT {
            cache.1.remove(0);
        }
        cache.1.push((name.to_owned(), document.clone()));
    }
    Some(document)
}

fn compose(snapshot: &Snapshot, name: &str) -> Option<Document> {
    match name {
        "v2" => Some(Document::json(swagger(snapshot).to_string())),
        "v2/protobuf" => {
            let bytes: Bytes = gnostic::encode(&swagger(snapshot)).into();
            Some(Document { etag: etag(&bytes), bytes, content_type: gnostic::CONTENT_TYPE })
        }
        // kube-apiserver says so of this one document.
        "v3" => {
            Some(Document { content_type: TEXT, ..Document::json(crate::codec::to_bytes(&index(snapshot))) })
        }
        name => {
            let path = name.strip_prefix("v3/")?;
            let custom = custom_versions(snapshot);
            let document = match custom.get(path) {
                Some(resources) => custom_v3(&kinds(resources)),
                None => builtin::openapi_v3(path)?,
            };
            Some(Document::json(document))
        }
    }
}

/// The v2 document of everything served.
fn swagger(snapshot: &Snapshot) -> Value {
    let mut swagger = builtin::swagger();
    for resources in custom_versions(snapshot).values() {
        for kind in kinds(resources) {
            add_to_v2(&mut swagger, &kind);
        }
    }
    swagger
}

/// The index of v3 documents; the hash makes each URL cacheable for ever.
fn index(snapshot: &Snapshot) -> Value {
    let mut paths = Map::new();
    let mut add = |path: &str, hash: &str| {
        let hash = hash.trim_matches('"');
        paths
            .insert(path.to_owned(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}));
    };
    for path in builtin::openapi_v3_paths() {
        // Published data changes only with the program.
        add(&path, &etag(format!("{} {path}", env!("CARGO_PKG_VERSION")).as_bytes()));
    }
    for (path, resources) in custom_versions(snapshot) {
        let written: Vec<Value> =
            kinds(&resources).iter().map(|kind| json!([kind.definition_name(), kind.schema])).collect();
        add(&path, &etag(Value::from(written).to_string().as_bytes()));
    }
    json!({"paths": paths})
}

/// Custom resources by the path of their group version's document.
fn custom_versions(snapshot: &Snapshot) -> BTreeMap<String, Vec<&Resource>> {
    let mut found: BTreeMap<String, Vec<&Resource>> = BTreeMap::new();
    for resource in
        snapshot.groups.iter().flat_map(|group| &group.versions).flat_map(|version| &version.resources)
    {
        if resource.custom().is_some() {
            found.entry(format!("apis/{}/{}", resource.group, resource.version)).or_default().push(resource);
        }
    }
    found
}

fn kinds<'a>(resources: &[&'a Resource]) -> Vec<CustomKind<'a>> {
    let described = |resource: &&'a Resource| resource.custom().map(|custom| kind(resource, custom));
    resources.iter().filter_map(described).collect()
}

fn kind<'a>(resource: &'a Resource, custom: &'a Custom) -> CustomKind<'a> {
    CustomKind {
        group: &resource.group,
        version: &resource.version,
        kind: &resource.kind,
        list_kind: &resource.list_kind,
        plural: &resource.plural,
        namespaced: resource.namespaced,
        status: resource.has_status(),
        scale: resource.subresources.contains_key("scale"),
        schema: &custom.published,
    }
}

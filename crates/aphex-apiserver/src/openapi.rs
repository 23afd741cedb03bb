//! OpenAPI documents: v3 per group version with hashed URLs, v2 as a whole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aphex_schema::builtin;
use bytes::Bytes;
use http::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Response};
use serde_json::{Map, Value, json};

use crate::body::Body;
use crate::discovery::etag;
use crate::health;
use crate::request::Query;
use crate::respond;
use crate::server::ApiServer;

/// Documents that have been asked for, with the generation of the registry they belong to.
#[derive(Debug, Default)]
pub struct Cache(Mutex<(u64, HashMap<String, Document>)>);

#[derive(Clone, Debug)]
struct Document {
    bytes: Bytes,
    etag: String,
}

/// Answers paths below `/openapi`.
pub async fn answer(
    server: &Arc<ApiServer>,
    path: &[&str],
    query: &Query,
    headers: &HeaderMap,
) -> Response<Body> {
    let _ = query;
    let name = path.join("/");
    let server = Arc::clone(server);
    // Composing a document takes many milliseconds the first time.
    let found = tokio::task::spawn_blocking(move || document(&server, &name)).await;
    let Ok(Some(document)) = found else { return health::not_found() };
    let known = headers.get(IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == document.etag.as_bytes());
    let (code, body) = if known { (304, Bytes::new()) } else { (200, document.bytes) };
    let mut response = respond::plain(code, "application/json", Body::full(body));
    if let Ok(tag) = HeaderValue::from_str(&document.etag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn document(server: &ApiServer, name: &str) -> Option<Document> {
    let generation = server.registry.snapshot().generation;
    {
        let mut cache = server.openapi.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.0 != generation {
            *cache = (generation, HashMap::new());
        }
        if let Some(found) = cache.1.get(name) {
            return Some(found.clone());
        }
    }
    let bytes: Bytes = match name {
        "v2" => builtin::openapi_v2().into(),
        "v3" => crate::codec::to_bytes(&paths(server)),
        name => builtin::openapi_v3(name.strip_prefix("v3/")?)?.into(),
    };
    let document = Document { etag: etag(&bytes), bytes };
    let mut cache = server.openapi.0.lock().unwrap_or_else(PoisonError::into_inner);
    if cache.0 == generation {
        cache.1.insert(name.to_owned(), document.clone());
    }
    Some(document)
}

/// The index of v3 documents; the hash makes each URL cacheable for ever.
fn paths(server: &ApiServer) -> Value {
    let mut paths = Map::new();
    for path in builtin::openapi_v3_paths() {
        if let Some(document) = document(server, &format!("v3/{path}")) {
            let hash = document.etag.trim_matches('"');
            paths.insert(
                path.clone(),
                json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}),
            );
        }
    }
    json!({"paths": paths})
}

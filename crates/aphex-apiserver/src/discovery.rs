//! Discovery: which groups, versions and resources there are, in the old form and the aggregated one.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{ETAG, HOST, HeaderName, HeaderValue, IF_NONE_MATCH, VARY};
use http::{HeaderMap, Response};
use serde_json::{Value, json};

use crate::body::Body;
use crate::health;
use crate::registry::{Group, Snapshot, Version};
use crate::request::Query;
use crate::request::negotiate::media_ranges;
use crate::resource::{Resource, Subresource, api_version};
use crate::respond;
use crate::server::ApiServer;
use crate::status::Status;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The aggregated documents of one snapshot: `/api` and `/apis`.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Option<(u64, Arc<[Document; 2]>)>>);

#[derive(Debug)]
struct Document {
    bytes: Bytes,
    etag: String,
}

/// Answers paths that list what is served.
pub fn answer(
    server: &ApiServer,
    path: &[&str],
    query: &Query,
    headers: &HeaderMap,
) -> Result<Response<Body>, Status> {
    let snapshot = server.registry.snapshot();
    if let ["api" | "apis"] = path
        && wants_aggregated(headers)
    {
        return Ok(aggregated(server, &snapshot, path == ["apis"], headers));
    }
    let document = match path {
        [] => index(&snapshot),
        ["api"] => json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": host(headers)}],
        }),
        ["apis"] => {
            let groups: Vec<Value> = named(&snapshot).map(group).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        }
        ["api", version] => match find(&snapshot, "", version) {
            Some(found) => resource_list("", found),
            None => return Err(Status::no_resource()),
        },
        ["apis", name] => match snapshot.group(name).filter(|group| !group.name.is_empty()) {
            Some(found) => {
                let mut document = group(found);
                document["kind"] = json!("APIGroup");
                document["apiVersion"] = json!("v1");
                document
            }
            None => return Ok(health::not_found()),
        },
        ["apis", name, version] if snapshot.group(name).is_some() => match find(&snapshot, name, version) {
            Some(found) => resource_list(name, found),
            None => return Err(Status::no_resource()),
        },
        _ => return Ok(health::not_found()),
    };
    let output = ApiServer::plain_output(headers, query);
    let bytes = respond::encode(&document, output.encoding);
    Ok(respond::plain(200, output.content_type(), Body::full(bytes)))
}

fn host(headers: &HeaderMap) -> &str {
    headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

fn named(snapshot: &Snapshot) -> impl Iterator<Item = &Group> {
    snapshot.groups.iter().filter(|group| !group.name.is_empty())
}

fn find<'a>(snapshot: &'a Snapshot, group: &str, version: &str) -> Option<&'a Version> {
    snapshot.group(group)?.versions.iter().find(|found| found.name == version)
}

fn index(snapshot: &Snapshot) -> Value {
    let mut paths: Vec<String> = ["/api", "/api/v1", "/apis", "/apis/"].map(str::to_owned).to_vec();
    for group in named(snapshot) {
        paths.push(format!("/apis/{}", group.name));
        paths.extend(group.versions.iter().map(|version| format!("/apis/{}/{}", group.name, version.name)));
    }
    let fixed = [
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/readyz",
        "/version",
    ];
    paths.extend(fixed.map(str::to_owned));
    paths.sort();
    json!({"paths": paths})
}

fn group(group: &Group) -> Value {
    let version = |version: &Version| json!({"groupVersion": api_version(&group.name, &version.name), "version": version.name});
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    json!({"name": group.name, "preferredVersion": versions.first(), "versions": versions})
}

fn resource_list(group: &str, version: &Version) -> Value {
    let mut resources = Vec::new();
    for resource in &version.resources {
        let mut entry = json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": resource.verbs,
        });
        add_names(&mut entry, resource);
        if !resource.storage_version_hash.is_empty() {
            entry["storageVersionHash"] = json!(resource.storage_version_hash);
        }
        resources.push(entry);
        for (name, sub) in subresources(resource) {
            let mut entry = json!({
                "name": format!("{}/{name}", resource.plural),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": sub.kind,
                "verbs": sub.verbs,
            });
            if !sub.version.is_empty() {
                entry["group"] = json!(sub.group);
                entry["version"] = json!(sub.version);
            }
            resources.push(entry);
        }
    }
    let mut list = json!({
        "kind": "APIResourceList",
        "groupVersion": api_version(group, &version.name),
        "resources": resources,
    });
    // The oldest list of all does not say it.
    if !group.is_empty() {
        list["apiVersion"] = json!("v1");
    }
    list
}

/// Subresources by name; those of custom resources with the status first.
fn subresources(resource: &Resource) -> impl Iterator<Item = (&String, &Subresource)> {
    let custom = resource.custom().is_some();
    let mut all: Vec<_> = resource.subresources.iter().collect();
    all.sort_by_key(|(name, _)| custom && name.as_str() != "status");
    all.into_iter()
}

fn add_names(entry: &mut Value, resource: &Resource) {
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
}

fn wants_aggregated(headers: &HeaderMap) -> bool {
    let ranges = media_ranges(headers);
    let wanted = ranges.iter().find(|range| matches!(range.media, "application/json" | "*/*"));
    ranges.iter().any(|range| {
        range.media == "application/json"
            && range.parameter("g") == Some("apidiscovery.k8s.io")
            && range.parameter("v") == Some("v2")
            && range.parameter("as") == Some("APIGroupDiscoveryList")
    }) && wanted.is_none_or(|first| first.parameter("as").is_some())
}

fn aggregated(server: &ApiServer, snapshot: &Snapshot, groups: bool, headers: &HeaderMap) -> Response<Body> {
    let documents = {
        let mut cache = server.discovery.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cache {
            Some((generation, documents)) if *generation == snapshot.generation => Arc::clone(documents),
            _ => {
                let documents = Arc::new([document(snapshot, false), document(snapshot, true)]);
                *cache = Some((snapshot.generation, Arc::clone(&documents)));
                documents
            }
        }
    };
    with_etag(&documents[usize::from(groups)], AGGREGATED, headers)
}

fn with_etag(document: &Document, content_type: &'static str, headers: &HeaderMap) -> Response<Body> {
    let known = headers.get(IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == document.etag.as_bytes());
    let (code, body) = if known { (304, Bytes::new()) } else { (200, document.bytes.clone()) };
    let mut response = respond::plain(code, content_type, Body::full(body));
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&document.etag) {
        headers.insert(ETAG, tag);
    }
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(HeaderName::from_static("cache-control"), HeaderValue::from_static("public"));
    response
}

fn document(snapshot: &Snapshot, groups: bool) -> Document {
    let items: Vec<Value> = snapshot
        .groups
        .iter()
        .filter(|group| group.name.is_empty() != groups)
        .map(|group| {
            let metadata = if groups { json!({"name": group.name}) } else { json!({}) };
            let versions: Vec<Value> = group.versions.iter().map(discovered).collect();
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let whole = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    });
    let bytes = crate::codec::to_bytes(&whole);
    Document { etag: etag(&bytes), bytes }
}

/// A tag that changes with the bytes.
pub fn etag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let mut tag = String::new();
    // Writing to a String cannot fail.
    let _ = write!(tag, "\"{:016X}{:08X}\"", hasher.finish(), bytes.len());
    tag
}

fn discovered(version: &Version) -> Value {
    let resources: Vec<Value> = version
        .resources
        .iter()
        .map(|resource| {
            let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
            // Built-in kinds say their group and version only where they are others than the list's.
            let own = if resource.custom().is_some() {
                (resource.group.as_str(), resource.version.as_str())
            } else {
                ("", "")
            };
            let scope = if resource.namespaced { "Namespaced" } else { "Cluster" };
            let mut entry = json!({
                "resource": resource.plural,
                "responseKind": kind(own.0, own.1, &resource.kind),
                "scope": scope,
                "singularResource": resource.singular,
                "verbs": resource.verbs,
            });
            add_names(&mut entry, resource);
            let subresources = subresources(resource).map(|(name, sub)| {
                let (group, version) =
                    if sub.version.is_empty() { own } else { (sub.group.as_str(), sub.version.as_str()) };
                json!({"subresource": name, "responseKind": kind(group, version, &sub.kind), "verbs": sub.verbs})
            });
            let subresources: Vec<Value> = subresources.collect();
            if !subresources.is_empty() {
                entry["subresources"] = Value::Array(subresources);
            }
            entry
        })
        .collect();
    json!({"version": version.name, "resources": resources, "freshness": "Current"})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn subresources_sit_under_their_resource_in_the_aggregated_form() {
        let snapshot = Registry::new().snapshot();
        let document: Value = serde_json::from_slice(&document(&snapshot, true).bytes).unwrap();
        let apps =
            document["items"].as_array().unwrap().iter().find(|g| g["metadata"]["name"] == "apps").unwrap();
        let resources = apps["versions"][0]["resources"].as_array().unwrap();
        let deployments = resources.iter().find(|r| r["resource"] == "deployments").unwrap();
        assert_eq!(deployments["responseKind"]["kind"], "Deployment");
        assert_eq!(deployments["subresources"][0]["responseKind"]["group"], "autoscaling");
    }

    #[test]
    fn the_aggregated_form_is_given_to_those_who_put_it_first() {
        let with = |accept: &str| HeaderMap::from_iter([(http::header::ACCEPT, accept.parse().unwrap())]);
        assert!(wants_aggregated(&with(&format!("{AGGREGATED},application/json"))));
        assert!(!wants_aggregated(&with("application/json")));
    }
}

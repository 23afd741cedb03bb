//! Makes the data files of `aphex-schema` from the API descriptions Kubernetes publishes with its source.
//!
//! In: `api/openapi-spec/v3/*.json` and `api/discovery/*.json` of the `k8s.io/kubernetes` module.
//! Out: three gzipped JSON files, the same bytes for the same input.
//! - `definitions.json.gz`: every definition that the served group versions reach, by name.
//! - `paths.json.gz`: the paths of each document; parameters and responses are numbers into shared tables.
//! - `resources.json.gz`: groups in discovery order, their versions and resources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::{Compression, GzBuilder};
use serde_json::{Map, Value, json};

/// The group versions served, groups in the order of discovery; the first version of a group is preferred.
const SERVED: &[(&str, &[&str])] = &[
    ("", &["v1"]),
    ("apiregistration.k8s.io", &["v1"]),
    ("apps", &["v1"]),
    ("events.k8s.io", &["v1"]),
    ("authentication.k8s.io", &["v1"]),
    ("authorization.k8s.io", &["v1"]),
    ("autoscaling", &["v2", "v1"]),
    ("batch", &["v1"]),
    ("certificates.k8s.io", &["v1"]),
    ("networking.k8s.io", &["v1"]),
    ("policy", &["v1"]),
    ("rbac.authorization.k8s.io", &["v1"]),
    ("storage.k8s.io", &["v1"]),
    ("admissionregistration.k8s.io", &["v1"]),
    ("apiextensions.k8s.io", &["v1"]),
    ("scheduling.k8s.io", &["v1"]),
    ("coordination.k8s.io", &["v1"]),
    ("node.k8s.io", &["v1"]),
    ("discovery.k8s.io", &["v1"]),
    ("resource.k8s.io", &["v1"]),
    ("flowcontrol.apiserver.k8s.io", &["v1"]),
];

/// Documents beside those of groups and versions.
const GENERAL: &[&str] = &["api", "apis", "version", ".well-known/openid-configuration", "openid/v1/jwks"];

/// Subresources that need a kubelet, which we do not have, are neither discovered nor described.
fn is_served(resource: &str) -> bool {
    const NEEDS_NODE: &[&str] = &["attach", "exec", "log", "portforward", "proxy"];
    !resource.split_once('/').is_some_and(|(_, sub)| NEEDS_NODE.contains(&sub))
}

/// Writes the data files into `out`.
pub(crate) fn generate(kubernetes: &Path, out: &Path) -> Result<()> {
    let mut documents = BTreeMap::new();
    let mut definitions = Map::new();
    for name in document_names() {
        let file = kubernetes.join(format!("api/openapi-spec/v3/{}_openapi.json", name.replace('/', "__")));
        let mut document = read(&file)?;
        collect_definitions(&mut document, &mut definitions, &file)?;
        let mut paths = take_object(&mut document, "paths");
        paths.retain(|path, _| is_described(path));
        paths.values_mut().for_each(drop_cbor);
        documents.insert(name, paths);
    }
    let reached = reachable(&documents, &definitions);
    definitions.retain(|name, _| reached.contains(name));
    write(&out.join("definitions.json.gz"), &Value::Object(definitions))?;
    write(&out.join("paths.json.gz"), &tabulate(documents))?;
    write(&out.join("resources.json.gz"), &resources(&kubernetes.join("api/discovery"))?)
}

const GVK: &str = "x-kubernetes-group-version-kind";

fn document_names() -> Vec<String> {
    let mut names: Vec<String> = GENERAL.iter().map(|name| (*name).to_owned()).collect();
    for (group, versions) in SERVED {
        if !group.is_empty() {
            names.push(format!("apis/{group}"));
        }
        names.extend(versions.iter().map(|version| match *group {
            "" => format!("api/{version}"),
            group => format!("apis/{group}/{version}"),
        }));
    }
    names
}

/// Whether a path belongs to a served resource; the long deprecated `/watch/` paths do not.
fn is_described(path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    parts.drain(..parts.len().min(if path.starts_with("/api/") { 2 } else { 3 }));
    if parts.first() == Some(&"watch") {
        return false;
    }
    if parts.len() > 2 && parts[0] == "namespaces" && parts[1] == "{namespace}" {
        parts.drain(..2);
    }
    match parts.as_slice() {
        [resource, "{name}", sub, ..] => is_served(&format!("{resource}/{sub}")),
        [resource, ..] => is_served(resource),
        [] => true,
    }
}

/// The published documents tell of an encoding that is behind a feature gate and off.
fn drop_cbor(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !(key.starts_with("application/") && key.contains("cbor")));
            map.values_mut().for_each(drop_cbor);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_cbor),
        _ => {}
    }
}

fn collect_definitions(document: &mut Value, into: &mut Map<String, Value>, file: &Path) -> Result<()> {
    let Some(components) = document.get_mut("components") else { return Ok(()) };
    for (name, schema) in take_object(components, "schemas") {
        match into.get(&name) {
            Some(known) if *known != schema => {
                bail!("{}: {name} differs from another document", file.display())
            }
            Some(_) => {}
            None => {
                into.insert(name, schema);
            }
        }
    }
    Ok(())
}

/// Names of the definitions that the paths or any kind reach; a reference to what is not there would make the whole
/// document useless to kubectl.
fn reachable(
    documents: &BTreeMap<String, Map<String, Value>>,
    definitions: &Map<String, Value>,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = Vec::new();
    for paths in documents.values() {
        paths.values().for_each(|item| references(item, &mut open));
    }
    let kinds = definitions.iter().filter(|(_, schema)| schema.get(GVK).is_some());
    open.extend(kinds.map(|(name, _)| name.clone()));
    while let Some(name) = open.pop() {
        if let Some(schema) = definitions.get(&name).filter(|_| found.insert(name)) {
            references(schema, &mut open);
        }
    }
    found
}

fn references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_str().and_then(|text| text.strip_prefix("#/components/schemas/")) {
                    Some(name) if key == "$ref" => into.push(name.to_owned()),
                    _ => references(value, into),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, into)),
        _ => {}
    }
}

/// Values that occur many times, numbered in the order of their first appearance.
#[derive(Default)]
struct Table {
    numbers: BTreeMap<String, usize>,
    values: Vec<Value>,
}

impl Table {
    fn number(&mut self, value: Value) -> Value {
        let next = self.values.len();
        let number = *self.numbers.entry(value.to_string()).or_insert(next);
        if number == next {
            self.values.push(value);
        }
        json!(number)
    }
}

fn tabulate(documents: BTreeMap<String, Map<String, Value>>) -> Value {
    let (mut parameters, mut responses) = (Table::default(), Table::default());
    let mut out = Map::new();
    for (name, mut paths) in documents {
        for item in paths.values_mut() {
            let Some(item) = item.as_object_mut() else { continue };
            for (key, value) in item.iter_mut() {
                if key == "parameters" {
                    number_all(value, &mut parameters);
                }
                for (key, value) in value.as_object_mut().into_iter().flatten() {
                    match key.as_str() {
                        "parameters" => number_all(value, &mut parameters),
                        "responses" => {
                            for response in value.as_object_mut().into_iter().flat_map(|map| map.values_mut())
                            {
                                *response = responses.number(response.take());
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
        out.insert(name, Value::Object(paths));
    }
    json!({ "parameters": parameters.values, "responses": responses.values, "documents": out })
}

fn number_all(list: &mut Value, table: &mut Table) {
    for value in list.as_array_mut().into_iter().flatten() {
        *value = table.number(value.take());
    }
}

fn resources(discovery: &Path) -> Result<Value> {
    let mut groups = Vec::new();
    for (group, versions) in SERVED {
        let mut served = Vec::new();
        for version in *versions {
            let file = match *group {
                "" => format!("api__{version}.json"),
                group => format!("apis__{group}__{version}.json"),
            };
            let mut list = read(&discovery.join(file))?;
            let Some(Value::Array(mut resources)) = list.get_mut("resources").map(Value::take) else {
                bail!("no resources in the discovery document of {group}/{version}");
            };
            resources.retain(|resource| resource["name"].as_str().is_some_and(is_served));
            served.push(json!({ "version": version, "resources": resources }));
        }
        groups.push(json!({ "name": group, "versions": served }));
    }
    Ok(json!({ "groups": groups }))
}

fn take_object(value: &mut Value, key: &str) -> Map<String, Value> {
    match value.get_mut(key).map(Value::take) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn read(file: &Path) -> Result<Value> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("cannot parse {}", file.display()))
}

fn write(file: &Path, value: &Value) -> Result<()> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let written = encoder.write_all(value.to_string().as_bytes()).and_then(|()| encoder.finish());
    fs::write(file, written.context("cannot compress")?)
        .with_context(|| format!("cannot write {}", file.display()))
}

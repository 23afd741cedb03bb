//! OpenAPI v3 documents put together again from the shipped tables.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{DEFINITIONS, PATHS, unpack};

/// The version that the documents bear, as kube-apiserver 1.35 writes it.
pub(super) const VERSION: &str = "1.35";

/// The shipped paths: parameters and responses are numbers into the tables.
#[derive(Deserialize, Default)]
pub(crate) struct Paths {
    parameters: Vec<Value>,
    responses: Vec<Value>,
    pub(super) documents: BTreeMap<String, Map<String, Value>>,
}

impl Paths {
    pub(crate) fn load() -> Self {
        unpack(PATHS)
    }

    /// The paths of a document with the tables' values in place.
    pub(crate) fn expand(&self, document: &str) -> Option<Map<String, Value>> {
        let mut paths = self.documents.get(document)?.clone();
        for item in paths.values_mut() {
            for (key, value) in item.as_object_mut().into_iter().flatten() {
                if key == "parameters" {
                    self.look_up_parameters(value);
                }
                for (key, value) in value.as_object_mut().into_iter().flatten() {
                    match key.as_str() {
                        "parameters" => self.look_up_parameters(value),
                        "responses" => {
                            let responses = value.as_object_mut().into_iter().flat_map(Map::values_mut);
                            responses.for_each(|response| look_up(response, &self.responses));
                        }
                        _ => {}
                    }
                }
            }
        }
        Some(paths)
    }

    fn look_up_parameters(&self, list: &mut Value) {
        list.as_array_mut().into_iter().flatten().for_each(|value| look_up(value, &self.parameters));
    }
}

fn look_up(value: &mut Value, table: &[Value]) {
    let found = value.as_u64().and_then(|number| table.get(usize::try_from(number).ok()?));
    if let Some(found) = found {
        *value = found.clone();
    }
}

/// Every definition as published, descriptions included.
pub(super) fn published() -> BTreeMap<String, Value> {
    unpack(DEFINITIONS)
}

/// The document of a path below `/openapi/v3/`, as JSON: `api/v1`, `apis/apps/v1`, `apis`, `version`.
pub fn openapi_v3(path: &str) -> Option<Vec<u8>> {
    let paths = Value::Object(Paths::load().expand(path)?);
    Some(compose(&paths, Map::new()).to_string().into_bytes())
}

/// A document of these paths with the definitions they reach: `own` ones and published ones.
pub(crate) fn compose(paths: &Value, mut own: Map<String, Value>) -> Value {
    let mut published = published();
    let mut schemas = Map::new();
    let mut open = BTreeSet::new();
    references(paths, &mut open);
    while let Some(name) = open.pop_first() {
        if let Some(schema) = own.remove(&name).or_else(|| published.remove(&name)) {
            references(&schema, &mut open);
            schemas.insert(name, schema);
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": VERSION },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "BearerToken": {
                    "type": "apiKey",
                    "description": "Bearer Token authentication",
                    "name": "authorization",
                    "in": "header",
                },
            },
        },
    })
}

/// The paths [`openapi_v3`] has a document for.
pub fn openapi_v3_paths() -> Vec<String> {
    Paths::load().documents.into_keys().collect()
}

fn references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_str().and_then(|text| text.strip_prefix("#/components/schemas/")) {
                    Some(name) if key == "$ref" => {
                        into.insert(name.to_owned());
                    }
                    _ => references(value, into),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, into)),
        _ => {}
    }
}

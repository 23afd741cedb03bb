//! OpenAPI documents of custom kinds.
//!
//! Their paths are those of a built-in kind (Deployment) with the names replaced, less what custom resources do
//! not have: protobuf and strategic merge. Their definitions come from the CRD's schema.

use serde_json::{Map, Value, json};

use crate::builtin::document::{self, Paths};
use crate::builtin::{OBJECT_META, swagger_definition, swagger_path_item};

const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const TEMPLATE: &str = "io.k8s.api.apps.v1.Deployment";
const PREFIX: &str = "/apis/apps/v1/";
const KINDS: &str = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";

/// A served version of a CRD.
#[derive(Clone, Debug)]
pub struct CustomKind<'a> {
    /// Group of the kind.
    pub group: &'a str,
    /// The version described.
    pub version: &'a str,
    /// The kind.
    pub kind: &'a str,
    /// The kind of lists.
    pub list_kind: &'a str,
    /// Plural name, as in paths.
    pub plural: &'a str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether there is a status subresource.
    pub status: bool,
    /// Whether there is a scale subresource.
    pub scale: bool,
    /// The `openAPIV3Schema` as written.
    pub schema: &'a Value,
}

/// The OpenAPI v3 document of a group version that has only custom kinds.
pub fn custom_v3(kinds: &[CustomKind<'_>]) -> Vec<u8> {
    let (mut paths, mut own) = (Map::new(), Map::new());
    for kind in kinds {
        paths.extend(kind.paths());
        own.extend(kind.definitions());
    }
    document::compose(&Value::Object(paths), own).to_string().into_bytes()
}

/// Adds a custom kind to an OpenAPI v2 document.
pub fn add_to_v2(swagger: &mut Value, kind: &CustomKind<'_>) {
    if let Some(paths) = swagger.get_mut("paths").and_then(Value::as_object_mut) {
        paths.extend(kind.paths().into_iter().map(|(path, item)| (path, swagger_path_item(item))));
    }
    if let Some(definitions) = swagger.get_mut("definitions").and_then(Value::as_object_mut) {
        let own = kind.definitions().into_iter().map(|(name, mut schema)| {
            if schema["x-kubernetes-preserve-unknown-fields"] == true {
                // kubectl takes a list of fields for all that there are.
                let mark = schema["x-kubernetes-group-version-kind"].take();
                schema = json!({ "type": "object", "x-kubernetes-group-version-kind": mark });
            }
            simplify(&mut schema);
            (name, swagger_definition(schema))
        });
        definitions.extend(own);
    }
}

impl CustomKind<'_> {
    /// The name of the definition: the group reversed, the version, the kind.
    pub fn definition_name(&self) -> String {
        self.qualified(self.kind)
    }

    fn qualified(&self, kind: &str) -> String {
        let reversed: Vec<&str> = self.group.split('.').rev().collect();
        format!("{}.{}.{kind}", reversed.join("."), self.version)
    }

    fn definitions(&self) -> Map<String, Value> {
        let mut object = self.schema.clone();
        if !object.is_object() {
            object = json!({ "type": "object" });
        }
        let mut properties = object.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        properties.insert("apiVersion".to_owned(), api_version());
        properties.insert("kind".to_owned(), kind_property());
        properties
            .insert("metadata".to_owned(), metadata("Standard object's metadata.", OBJECT_META, "metadata"));
        object["properties"] = Value::Object(properties);
        object["x-kubernetes-group-version-kind"] = self.mark(self.kind);
        let list = json!({
            "description": format!("{} is a list of {}", self.list_kind, self.kind),
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": api_version(),
                "kind": kind_property(),
                "metadata": metadata("Standard list metadata.", LIST_META, "types-kinds"),
                "items": {
                    "description": format!("List of {}. More info: {KINDS}", self.plural),
                    "type": "array",
                    "items": { "$ref": format!("#/components/schemas/{}", self.definition_name()) },
                },
            },
            "x-kubernetes-group-version-kind": self.mark(self.list_kind),
        });
        [(self.definition_name(), object), (self.qualified(self.list_kind), list)].into_iter().collect()
    }

    fn mark(&self, kind: &str) -> Value {
        json!([{ "group": self.group, "version": self.version, "kind": kind }])
    }

    fn paths(&self) -> Map<String, Value> {
        let mut paths = Map::new();
        for (path, mut item) in Paths::load().expand("apis/apps/v1").unwrap_or_default() {
            let Some(rest) = path.strip_prefix(PREFIX) else { continue };
            let (namespaced, rest) = match rest.strip_prefix("namespaces/{namespace}/") {
                Some(rest) => (true, rest),
                None => (false, rest),
            };
            let Some(tail) =
                rest.strip_prefix("deployments").filter(|tail| tail.is_empty() || tail.starts_with('/'))
            else {
                continue;
            };
            // Cluster-scoped kinds take the paths below namespaces, without the namespace.
            let wanted = match tail {
                "/{name}/status" => self.status,
                "/{name}/scale" => self.scale,
                _ => true,
            };
            if !wanted || (!namespaced && !self.namespaced) {
                continue;
            }
            self.rename(&mut item);
            let middle = if namespaced && self.namespaced { "namespaces/{namespace}/" } else { "" };
            let path = format!("/apis/{}/{}/{middle}{}{tail}", self.group, self.version, self.plural);
            paths.insert(path, item);
        }
        paths
    }

    fn rename(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.renamed(text),
            Value::Array(list) => {
                list.retain(|parameter| {
                    self.namespaced || parameter.get("name") != Some(&json!("namespace"))
                });
                for value in list {
                    self.rename(value);
                }
            }
            Value::Object(map) => {
                if map.get("group") == Some(&json!("apps")) {
                    map.insert("group".to_owned(), json!(self.group));
                    map.insert("version".to_owned(), json!(self.version));
                }
                if let Some(body) = map.remove("*/*") {
                    map.insert("application/json".to_owned(), body.clone());
                    map.insert("application/yaml".to_owned(), body);
                }
                map.retain(|key, _| {
                    !key.starts_with("application/")
                        || matches!(key.split('/').nth(1), Some("json" | "yaml"))
                        || key.starts_with("application/apply-patch+yaml")
                        || matches!(
                            key.as_str(),
                            "application/json-patch+json" | "application/merge-patch+json"
                        )
                });
                map.values_mut().for_each(|value| self.rename(value));
            }
            _ => {}
        }
    }

    fn renamed(&self, text: &str) -> String {
        if let Some(rest) = text.strip_prefix("#/components/schemas/") {
            let name = match rest.strip_prefix(TEMPLATE) {
                Some("") => self.definition_name(),
                Some("List") => self.qualified(self.list_kind),
                _ => return text.to_owned(),
            };
            return format!("#/components/schemas/{name}");
        }
        let mut words = self.group.split(['.', '-']);
        let first = words.next().unwrap_or_default();
        let camel: String = std::iter::once(first.to_owned()).chain(words.map(capital)).collect();
        if text == "apps_v1" {
            return format!("{camel}_{}", self.version);
        }
        let text = text.replace("AppsV1", &format!("{}{}", capital(&camel), capital(self.version)));
        let text = if self.namespaced { text } else { text.replace("Namespaced", "") };
        text.replace("Deployment", self.kind)
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn api_version() -> Value {
    let text = format!(
        "APIVersion defines the versioned schema of this representation of an object. Servers should convert \
         recognized schemas to the latest internal value, and may reject unrecognized values. More info: \
         {KINDS}#resources"
    );
    json!({ "description": text, "type": "string" })
}

fn kind_property() -> Value {
    let text = format!(
        "Kind is a string value representing the REST resource this object represents. Servers may infer this from \
         the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: {KINDS}#types-kinds"
    );
    json!({ "description": text, "type": "string" })
}

fn metadata(words: &str, definition: &str, anchor: &str) -> Value {
    json!({
        "description": format!("{words} More info: {KINDS}#{anchor}"),
        "allOf": [{ "$ref": format!("#/components/schemas/{definition}") }],
    })
}

/// Version 2 cannot say what these mean: leave out what clients would take for stricter than it is.
fn simplify(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    let flag = |map: &Map<String, Value>, key: &str| map.get(key) == Some(&Value::Bool(true));
    let only_reference = map
        .get("allOf")
        .and_then(Value::as_array)
        .is_some_and(|all| all.len() == 1 && all[0].get("$ref").is_some());
    map.remove("default");
    if !only_reference {
        map.remove("allOf");
    }
    map.remove("anyOf");
    map.remove("oneOf");
    map.remove("not");
    if flag(map, "nullable") || flag(map, "x-kubernetes-preserve-unknown-fields") {
        map.remove("items");
        map.remove("properties");
        map.remove("additionalProperties");
        if flag(map, "nullable") {
            map.remove("type");
        }
    }
    for (key, value) in map.iter_mut() {
        match key.as_str() {
            "items" | "additionalProperties" => simplify(value),
            "properties" => {
                value.as_object_mut().into_iter().flatten().for_each(|(_, value)| simplify(value));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(schema: &Value, namespaced: bool) -> CustomKind<'_> {
        CustomKind {
            group: "facts.example.com",
            version: "v1beta1",
            kind: "Shape",
            list_kind: "ShapeList",
            plural: "shapes",
            namespaced,
            status: true,
            scale: false,
            schema,
        }
    }

    #[test]
    fn a_custom_kind_has_the_paths_of_a_built_in_one() {
        let schema = json!({ "type": "object", "properties": { "spec": { "type": "object" } } });
        let document: Value = serde_json::from_slice(&custom_v3(&[kind(&schema, true)])).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let names: Vec<&str> = paths.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "/apis/facts.example.com/v1beta1/namespaces/{namespace}/shapes",
                "/apis/facts.example.com/v1beta1/namespaces/{namespace}/shapes/{name}",
                "/apis/facts.example.com/v1beta1/namespaces/{namespace}/shapes/{name}/status",
                "/apis/facts.example.com/v1beta1/shapes",
            ]
        );
        let patch = &paths["/apis/facts.example.com/v1beta1/namespaces/{namespace}/shapes/{name}"]["patch"];
        assert_eq!(patch["operationId"], "patchFactsExampleComV1beta1NamespacedShape");
        assert_eq!(patch["tags"], json!(["factsExampleCom_v1beta1"]));
        let kinds = json!({ "group": "facts.example.com", "version": "v1beta1", "kind": "Shape" });
        assert_eq!(patch["x-kubernetes-group-version-kind"], kinds);
        let content = patch["requestBody"]["content"].as_object().unwrap();
        assert!(content.contains_key("application/apply-patch+yaml"));
        assert!(!content.contains_key("application/strategic-merge-patch+json"));
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert_eq!(schemas["com.example.facts.v1beta1.Shape"]["properties"]["spec"]["type"], "object");
        assert!(
            schemas.contains_key(OBJECT_META) && schemas.contains_key("com.example.facts.v1beta1.ShapeList")
        );
        let text = document["paths"].to_string();
        assert!(!text.contains("eployment") && !text.contains("protobuf"));
    }

    #[test]
    fn a_cluster_scoped_kind_has_no_namespaces() {
        let schema = json!({ "type": "object" });
        let document: Value = serde_json::from_slice(&custom_v3(&[kind(&schema, false)])).unwrap();
        let text = document["paths"].to_string();
        assert!(text.contains("/apis/facts.example.com/v1beta1/shapes/{name}/status"));
        assert!(!text.contains("{namespace}") && !text.contains("Namespaced"));
    }

    #[test]
    fn version_two_gets_the_kind_without_what_it_cannot_say() {
        let schema = json!({ "type": "object", "properties": {
            "n": { "type": "string", "nullable": true, "default": "x" },
            "p": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": { "a": {} } },
        } });
        let mut swagger = json!({ "paths": {}, "definitions": {} });
        add_to_v2(&mut swagger, &kind(&schema, true));
        let shape = &swagger["definitions"]["com.example.facts.v1beta1.Shape"]["properties"];
        assert_eq!(shape["n"], json!({}));
        assert_eq!(shape["p"], json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }));
        assert_eq!(shape["metadata"]["$ref"], format!("#/definitions/{OBJECT_META}"));
    }
}

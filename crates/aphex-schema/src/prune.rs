//! Removing what a schema does not know, and telling the paths.
//!
//! Custom and built-in kinds alike: `k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning` is the model.
//! `metadata`, `apiVersion` and `kind` of a resource are not in its schema but always known; what is inside of
//! `metadata` follows the built-in ObjectMeta.

use serde_json::{Map, Value};

use crate::builtin;
use crate::model::{Additional, Typed};
use crate::path::Trail;

const META_FIELDS: &[&str] = &["apiVersion", "kind", "metadata"];

/// How to prune.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The object is a resource: its `apiVersion`, `kind` and `metadata` are known whatever the schema says.
    pub resource: bool,
    /// Leave the object as it is and only tell the paths.
    pub keep: bool,
}

/// Removes unknown fields; gives their paths (`spec.containers[0].foo`) in the order of Kubernetes.
pub fn prune(object: &mut Value, schema: Typed<'_>, options: Options) -> Vec<String> {
    let mut pruner = Pruner { options, ..Pruner::default() };
    pruner.visit(object, Some(schema), options.resource, Trail::Root);
    let mut paths = Vec::new();
    // Kubernetes decodes metadata first and looks at that of embedded resources last.
    for mut part in [pruner.metadata, pruner.unknown, pruner.embedded] {
        part.sort();
        paths.append(&mut part);
    }
    paths
}

/// The message of strict decoding for paths of unknown fields: `unknown field "spec.a", unknown field "spec.b"`.
pub fn strict_message(unknown: &[String]) -> String {
    let fields: Vec<String> = unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
    fields.join(", ")
}

#[derive(Default)]
struct Pruner {
    options: Options,
    unknown: Vec<String>,
    metadata: Vec<String>,
    embedded: Vec<String>,
}

impl Pruner {
    fn visit(&mut self, value: &mut Value, schema: Option<Typed<'_>>, resource: bool, path: Trail<'_>) {
        let preserve = schema.is_some_and(|schema| schema.schema().preserve_unknown);
        match value {
            Value::Object(map) => self.visit_object(map, schema, resource, preserve, path),
            Value::Array(list) => {
                let items = schema.and_then(Typed::items);
                for (index, element) in list.iter_mut().enumerate() {
                    let path = Trail::Index(&path, index);
                    match (preserve, items) {
                        // What lies below an element of free form without schema is free form, too.
                        (true, None) => {}
                        (true, Some(items)) => self.visit_free(element, items, path),
                        (false, items) => self.visit(element, items, false, path),
                    }
                }
            }
            _ => {}
        }
    }

    /// Below a list of free form the elements keep unknown fields, declared properties are still pruned inside.
    fn visit_free(&mut self, value: &mut Value, schema: Typed<'_>, path: Trail<'_>) {
        match value {
            Value::Object(map) => self.visit_object(map, Some(schema), false, true, path),
            Value::Array(list) => {
                if let Some(items) = schema.items() {
                    for (index, element) in list.iter_mut().enumerate() {
                        self.visit_free(element, items, Trail::Index(&path, index));
                    }
                }
            }
            _ => {}
        }
    }

    fn visit_object(
        &mut self,
        map: &mut Map<String, Value>,
        schema: Option<Typed<'_>>,
        resource: bool,
        preserve: bool,
        path: Trail<'_>,
    ) {
        let resource = resource || schema.is_some_and(|schema| schema.schema().embedded_resource);
        let mut unknown = Vec::new();
        let is_root = path.is_root();
        for (name, value) in map.iter_mut() {
            let path = Trail::Field(&path, name);
            if resource && META_FIELDS.contains(&name.as_str()) {
                if name == "metadata" {
                    let before = std::mem::take(&mut self.unknown);
                    self.visit(value, builtin::object_meta(), false, path);
                    let found = std::mem::replace(&mut self.unknown, before);
                    if is_root { &mut self.metadata } else { &mut self.embedded }.extend(found);
                }
                continue;
            }
            let additional = schema.map(|schema| &schema.schema().additional);
            match (schema.and_then(|schema| schema.property(name)), additional) {
                (Some(property), _) => self.visit(value, Some(property), false, path),
                // A map of anything knows its keys but nothing below them.
                (None, Some(Additional::Anything | Additional::Forbidden)) => {
                    self.visit(value, None, false, path);
                }
                _ if preserve => {}
                _ => unknown.push((name.clone(), path.to_string())),
            }
        }
        for (name, path) in unknown {
            if !self.options.keep {
                map.remove(&name);
            }
            self.unknown.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Definitions;
    use crate::structural;

    fn pruned(schema: &Value, mut object: Value, resource: bool) -> (Value, Vec<String>) {
        let schema = structural::read(schema).unwrap();
        let definitions = Definitions::none();
        let unknown =
            prune(&mut object, Typed::new(&schema, &definitions), Options { resource, keep: false });
        (object, unknown)
    }

    #[test]
    fn unknown_fields_go_and_their_paths_are_told() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}}},
        }}}});
        let object = json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n", "nope": 1}, "extra": 1,
            "spec": {"b": 1, "list": [{"a": "x"}, {"c": 1}], "map": {"k": {"a": "x", "d": null}}}});
        let (object, unknown) = pruned(&schema, object, true);
        assert_eq!(unknown, ["metadata.nope", "extra", "spec.b", "spec.list[1].c", "spec.map.k.d"]);
        assert_eq!(
            object,
            json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"},
                "spec": {"list": [{"a": "x"}, {}], "map": {"k": {"a": "x"}}}})
        );
    }

    #[test]
    fn preserved_objects_are_pruned_only_where_properties_are_declared() {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "known": {"type": "object", "properties": {"a": {"type": "string"}}},
        }});
        let (object, unknown) = pruned(&schema, json!({"x": {"y": 1}, "known": {"a": "1", "b": 2}}), false);
        assert_eq!(unknown, ["known.b"]);
        assert_eq!(object, json!({"x": {"y": 1}, "known": {"a": "1"}}));
    }

    #[test]
    fn embedded_resources_keep_their_metadata() {
        let schema = json!({"type": "object", "properties": {"e": {"type": "object", "properties": {"spec": {"type": "object"}},
            "x-kubernetes-embedded-resource": true}}});
        let object =
            json!({"e": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "a"}, "spec": {"x": 1}}});
        let (object, unknown) = pruned(&schema, object, false);
        assert_eq!(unknown, ["e.spec.x"]);
        assert_eq!(object["e"]["metadata"]["name"], "a");
    }

    #[test]
    fn built_in_kinds_are_pruned_by_the_published_schema() {
        let mut object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": "b"}, "x": 1},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": 1}}, "y": 1}]}});
        let schema = builtin::typed("", "v1", "Pod").unwrap();
        let unknown = prune(&mut object, schema, Options { resource: true, keep: true });
        assert_eq!(
            strict_message(&unknown),
            r#"unknown field "metadata.x", unknown field "spec.containers[0].y""#
        );
        assert_eq!(object["metadata"]["x"], 1);
    }
}

//! The OpenAPI v2 document, derived from the v3 data: kubectl and client-go still ask for it.

use serde_json::{Map, Value, json};

use super::document::{Paths, VERSION, published};

const METHODS: &[&str] = &["get", "put", "post", "delete", "options", "head", "patch"];

/// The swagger document of all built-in kinds, as JSON.
pub fn openapi_v2() -> Vec<u8> {
    swagger().to_string().into_bytes()
}

/// The swagger document as a value, for merging in custom kinds.
pub fn swagger() -> Value {
    let shipped = Paths::load();
    let mut paths = Map::new();
    for name in shipped.documents.keys() {
        for (path, item) in shipped.expand(name).unwrap_or_default() {
            paths.insert(path, path_item(item));
        }
    }
    let definitions: Map<String, Value> =
        published().into_iter().map(|(name, schema)| (name, definition(schema))).collect();
    json!({
        "swagger": "2.0",
        "info": { "title": "Kubernetes", "version": VERSION },
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {
            "BearerToken": {
                "description": "Bearer Token authentication",
                "type": "apiKey",
                "name": "authorization",
                "in": "header",
            },
        },
        "security": [{ "BearerToken": [] }],
    })
}

/// A v3 schema as v2 writes it: references bare, no alternatives, no defaults.
pub fn definition(schema: Value) -> Value {
    let Value::Object(mut map) = schema else { return schema };
    let all = map.get("allOf").and_then(Value::as_array).map(Vec::as_slice);
    if let Some([Value::Object(only)]) = all {
        let only = only.clone();
        map.remove("allOf");
        map.extend(only);
    }
    if let Some(alternatives) = map.remove("oneOf") {
        // IntOrString and Quantity: strings to version 2.
        if alternatives.as_array().is_some_and(|list| list.contains(&json!({ "type": "string" }))) {
            map.insert("type".to_owned(), json!("string"));
        }
    }
    map.remove("anyOf");
    map.remove("not");
    map.remove("nullable");
    map.remove("default");
    for (key, value) in &mut map {
        match key.as_str() {
            "$ref" => rename_reference(value),
            "items" | "additionalProperties" => *value = definition(value.take()),
            "properties" => {
                value.as_object_mut().into_iter().flatten().for_each(|(_, property)| {
                    *property = definition(property.take());
                });
            }
            _ => {}
        }
    }
    Value::Object(map)
}

fn rename_reference(value: &mut Value) {
    if let Some(name) = value.as_str().and_then(|text| text.strip_prefix("#/components/schemas/")) {
        *value = json!(format!("#/definitions/{name}"));
    }
}

/// A v3 path item as v2 writes it.
pub fn path_item(item: Value) -> Value {
    let Value::Object(mut map) = item else { return item };
    for (key, value) in &mut map {
        if key == "parameters" {
            *value = value.as_array().into_iter().flatten().map(parameter).collect();
        } else if METHODS.contains(&key.as_str()) {
            *value = operation(value.take());
        }
    }
    Value::Object(map)
}

fn operation(operation: Value) -> Value {
    let Value::Object(mut map) = operation else { return operation };
    let mut parameters: Vec<Value> = Vec::new();
    let mut consumes = vec![json!("*/*")];
    if let Some(Value::Object(body)) = map.remove("requestBody") {
        let content = body.get("content").and_then(Value::as_object);
        let mut given = json!({ "name": "body", "in": "body" });
        if body.get("required") == Some(&json!(true)) {
            given["required"] = json!(true);
        }
        if let Some(schema) =
            content.and_then(|content| content.values().next()).and_then(|media| media.get("schema"))
        {
            given["schema"] = definition(schema.clone());
        }
        consumes = content.into_iter().flat_map(Map::keys).map(|kind| json!(kind)).collect();
        parameters.push(given);
    }
    if let Some(Value::Array(given)) = map.remove("parameters") {
        parameters.extend(given.iter().map(parameter));
    }
    let mut produces: Vec<Value> = Vec::new();
    for (_, response) in map.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten() {
        let Some(Value::Object(content)) = response.as_object_mut().and_then(|r| r.remove("content")) else {
            continue;
        };
        for (kind, media) in content {
            if let Some(schema) = media.get("schema") {
                response["schema"] = definition(schema.clone());
            }
            if !produces.contains(&json!(kind)) {
                produces.push(json!(kind));
            }
        }
    }
    if !parameters.is_empty() {
        map.insert("parameters".to_owned(), json!(parameters));
    }
    map.insert("consumes".to_owned(), json!(consumes));
    map.insert("produces".to_owned(), json!(produces));
    map.insert("schemes".to_owned(), json!(["https"]));
    Value::Object(map)
}

/// Version 2 writes what version 3 keeps in a parameter's schema beside its name.
fn parameter(parameter: &Value) -> Value {
    let Value::Object(mut flat) = parameter.clone() else { return parameter.clone() };
    if let Some(Value::Object(schema)) = flat.remove("schema") {
        flat.extend(schema);
    }
    Value::Object(flat)
}

//! Defaults and nulls of custom resources.
//!
//! As `k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting` does: first nulls go that are neither
//! allowed nor replaced by a default, then missing properties are filled in, down the whole object.

use serde_json::Value;

use crate::model::{Additional, Schema, Typed};

/// Drops nulls that may not stay and fills in defaults.
pub fn apply(object: &mut Value, schema: Typed<'_>) {
    drop_nulls(object, schema);
    fill(object, schema);
}

/// Drops nulls for which the schema has neither `nullable` nor a default.
pub fn drop_nulls(value: &mut Value, schema: Typed<'_>) {
    match value {
        Value::Object(map) => map.retain(|name, value| match schema.property(name) {
            Some(property) if value.is_null() && !allows_null(property.schema()) => {
                property.schema().default.is_some()
            }
            Some(property) => {
                drop_nulls(value, property);
                true
            }
            None => true,
        }),
        Value::Array(list) => {
            if let Some(items) = schema.items() {
                for element in list {
                    drop_nulls(element, items);
                }
            }
        }
        _ => {}
    }
}

/// Fills in defaults without touching other nulls.
pub fn fill(value: &mut Value, schema: Typed<'_>) {
    match value {
        Value::Object(map) => {
            for (name, property) in &schema.schema().properties {
                let property = schema.at(property).schema();
                let Some(default) = &property.default else { continue };
                if map.get(name).is_none_or(|value| value.is_null() && !allows_null(property)) {
                    map.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in map.iter_mut() {
                let declared = schema.schema().properties.contains_key(name);
                let Some(property) = schema.property(name) else { continue };
                if !declared && value.is_null() && !allows_null(property.schema()) {
                    *value = property.schema().default.clone().unwrap_or_default();
                }
                fill(value, property);
            }
        }
        Value::Array(list) => {
            let Some(items) = schema.items() else { return };
            for element in list {
                if element.is_null() && !allows_null(items.schema()) {
                    *element = items.schema().default.clone().unwrap_or_default();
                }
                fill(element, items);
            }
        }
        _ => {}
    }
}

fn allows_null(schema: &Schema) -> bool {
    schema.nullable
}

/// Whether anything in the schema has a default: then stored objects are defaulted when read, too.
pub fn has_defaults(schema: &Schema) -> bool {
    schema.default.is_some()
        || schema.properties.values().any(has_defaults)
        || schema.items.as_deref().is_some_and(has_defaults)
        || matches!(&schema.additional, Additional::Each(each) if has_defaults(each))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Definitions;
    use crate::structural;

    fn defaulted(schema: &Value, mut object: Value) -> Value {
        let schema = structural::read(schema).unwrap();
        apply(&mut object, Typed::new(&schema, &Definitions::none()));
        object
    }

    #[test]
    fn defaults_reach_every_depth_but_do_not_create_parents() {
        let inner = json!({"type": "object", "properties": {"x": {"type": "integer", "default": 1}}});
        let schema = json!({"type": "object", "properties": {
            "made": {"type": "object", "default": {}, "properties": {"x": {"type": "integer", "default": 2}}},
            "absent": inner,
            "list": {"type": "array", "items": inner},
            "map": {"type": "object", "additionalProperties": inner},
        }});
        assert_eq!(
            defaulted(&schema, json!({"list": [{}, {"x": 5}], "map": {"k": {}}})),
            json!({"made": {"x": 2}, "list": [{"x": 1}, {"x": 5}], "map": {"k": {"x": 1}}})
        );
    }

    #[test]
    fn null_is_kept_replaced_or_dropped() {
        let schema = json!({"type": "object", "properties": {
            "nullable": {"type": "string", "nullable": true, "default": "d"},
            "defaulted": {"type": "string", "default": "d"},
            "plain": {"type": "string"},
        }});
        assert_eq!(
            defaulted(&schema, json!({"nullable": null, "defaulted": null, "plain": null, "unknown": null})),
            json!({"nullable": null, "defaulted": "d", "unknown": null})
        );
    }

    #[test]
    fn null_elements_take_the_default_of_the_items() {
        let schema = json!({"type": "object", "properties": {
            "list": {"type": "array", "items": {"type": "string", "default": "d"}},
        }});
        assert_eq!(defaulted(&schema, json!({"list": [null, "x"]})), json!({"list": ["d", "x"]}));
    }
}

//! Reading schemas from JSON: OpenAPI definitions and the `openAPIV3Schema` of a CRD look alike.
//!
//! Nothing is checked here beyond JSON types; descriptions are skipped while parsing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::model::{Additional, Rule, Schema, Type};

/// A schema as written, without what the model does not keep.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Written {
    #[serde(rename = "$ref")]
    reference: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    format: Option<String>,
    properties: Option<BTreeMap<String, Written>>,
    additional_properties: Option<WrittenAdditional>,
    items: Option<Box<Written>>,
    required: Option<Vec<String>>,
    #[serde(rename = "enum")]
    enumeration: Option<Vec<Value>>,
    default: Option<Value>,
    nullable: Option<bool>,
    minimum: Option<f64>,
    exclusive_minimum: Option<bool>,
    maximum: Option<f64>,
    exclusive_maximum: Option<bool>,
    multiple_of: Option<f64>,
    min_length: Option<i64>,
    max_length: Option<i64>,
    pattern: Option<String>,
    min_items: Option<i64>,
    max_items: Option<i64>,
    unique_items: Option<bool>,
    min_properties: Option<i64>,
    max_properties: Option<i64>,
    all_of: Option<Vec<Written>>,
    any_of: Option<Vec<Written>>,
    one_of: Option<Vec<Written>>,
    not: Option<Box<Written>>,
    #[serde(rename = "x-kubernetes-int-or-string")]
    int_or_string: Option<bool>,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    preserve_unknown: Option<bool>,
    #[serde(rename = "x-kubernetes-embedded-resource")]
    embedded_resource: Option<bool>,
    #[serde(rename = "x-kubernetes-list-type")]
    list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    list_map_keys: Option<Vec<String>>,
    #[serde(rename = "x-kubernetes-map-type")]
    map_type: Option<String>,
    #[serde(rename = "x-kubernetes-patch-strategy")]
    patch_strategy: Option<String>,
    #[serde(rename = "x-kubernetes-patch-merge-key")]
    patch_merge_key: Option<String>,
    #[serde(rename = "x-kubernetes-validations")]
    validations: Option<Vec<WrittenRule>>,
    #[serde(rename = "x-kubernetes-group-version-kind")]
    pub(crate) kinds: Option<Vec<GroupVersionKind>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenAdditional {
    Allowed(bool),
    Each(Box<Written>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenRule {
    #[serde(default)]
    rule: String,
    message: Option<String>,
    message_expression: Option<String>,
    reason: Option<String>,
    field_path: Option<String>,
    optional_old_self: Option<bool>,
}

/// One entry of `x-kubernetes-group-version-kind`.
#[derive(Deserialize)]
pub(crate) struct GroupVersionKind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}

impl From<Written> for Schema {
    fn from(written: Written) -> Self {
        let reference = written.reference.as_deref().map(definition_name);
        Self {
            reference,
            kind: written.kind.as_deref().and_then(type_named),
            format: written.format.filter(|format| !format.is_empty()),
            properties: written
                .properties
                .unwrap_or_default()
                .into_iter()
                .map(|(k, v)| (k, v.into()))
                .collect(),
            additional: match written.additional_properties {
                None => Additional::Unspecified,
                Some(WrittenAdditional::Allowed(true)) => Additional::Anything,
                Some(WrittenAdditional::Allowed(false)) => Additional::Forbidden,
                Some(WrittenAdditional::Each(each)) => Additional::Each(Box::new((*each).into())),
            },
            items: written.items.map(|items| Box::new((*items).into())),
            required: written.required.unwrap_or_default(),
            enumeration: written.enumeration.filter(|values| !values.is_empty()),
            default: written.default,
            nullable: written.nullable.unwrap_or_default(),
            minimum: written.minimum.map(|bound| (bound, written.exclusive_minimum.unwrap_or_default())),
            maximum: written.maximum.map(|bound| (bound, written.exclusive_maximum.unwrap_or_default())),
            multiple_of: written.multiple_of,
            min_length: count(written.min_length),
            max_length: count(written.max_length),
            pattern: written.pattern.filter(|pattern| !pattern.is_empty()),
            min_items: count(written.min_items),
            max_items: count(written.max_items),
            unique_items: written.unique_items.unwrap_or_default(),
            min_properties: count(written.min_properties),
            max_properties: count(written.max_properties),
            all_of: schemas(written.all_of),
            any_of: schemas(written.any_of),
            one_of: schemas(written.one_of),
            not: written.not.map(|not| Box::new((*not).into())),
            int_or_string: written.int_or_string.unwrap_or_default(),
            preserve_unknown: written.preserve_unknown.unwrap_or_default(),
            embedded_resource: written.embedded_resource.unwrap_or_default(),
            list_type: written.list_type,
            list_map_keys: written.list_map_keys.unwrap_or_default(),
            map_type: written.map_type,
            patch_strategy: written
                .patch_strategy
                .map(|text| text.split(',').map(str::to_owned).collect())
                .unwrap_or_default(),
            patch_merge_key: written.patch_merge_key,
            validations: written.validations.unwrap_or_default().into_iter().map(Rule::from).collect(),
        }
    }
}

impl From<WrittenRule> for Rule {
    fn from(written: WrittenRule) -> Self {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            rule: written.rule,
            message: given(written.message),
            message_expression: given(written.message_expression),
            reason: given(written.reason),
            field_path: given(written.field_path),
            optional_old_self: written.optional_old_self,
        }
    }
}

/// The name at the end of `#/components/schemas/NAME` or `#/definitions/NAME`.
fn definition_name(reference: &str) -> String {
    reference.rsplit('/').next().unwrap_or(reference).to_owned()
}

/// The JSON type of that name.
pub(crate) fn type_named(name: &str) -> Option<Type> {
    Some(match name {
        "object" => Type::Object,
        "array" => Type::Array,
        "string" => Type::String,
        "integer" => Type::Integer,
        "number" => Type::Number,
        "boolean" => Type::Boolean,
        _ => return None,
    })
}

/// A limit; a negative lower bound bounds nothing, a negative upper bound everything.
fn count(limit: Option<i64>) -> Option<u64> {
    limit.map(|limit| u64::try_from(limit).unwrap_or_default())
}

fn schemas(written: Option<Vec<Written>>) -> Vec<Schema> {
    written.unwrap_or_default().into_iter().map(Schema::from).collect()
}

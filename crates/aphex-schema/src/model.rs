//! One schema node, the set of named definitions, and a cursor over both.
//!
//! Two sources end in this model: Kubernetes' OpenAPI definitions (with references, recursive) and the
//! `openAPIV3Schema` of a CRD (no references). Descriptions are dropped on purpose: nothing that runs needs
//! them, and they are most of the bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

/// The JSON type a schema demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A JSON object.
    Object,
    /// A JSON array.
    Array,
    /// A JSON string.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
}

/// What a schema says of properties it does not name.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Additional {
    /// Nothing is said; for an object with properties this means they are unknown (pruned).
    #[default]
    Unspecified,
    /// `additionalProperties: true`, or `{}`.
    Anything,
    /// `additionalProperties: false`.
    Forbidden,
    /// Each value follows this schema: a map.
    Each(Box<Schema>),
}

/// One node of a schema (OpenAPI v3 as Kubernetes restricts and extends it).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    /// Name of the definition that this node stands for; everything else is then taken from there.
    pub reference: Option<String>,
    /// The JSON type, absent for "any" and for int-or-string.
    pub kind: Option<Type>,
    /// `format`: int32, int64, date-time, byte, ...
    pub format: Option<String>,
    /// Named properties.
    pub properties: BTreeMap<String, Schema>,
    /// The rest of the properties.
    pub additional: Additional,
    /// Element schema of an array.
    pub items: Option<Box<Schema>>,
    /// Required property names.
    pub required: Vec<String>,
    /// Allowed values.
    pub enumeration: Option<Vec<Value>>,
    /// The default, as written.
    pub default: Option<Value>,
    /// `null` is allowed and kept.
    pub nullable: bool,
    /// Lower bound and whether it is exclusive.
    pub minimum: Option<(f64, bool)>,
    /// Upper bound and whether it is exclusive.
    pub maximum: Option<(f64, bool)>,
    /// `multipleOf`.
    pub multiple_of: Option<f64>,
    /// `minLength`, in characters.
    pub min_length: Option<u64>,
    /// `maxLength`, in characters.
    pub max_length: Option<u64>,
    /// `pattern`: an RE2 regular expression, unanchored.
    pub pattern: Option<String>,
    /// `minItems`.
    pub min_items: Option<u64>,
    /// `maxItems`.
    pub max_items: Option<u64>,
    /// `uniqueItems`.
    pub unique_items: bool,
    /// `minProperties`.
    pub min_properties: Option<u64>,
    /// `maxProperties`.
    pub max_properties: Option<u64>,
    /// `allOf` (value validations only).
    pub all_of: Vec<Schema>,
    /// `anyOf`.
    pub any_of: Vec<Schema>,
    /// `oneOf`.
    pub one_of: Vec<Schema>,
    /// `not`.
    pub not: Option<Box<Schema>>,
    /// `x-kubernetes-int-or-string` (and the IntOrString definition).
    pub int_or_string: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`.
    pub embedded_resource: bool,
    /// `x-kubernetes-list-type`.
    pub list_type: Option<String>,
    /// `x-kubernetes-list-map-keys`.
    pub list_map_keys: Vec<String>,
    /// `x-kubernetes-map-type`.
    pub map_type: Option<String>,
    /// `x-kubernetes-patch-strategy`, split at commas (`merge`, `replace`, `retainKeys`).
    pub patch_strategy: Vec<String>,
    /// `x-kubernetes-patch-merge-key`.
    pub patch_merge_key: Option<String>,
    /// `x-kubernetes-validations`.
    pub validations: Vec<Rule>,
}

/// One entry of `x-kubernetes-validations`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// The CEL expression; true means valid.
    pub rule: String,
    /// Message on failure.
    pub message: Option<String>,
    /// CEL expression that gives the message.
    pub message_expression: Option<String>,
    /// Machine-readable reason (`FieldValueInvalid`, ...).
    pub reason: Option<String>,
    /// Path of the field to blame, relative to the node.
    pub field_path: Option<String>,
    /// A transition rule that also runs on create.
    pub optional_old_self: Option<bool>,
}

/// How the elements of a list are told apart when two writers meet (structured merge diff).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind<'a> {
    /// The list is one value.
    Atomic,
    /// Elements are scalars, each its own identity.
    Set,
    /// Elements are objects identified by these keys.
    Map(&'a [String]),
}

/// How the fields of an object are owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// Each field on its own.
    Granular,
    /// The object is one value.
    Atomic,
}

/// The shape of a node as merging sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Structure<'a> {
    /// A scalar, or a node without schema (then one opaque value).
    Scalar,
    /// A list of this kind.
    List(ListKind<'a>),
    /// An object or map of this kind.
    Map(MapKind),
}

/// Named definitions that references point into.
#[derive(Debug, Default)]
pub struct Definitions {
    named: HashMap<String, Schema>,
}

impl Definitions {
    /// An empty set, for schemas without references.
    pub fn none() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// From name and schema pairs.
    pub fn new(named: HashMap<String, Schema>) -> Self {
        Self { named }
    }

    /// The definition of that name.
    pub fn get(&self, name: &str) -> Option<&Schema> {
        self.named.get(name)
    }
}

/// A schema node together with the definitions its references point into; references are always resolved.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'a> {
    schema: &'a Schema,
    definitions: &'a Definitions,
}

impl<'a> Typed<'a> {
    /// A cursor at `schema`.
    pub fn new(schema: &'a Schema, definitions: &'a Definitions) -> Self {
        let mut schema = schema;
        while let Some(target) = schema.reference.as_deref().and_then(|name| definitions.get(name)) {
            schema = target;
        }
        Self { schema, definitions }
    }

    /// The node, never a reference (unless the definition is missing: then the node allows anything).
    pub fn schema(self) -> &'a Schema {
        self.schema
    }

    /// The definitions that references point into.
    pub fn definitions(self) -> &'a Definitions {
        self.definitions
    }

    /// The schema of a named property: declared, or that of a map's values.
    pub fn property(self, name: &str) -> Option<Self> {
        if let Some(found) = self.schema.properties.get(name) {
            return Some(Self::new(found, self.definitions));
        }
        match &self.schema.additional {
            Additional::Each(each) => Some(Self::new(each, self.definitions)),
            _ => None,
        }
    }

    /// The schema of an array's elements.
    pub fn items(self) -> Option<Self> {
        self.schema.items.as_deref().map(|items| Self::new(items, self.definitions))
    }

    /// Any other node within the same definitions.
    #[must_use]
    pub fn at(self, schema: &'a Schema) -> Self {
        Self::new(schema, self.definitions)
    }

    /// How merging sees this node.
    ///
    /// An object without declared properties and without a map schema (`x-kubernetes-preserve-unknown-fields`,
    /// `RawExtension`, `FieldsV1`) still merges field by field, as the deduced schema of Kubernetes does.
    pub fn structure(self) -> Structure<'a> {
        let schema = self.schema;
        match schema.kind {
            Some(Type::Array) => Structure::List(match schema.list_type.as_deref() {
                Some("set") => ListKind::Set,
                Some("map") => ListKind::Map(&schema.list_map_keys),
                _ => ListKind::Atomic,
            }),
            Some(Type::Object) => Structure::Map(match schema.map_type.as_deref() {
                Some("atomic") => MapKind::Atomic,
                _ => MapKind::Granular,
            }),
            None if schema.preserve_unknown || !schema.properties.is_empty() => {
                Structure::Map(MapKind::Granular)
            }
            _ => Structure::Scalar,
        }
    }
}

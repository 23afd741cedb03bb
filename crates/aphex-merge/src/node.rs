//! The schema as merging sees it: which shapes a node allows and how each is owned.
//!
//! This is the mapping that kube-openapi's `schemaconv` makes from OpenAPI to structured-merge-diff, done on
//! the fly. Where the schema says nothing, objects merge field by field and lists are one value.

use std::sync::LazyLock;

use aphex_schema::{Additional, Definitions, Schema, Type, Typed};
use serde_json::Value;

/// A position in a schema.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node<'a> {
    /// A schema node with what surrounds it.
    Typed(Position<'a>),
    /// Anything; objects are granular, lists atomic.
    Deduced,
    /// Anything, as one value (`RawExtension`).
    Opaque,
    /// Any scalar (`Quantity`).
    AnyScalar,
}

/// A schema node and what its surroundings add to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position<'a> {
    typed: Typed<'a>,
    /// `x-kubernetes-map-type` beside a reference: it overrules the definition's own.
    map_type: Option<&'a str>,
    /// An ancestor preserves unknown fields.
    preserve: bool,
    /// An object with apiVersion, kind and metadata of its own.
    resource: bool,
    /// Part of a built-in kind, that is, of a Go struct.
    builtin: bool,
}

/// What a scalar may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScalarKind {
    Numeric,
    String,
    Boolean,
    Any,
}

/// How list elements are told apart.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Identity<'a> {
    Atomic,
    Set,
    Keys(&'a [String]),
}

/// A list, as a node allows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListShape<'a> {
    pub(crate) identity: Identity<'a>,
    pub(crate) element: Node<'a>,
}

/// An object or map, as a node allows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapShape<'a> {
    pub(crate) atomic: bool,
    position: Option<Position<'a>>,
    /// The schema of undeclared fields; none when there may be none.
    rest: Option<Node<'a>>,
}

/// The shapes a node allows; at least one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shapes<'a> {
    pub(crate) scalar: Option<ScalarKind>,
    pub(crate) list: Option<ListShape<'a>>,
    pub(crate) map: Option<MapShape<'a>>,
}

impl Shapes<'_> {
    /// Only the shape that fits the value; all of them if none fits or the value is null or absent.
    pub(crate) fn narrowed(self, value: Option<&Value>) -> Self {
        let only = match value {
            Some(Value::Object(_)) => Self { map: self.map, ..Self::default() },
            Some(Value::Array(_)) => Self { list: self.list, ..Self::default() },
            None | Some(Value::Null) => return self,
            Some(_) => Self { scalar: self.scalar, ..Self::default() },
        };
        if only.count() == 0 { self } else { only }
    }

    fn count(&self) -> usize {
        usize::from(self.scalar.is_some())
            + usize::from(self.list.is_some())
            + usize::from(self.map.is_some())
    }

    /// Whether both allow the same shapes (for two narrowings of one node).
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.scalar.is_some() == other.scalar.is_some()
            && self.list.is_some() == other.list.is_some()
            && self.map.is_some() == other.map.is_some()
    }
}

impl<'a> Node<'a> {
    /// The root of an object; without a schema, deduced from the values.
    pub(crate) fn root(schema: Option<Typed<'a>>) -> Self {
        let Some(typed) = schema else { return Self::Deduced };
        let (preserve, metadata) =
            (typed.schema().preserve_unknown, typed.schema().properties.get("metadata"));
        let builtin = metadata.is_some_and(is_reference);
        Self::Typed(Position { typed, map_type: None, preserve, resource: true, builtin })
    }

    pub(crate) fn shapes(self) -> Shapes<'a> {
        match self {
            Self::Deduced => Shapes {
                scalar: Some(ScalarKind::Any),
                list: Some(ListShape { identity: Identity::Atomic, element: Self::Opaque }),
                map: Some(MapShape { atomic: false, position: None, rest: Some(Self::Deduced) }),
            },
            Self::Opaque => Shapes {
                scalar: Some(ScalarKind::Any),
                list: Some(ListShape { identity: Identity::Atomic, element: Self::Opaque }),
                map: Some(MapShape { atomic: true, position: None, rest: Some(Self::Opaque) }),
            },
            Self::AnyScalar => Shapes { scalar: Some(ScalarKind::Any), ..Shapes::default() },
            Self::Typed(position) => position.shapes(),
        }
    }

    /// The Go zero value of a built-in's struct, as far as it shows in JSON: see [`MapShape::struct_fields`].
    pub(crate) fn zero(self) -> Value {
        let mut zero = Value::Object(serde_json::Map::new());
        self.fill(&mut zero);
        zero
    }

    /// Whether [`fill`](Self::fill) may add something: only a built-in kind is a Go struct.
    pub(crate) fn has_zeros(self) -> bool {
        matches!(self, Self::Typed(position) if position.builtin)
    }

    /// Adds the parts of a built-in's Go struct that exist even when nothing set them.
    ///
    /// A struct that is not a pointer is always there (`default: {}` beside its reference in the published
    /// schema), a slice without `omitempty` too (required). Kubernetes compares Go structs, so such a field is
    /// never added or removed, only what is in it. Custom kinds have no references and stay as they are.
    pub(crate) fn fill(self, value: &mut Value) {
        let shapes = self.shapes().narrowed(Some(value));
        match value {
            Value::Object(fields) => {
                let Some(map) = shapes.map else { return };
                for (name, zero) in map.struct_fields() {
                    if fields.get(name).is_none() {
                        fields.insert(name.to_owned(), zero);
                    }
                }
                if map.atomic {
                    return;
                }
                for (name, value) in fields.iter_mut() {
                    if let Some(node) = map.field(name) {
                        node.fill(value);
                    }
                }
            }
            Value::Array(items) => {
                let Some(list) = shapes.list else { return };
                for item in items {
                    list.element.fill(item);
                }
            }
            _ => {}
        }
    }
}

impl<'a> Position<'a> {
    fn shapes(self) -> Shapes<'a> {
        let schema = self.typed.schema();
        if schema.int_or_string {
            return Shapes { scalar: Some(ScalarKind::Any), ..Shapes::default() };
        }
        match schema.kind {
            Some(Type::Object) => Shapes { map: Some(self.map()), ..Shapes::default() },
            Some(Type::Array) => Shapes { list: Some(self.list()), ..Shapes::default() },
            Some(Type::Integer | Type::Number) => scalar(ScalarKind::Numeric),
            Some(Type::Boolean) => scalar(ScalarKind::Boolean),
            Some(Type::String) => scalar(match schema.format.as_deref() {
                None | Some("" | "byte") => ScalarKind::String,
                Some(_) => ScalarKind::Any,
            }),
            None => Shapes { scalar: Some(ScalarKind::Any), list: Some(self.list()), map: Some(self.map()) },
        }
    }

    fn list(self) -> ListShape<'a> {
        let schema = self.typed.schema();
        let identity = match schema.list_type.as_deref() {
            Some("set") => Identity::Set,
            Some("map") => Identity::Keys(&schema.list_map_keys),
            None if schema.patch_strategy.iter().any(|strategy| strategy == "merge") => schema
                .patch_merge_key
                .as_ref()
                .map_or(Identity::Set, |key| Identity::Keys(std::slice::from_ref(key))),
            _ => Identity::Atomic,
        };
        let element = schema.items.as_deref().map_or(Node::Opaque, |items| self.child(items));
        ListShape { identity, element }
    }

    fn map(self) -> MapShape<'a> {
        let schema = self.typed.schema();
        let rest = match &schema.additional {
            Additional::Each(each) => Some(self.child(each)),
            Additional::Anything => Some(Node::Deduced),
            Additional::Unspecified if self.preserve || schema.properties.is_empty() => Some(Node::Deduced),
            Additional::Forbidden | Additional::Unspecified => None,
        };
        let map_type = self.map_type.or(schema.map_type.as_deref());
        MapShape { atomic: map_type == Some("atomic"), position: Some(self), rest }
    }

    /// The node of a schema found inside this one.
    fn child(self, raw: &'a Schema) -> Node<'a> {
        // A reference with siblings is written as the only element of allOf in OpenAPI v3.
        let target = match raw.all_of.as_slice() {
            [only] if raw.reference.is_none() && only.reference.is_some() => only,
            _ => raw,
        };
        match target.reference.as_deref() {
            Some("io.k8s.apimachinery.pkg.runtime.RawExtension") => return Node::Opaque,
            Some("io.k8s.apimachinery.pkg.api.resource.Quantity") => return Node::AnyScalar,
            _ => {}
        }
        let typed = self.typed.at(target);
        let inlined = target.reference.is_none();
        Node::Typed(Self {
            typed,
            map_type: if inlined { None } else { raw.map_type.as_deref() },
            preserve: (inlined && self.preserve) || typed.schema().preserve_unknown,
            resource: inlined && typed.schema().embedded_resource,
            builtin: self.builtin,
        })
    }
}

fn scalar<'a>(kind: ScalarKind) -> Shapes<'a> {
    Shapes { scalar: Some(kind), ..Shapes::default() }
}

fn is_reference(raw: &Schema) -> bool {
    raw.reference.is_some() || matches!(raw.all_of.as_slice(), [only] if only.reference.is_some())
}

impl<'a> MapShape<'a> {
    /// The declared property as written.
    fn raw(&self, name: &str) -> Option<&'a Schema> {
        self.position.and_then(|position| position.typed.schema().properties.get(name))
    }

    /// The node of a declared field.
    pub(crate) fn declared(&self, name: &str) -> Option<Node<'a>> {
        let position = self.position?;
        let raw = self.raw(name);
        if position.resource && !raw.is_some_and(is_reference) {
            match name {
                "metadata" => return Some(object_meta()),
                "apiVersion" | "kind" => return Some(Node::AnyScalar),
                _ => {}
            }
        }
        raw.map(|raw| position.child(raw))
    }

    /// The node of any field; none when the schema does not know it.
    pub(crate) fn field(&self, name: &str) -> Option<Node<'a>> {
        self.declared(name).or(self.rest)
    }

    /// The default of a declared field.
    pub(crate) fn default_of(&self, name: &str) -> Option<&'a Value> {
        self.raw(name).and_then(|raw| raw.default.as_ref())
    }

    /// Free-form: no declared fields, anything goes.
    pub(crate) fn is_free_form(&self) -> bool {
        matches!(self.rest, Some(Node::Deduced))
            && self
                .position
                .is_none_or(|position| position.typed.schema().properties.is_empty() && !position.resource)
    }

    /// Fields that Go's zero value of a built-in's struct has, with their zero value.
    fn struct_fields(&self) -> Vec<(&'a str, Value)> {
        let Some(position) = self.position.filter(|position| position.builtin) else { return Vec::new() };
        let schema = position.typed.schema();
        let mut out = Vec::new();
        for (name, raw) in &schema.properties {
            let empty_struct = matches!(&raw.default, Some(Value::Object(fields)) if fields.is_empty());
            let node = position.child(raw);
            if empty_struct && matches!(node, Node::Typed(_)) && node.shapes().map.is_some() {
                out.push((name.as_str(), node.zero()));
            } else if raw.kind == Some(Type::Array) && schema.required.contains(name) {
                out.push((name.as_str(), Value::Null));
            }
        }
        out
    }
}

/// `metadata` of a kind whose schema does not describe it (custom kinds).
fn object_meta<'a>() -> Node<'a> {
    static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(Definitions::default);
    static SCHEMA: LazyLock<Schema> = LazyLock::new(object_meta_schema);
    Node::Typed(Position {
        typed: Typed::new(&SCHEMA, &DEFINITIONS),
        map_type: None,
        preserve: false,
        resource: false,
        builtin: false,
    })
}

fn object_meta_schema() -> Schema {
    let of = |kind| Schema { kind: Some(kind), ..Schema::default() };
    let each = |schema| Schema { additional: Additional::Each(Box::new(schema)), ..of(Type::Object) };
    let list = |items| Schema { items: Some(Box::new(items)), ..of(Type::Array) };
    let time = Schema { format: Some("date-time".to_owned()), ..of(Type::String) };
    let mut properties = std::collections::BTreeMap::new();
    for name in ["name", "generateName", "namespace", "selfLink", "uid", "resourceVersion"] {
        properties.insert(name.to_owned(), of(Type::String));
    }
    for name in ["generation", "deletionGracePeriodSeconds"] {
        properties.insert(name.to_owned(), of(Type::Integer));
    }
    for name in ["creationTimestamp", "deletionTimestamp"] {
        properties.insert(name.to_owned(), time.clone());
    }
    for name in ["labels", "annotations"] {
        properties.insert(name.to_owned(), each(of(Type::String)));
    }
    let set = Schema { list_type: Some("set".to_owned()), ..list(of(Type::String)) };
    properties.insert("finalizers".to_owned(), set);
    let owner = Schema { map_type: Some("atomic".to_owned()), ..owner_reference() };
    let owners =
        Schema { list_type: Some("map".to_owned()), list_map_keys: vec!["uid".to_owned()], ..list(owner) };
    properties.insert("ownerReferences".to_owned(), owners);
    properties
        .insert("managedFields".to_owned(), list(Schema { preserve_unknown: true, ..of(Type::Object) }));
    Schema { properties, ..of(Type::Object) }
}

fn owner_reference() -> Schema {
    let of = |kind| Schema { kind: Some(kind), ..Schema::default() };
    let names = ["apiVersion", "kind", "name", "uid"].map(|name| (name.to_owned(), of(Type::String)));
    let flags = ["blockOwnerDeletion", "controller"].map(|name| (name.to_owned(), of(Type::Boolean)));
    Schema { properties: names.into_iter().chain(flags).collect(), ..of(Type::Object) }
}

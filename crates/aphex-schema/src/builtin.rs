//! Kubernetes' published API descriptions, shipped as data and parsed on first use.
//!
//! - [`definitions`] and [`typed`]: the schemas of the built-in kinds, descriptions dropped.
//! - [`openapi_v3`] and [`openapi_v2`]: whole documents, composed on demand; the caller caches them.
//! - [`resources`]: what discovery lists.
//!
//! Schemas of built-in kinds carry defaults for the sake of list keys (a port's `protocol`). Kubernetes defaults
//! built-in kinds in code, so `default::apply` is for custom resources only.

pub(crate) mod document;
mod swagger;

use std::collections::HashMap;
use std::io::Read;
use std::sync::OnceLock;

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::model::{Definitions, Schema, Typed};
use crate::read::Written;

pub use document::{openapi_v3, openapi_v3_paths};
pub use swagger::{definition as swagger_definition, openapi_v2, path_item as swagger_path_item, swagger};

static DEFINITIONS: &[u8] = include_bytes!("../data/definitions.json.gz");
static PATHS: &[u8] = include_bytes!("../data/paths.json.gz");
static RESOURCES: &[u8] = include_bytes!("../data/resources.json.gz");

/// Definitions that stand for free-form JSON, although some call themselves objects.
const FREE_FORM: &[&str] = &[
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceStatus",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
];

/// The definition every object's `metadata` follows.
pub const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/// A group of the API as discovery lists it, the core group with an empty name.
#[derive(Clone, Debug, Deserialize)]
pub struct Group {
    /// Name of the group.
    pub name: String,
    /// Versions, the preferred one first.
    pub versions: Vec<Version>,
}

/// A version of a group.
#[derive(Clone, Debug, Deserialize)]
pub struct Version {
    /// Name of the version.
    pub version: String,
    /// Resources and, under `parent/name`, their subresources.
    pub resources: Vec<Resource>,
}

/// A resource or subresource: the fields of `APIResource`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Plural name, or `parent/name` for a subresource.
    pub name: String,
    /// Singular name.
    pub singular_name: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Group of the kind where it differs from that of the resource (`autoscaling` for `scale`).
    #[serde(default)]
    pub group: String,
    /// Version of the kind where it differs from that of the resource.
    #[serde(default)]
    pub version: String,
    /// Kind of the objects.
    pub kind: String,
    /// Verbs served.
    pub verbs: Vec<String>,
    /// Short names kubectl knows.
    #[serde(default)]
    pub short_names: Vec<String>,
    /// Categories such as `all`.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Hash of the storage version, opaque.
    #[serde(default)]
    pub storage_version_hash: String,
}

#[derive(Deserialize, Default)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Default)]
struct Data {
    definitions: Definitions,
    kinds: HashMap<String, String>,
}

static DATA: OnceLock<Data> = OnceLock::new();

fn data() -> &'static Data {
    DATA.get_or_init(|| parse(unpack(DEFINITIONS)))
}

/// The definitions of the built-in kinds and everything they refer to.
pub fn definitions() -> &'static Definitions {
    &data().definitions
}

/// The schema of a built-in kind (lists and option kinds included).
pub fn typed(group: &str, version: &str, kind: &str) -> Option<Typed<'static>> {
    let data = data();
    let name = data.kinds.get(&key(group, version, kind))?;
    data.definitions.get(name).map(|schema| Typed::new(schema, &data.definitions))
}

/// The name of the definition of a built-in kind.
pub fn definition_name(group: &str, version: &str, kind: &str) -> Option<&'static str> {
    data().kinds.get(&key(group, version, kind)).map(String::as_str)
}

/// The schema of `metadata`.
pub fn object_meta() -> Option<Typed<'static>> {
    let definitions = definitions();
    definitions.get(OBJECT_META).map(|schema| Typed::new(schema, definitions))
}

/// Groups, versions and resources in the order of discovery.
pub fn resources() -> &'static [Group] {
    static GROUPS: OnceLock<Groups> = OnceLock::new();
    &GROUPS.get_or_init(|| unpack(RESOURCES)).groups
}

fn key(group: &str, version: &str, kind: &str) -> String {
    format!("{group}/{version}/{kind}")
}

fn parse(written: HashMap<String, Written>) -> Data {
    let mut kinds = HashMap::new();
    let mut named = HashMap::with_capacity(written.len());
    for (name, mut written) in written {
        for gvk in written.kinds.take().unwrap_or_default() {
            kinds.insert(key(&gvk.group, &gvk.version, &gvk.kind), name.clone());
        }
        let mut schema = Schema::from(written);
        settle(&mut schema);
        match name.as_str() {
            INT_OR_STRING => schema.int_or_string = true,
            _ if FREE_FORM.contains(&name.as_str()) => schema.preserve_unknown = true,
            _ => {}
        }
        if matches!(name.as_str(), INT_OR_STRING | QUANTITY) {
            schema.one_of.clear();
        }
        named.insert(name, schema);
    }
    mark_targets(&mut named);
    Data { definitions: Definitions::new(named), kinds }
}

/// OpenAPI v3 wraps a reference that has siblings into `allOf`: take it out.
fn settle(schema: &mut Schema) {
    if schema.reference.is_none() && schema.all_of.len() == 1 && schema.all_of[0].reference.is_some() {
        schema.reference = schema.all_of.remove(0).reference;
    }
    schema.properties.values_mut().for_each(settle);
    if let Some(items) = schema.items.as_deref_mut() {
        settle(items);
    }
    if let crate::model::Additional::Each(each) = &mut schema.additional {
        settle(each);
    }
}

/// A reference loses what is written beside it, so one with patch marks refers to a marked copy of its target.
fn mark_targets(named: &mut HashMap<String, Schema>) {
    let mut copies = HashMap::new();
    let targets: HashMap<String, Schema> = named
        .values()
        .flat_map(|schema| schema.properties.values())
        .filter(|property| is_marked(property))
        .filter_map(|property| property.reference.as_ref())
        .filter_map(|name| Some((name.clone(), named.get(name)?.clone())))
        .collect();
    for property in named.values_mut().flat_map(|schema| schema.properties.values_mut()) {
        let marked = is_marked(property);
        let Some(name) = property.reference.as_mut().filter(|_| marked) else { continue };
        let Some(target) = targets.get(name) else { continue };
        let mut copy = target.clone();
        name.push('#');
        name.push_str(&property.patch_strategy.join(","));
        copy.patch_strategy.clone_from(&property.patch_strategy);
        copy.map_type = property.map_type.clone().or(copy.map_type);
        copies.insert(name.clone(), copy);
    }
    named.extend(copies);
}

fn is_marked(schema: &Schema) -> bool {
    !schema.patch_strategy.is_empty() || schema.map_type.is_some()
}

/// The value in a shipped file. The files are part of the program and the tests read each of them.
fn unpack<T: DeserializeOwned + Default>(packed: &[u8]) -> T {
    let mut bytes = Vec::new();
    match GzDecoder::new(packed).read_to_end(&mut bytes) {
        Ok(_) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(_) => T::default(),
    }
}

#[cfg(test)]
mod tests;

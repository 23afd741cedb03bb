//! What the server knows of one resource in one version: the only place where kinds differ.
//!
//! Built-in and custom resources are the same type. Handlers read descriptors; no handler knows a kind by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_schema::rules::Rules;
use aphex_schema::{Definitions, Schema, Typed, builtin};
use aphex_store::Revision;

use crate::strategy::Strategy;

/// One resource in one version.
#[derive(Clone, Debug)]
pub struct Resource {
    /// API group; the core group is "".
    pub group: String,
    /// Version of the group.
    pub version: String,
    /// Plural name, as in paths.
    pub plural: String,
    /// Singular name.
    pub singular: String,
    /// Kind of the objects.
    pub kind: String,
    /// Kind of lists of them.
    pub list_kind: String,
    /// Abbreviations.
    pub short_names: Vec<String>,
    /// Categories such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Verbs served.
    pub verbs: Vec<String>,
    /// Subresources by name.
    pub subresources: BTreeMap<String, Subresource>,
    /// Opaque hash that discovery shows.
    pub storage_version_hash: String,
    /// Where objects are kept.
    pub storage: Storage,
    /// How writes to the kind behave.
    pub strategy: Strategy,
    /// Fields that field selectors may name, besides `metadata.name` and `metadata.namespace`.
    pub selectable: Vec<Selectable>,
    /// Schema and what else depends on where the resource comes from.
    pub origin: Origin,
}

/// A subresource such as `status` or `scale`.
#[derive(Clone, Debug, Default)]
pub struct Subresource {
    /// Kind of its objects.
    pub kind: String,
    /// Group of that kind where it differs.
    pub group: String,
    /// Version of that kind where it differs.
    pub version: String,
    /// Verbs served.
    pub verbs: Vec<String>,
    /// Where a scale finds its numbers.
    pub scale: Option<Scale>,
}

/// Paths of a scale subresource, as dotted field names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Desired number of replicas.
    pub spec_replicas: String,
    /// Observed number of replicas.
    pub status_replicas: String,
    /// Label selector of the pods, as text or as a LabelSelector object.
    pub selector: Option<String>,
}

/// Where objects of a resource are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Key prefix of all of them, ending in `/`.
    pub prefix: String,
    /// `apiVersion` that they are stored in.
    pub api_version: String,
}

/// A field that field selectors may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selectable {
    /// Name in the selector.
    pub name: String,
    /// Dotted path in the object.
    pub path: String,
    /// Value of an absent field.
    pub absent: String,
}

impl Selectable {
    /// A field whose selector name is its path.
    pub fn new(path: &str) -> Self {
        Self { name: path.to_owned(), path: path.to_owned(), absent: String::new() }
    }
}

/// A column of a server-side table, as CRDs declare it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrinterColumn {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// OpenAPI format.
    pub format: String,
    /// What the column shows.
    pub description: String,
    /// 0 is always shown, higher ones only in wide output.
    pub priority: i64,
    /// JSONPath of the value.
    pub json_path: String,
}

/// Where a resource comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Part of the API; the schema is published data, if the kind has one.
    BuiltIn(Option<Typed<'static>>),
    /// Made by a CustomResourceDefinition.
    Custom(Arc<Custom>),
}

/// What a CustomResourceDefinition says of one version.
#[derive(Debug)]
pub struct Custom {
    /// Name of the definition.
    pub definition: String,
    /// Structural schema.
    pub schema: Schema,
    /// Empty: structural schemas have no references.
    pub definitions: Arc<Definitions>,
    /// Compiled `x-kubernetes-validations`.
    pub rules: Rules,
    /// Columns of tables.
    pub columns: Vec<PrinterColumn>,
    /// Objects written before this revision may lack today's defaults.
    pub since: Revision,
    /// The definition is being deleted: nothing may be created.
    pub terminating: bool,
    /// Warning to send with every answer of a deprecated version.
    pub deprecation: Option<String>,
    /// The version is where objects are stored, so patches and applies see it first.
    pub storage: bool,
    /// The schema as written, for OpenAPI.
    pub published: serde_json::Value,
}

impl Custom {
    /// A cursor at the root of the schema.
    pub fn typed(&self) -> Typed<'_> {
        Typed::new(&self.schema, &self.definitions)
    }
}

impl Resource {
    /// `apps/v1`, or `v1` in the core group.
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// The store key of one object.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.namespaced {
            format!("{}{namespace}/{name}", self.storage.prefix)
        } else {
            format!("{}{name}", self.storage.prefix)
        }
    }

    /// The key prefix of all objects, or of those in one namespace.
    pub fn key_prefix(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) if self.namespaced => format!("{}{namespace}/", self.storage.prefix),
            _ => self.storage.prefix.clone(),
        }
    }

    /// The schema, if the kind has one.
    pub fn typed(&self) -> Option<Typed<'_>> {
        match &self.origin {
            Origin::BuiltIn(typed) => *typed,
            Origin::Custom(custom) => Some(custom.typed()),
        }
    }

    /// The custom side, if it is one.
    pub fn custom(&self) -> Option<&Custom> {
        match &self.origin {
            Origin::Custom(custom) => Some(custom),
            Origin::BuiltIn(_) => None,
        }
    }

    /// What every answer warns of.
    pub fn deprecation(&self) -> Option<&str> {
        const ENDPOINTS: &str = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
        match &self.origin {
            Origin::Custom(custom) => custom.deprecation.as_deref(),
            Origin::BuiltIn(_) if self.group.is_empty() && self.plural == "endpoints" => Some(ENDPOINTS),
            Origin::BuiltIn(_) => None,
        }
    }

    /// Whether the kind has a separate status endpoint.
    pub fn has_status(&self) -> bool {
        self.subresources.contains_key("status")
    }

    /// Whether objects are stored at all (reviews are not).
    pub fn is_stored(&self) -> bool {
        self.verbs.iter().any(|verb| verb == "get")
    }

    /// The schema of the kind that a subresource takes, where it is another kind.
    pub fn subresource_schema(&self, subresource: &str) -> Option<Typed<'static>> {
        let sub = self.subresources.get(subresource)?;
        let group = if sub.version.is_empty() { &self.group } else { &sub.group };
        let version = if sub.version.is_empty() { &self.version } else { &sub.version };
        builtin::typed(group, version, &sub.kind)
    }
}

/// `apps/v1`, or `v1` in the core group.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Group and version of an `apiVersion`.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// The key prefix of a resource's objects.
pub fn storage_prefix(group: &str, plural: &str) -> String {
    let group = if group.is_empty() { "core" } else { group };
    format!("/registry/{group}/{plural}/")
}

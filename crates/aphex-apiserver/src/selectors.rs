//! Label and field selectors: parsing with Kubernetes' messages, and matching stored objects.
//!
//! The grammar is that of `k8s.io/apimachinery/pkg/labels/selector.go` and `fields/selector.go`.

mod fields;
mod labels;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::resource::Resource;
use crate::status::Status;

pub use fields::{FieldSelector, exact_name};
pub use labels::LabelSelector;

/// Both selectors of a request, against one resource.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    labels: LabelSelector,
    fields: FieldSelector,
}

/// As much of an object as label selection needs.
#[derive(Deserialize)]
struct Labelled<'a> {
    #[serde(borrow, default)]
    metadata: Labels<'a>,
}

#[derive(Deserialize, Default)]
struct Labels<'a> {
    #[serde(borrow, default)]
    labels: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

impl Filter {
    /// Reads both selectors.
    pub fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Self, Status> {
        Ok(Self { labels: LabelSelector::parse(labels)?, fields: FieldSelector::parse(fields, resource)? })
    }

    /// Whether everything matches.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The one name that `metadata.name` must have.
    pub fn name(&self) -> Option<&str> {
        self.fields.exactly("metadata.name")
    }

    /// The one namespace that `metadata.namespace` must have.
    pub fn namespace(&self) -> Option<&str> {
        self.fields.exactly("metadata.namespace")
    }

    /// Whether an object matches, given its namespace, name and bytes.
    pub fn matches(&self, namespace: &str, name: &str, bytes: &[u8]) -> bool {
        if !self.fields.matches_key(namespace, name) {
            return false;
        }
        if !self.labels.is_empty() {
            let Ok(object) = serde_json::from_slice::<Labelled<'_>>(bytes) else { return false };
            let labels = object.metadata.labels.unwrap_or_default();
            if !self.labels.matches(|key| labels.get(key).map(AsRef::as_ref)) {
                return false;
            }
        }
        if self.fields.needs_object() {
            let Ok(object) = serde_json::from_slice::<Value>(bytes) else { return false };
            return self.fields.matches_object(&object);
        }
        true
    }
}

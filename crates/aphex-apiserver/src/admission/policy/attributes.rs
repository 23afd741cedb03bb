//! A write as policies see it: `admission.Attributes` and the `AdmissionRequest` made of it.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::evaluate::Denial;
use super::index::{Binding, Policy};
use crate::admission::{Operation, Write};
use crate::object;
use crate::resource::{Resource, api_version};

/// A group, version and resource, or group, version and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Versioned {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) name: String,
}

impl Versioned {
    pub(super) fn new(group: &str, version: &str, name: &str) -> Self {
        Self { group: group.to_owned(), version: version.to_owned(), name: name.to_owned() }
    }

    fn json(&self, field: &str) -> Value {
        json!({"group": self.group, "version": self.version, field: self.name})
    }
}

/// The first denial, as it will be told.
pub(super) struct Denied {
    pub(super) policy: String,
    pub(super) binding: Option<String>,
    pub(super) denial: Denial,
}

/// One write.
pub(super) struct Attributes<'a> {
    pub(super) write: &'a Write<'a>,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub(super) operation: &'static str,
    /// The object's namespace; a namespace counts as being in itself.
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    /// The new object; none for a delete.
    pub(super) object: Option<&'a Value>,
    /// The object before; none for a create.
    pub(super) old: Option<&'a Value>,
    pub(super) denied: Cell<Option<Denied>>,
    views: OnceCell<Vec<Arc<Resource>>>,
}

impl<'a> Attributes<'a> {
    /// A write of `object`, which is the object as it is for a delete.
    pub(super) fn of(write: &'a Write<'a>, object: &'a Value, old: Option<&'a Value>) -> Self {
        let deletes = write.operation == Operation::Delete;
        let path_name = write.call.name();
        let name = match path_name {
            // A request about many objects names none, not even when one of them is looked at.
            "" if deletes => "",
            "" => object::name(object),
            name => name,
        };
        let itself = write.is_of("", "namespaces");
        Self {
            write,
            operation: match write.operation {
                Operation::Create => "CREATE",
                Operation::Update => "UPDATE",
                Operation::Delete => "DELETE",
            },
            namespace: match &write.call.path.namespace {
                _ if itself => name,
                Some(namespace) => namespace,
                None => object::namespace(object),
            },
            name,
            object: (!deletes).then_some(object),
            old: if deletes { Some(object) } else { old },
            denied: Cell::new(None),
            views: OnceCell::new(),
        }
    }

    pub(super) fn resource(&self) -> &'a Resource {
        &self.write.call.resource
    }

    /// Other versions and groups of the written resource: what is stored in the same place is another view of it.
    ///
    /// Nearly every policy asks, and the registry is long: it is gone through once a write.
    pub(super) fn other_views(&self) -> &[Arc<Resource>] {
        self.views.get_or_init(|| {
            let own = self.resource();
            let snapshot = self.write.call.server.registry.snapshot();
            let groups = snapshot.groups.iter().flat_map(|group| &group.versions);
            let others = groups.flat_map(|version| &version.resources).filter(|other| {
                other.storage.prefix == own.storage.prefix
                    && (&other.group, &other.version) != (&own.group, &own.version)
            });
            others.cloned().collect()
        })
    }

    pub(super) fn subresource(&self) -> &'a str {
        self.write.call.subresource()
    }

    pub(super) fn is_namespace(&self) -> bool {
        self.write.is_of("", "namespaces")
    }

    /// Keeps a denial unless there is one already.
    pub(super) fn deny(&self, policy: &Policy, binding: Option<&Binding>, denial: Denial) {
        let first = self.denied.take().unwrap_or_else(|| Denied {
            policy: policy.name.clone(),
            binding: binding.map(|binding| binding.name.clone()),
            denial,
        });
        self.denied.set(Some(first));
    }

    /// The kind that the endpoint takes, in a version of the resource.
    pub(super) fn kind_in(&self, resource: &Resource) -> Versioned {
        match resource.subresources.get(self.subresource()) {
            Some(sub) if !sub.kind.is_empty() && sub.kind != resource.kind && sub.version.is_empty() => {
                Versioned::new(&resource.group, &resource.version, &sub.kind)
            }
            Some(sub) if !sub.kind.is_empty() && sub.kind != resource.kind => {
                Versioned::new(&sub.group, &sub.version, &sub.kind)
            }
            _ => Versioned::new(&resource.group, &resource.version, &resource.kind),
        }
    }

    /// The variable `request`; `matched` is the version of the resource that the policy's rules name.
    pub(super) fn request(&self, matched: &Resource) -> Value {
        let own = self.resource();
        let plural =
            |resource: &Resource| Versioned::new(&resource.group, &resource.version, &resource.plural);
        let mut request = json!({
            "uid": "",
            "kind": self.kind_in(matched).json("kind"),
            "resource": plural(matched).json("resource"),
            "requestKind": self.kind_in(own).json("kind"),
            "requestResource": plural(own).json("resource"),
            "operation": self.operation,
            "userInfo": self.write.call.user,
            "dryRun": self.write.dry_run,
            "options": self.options(),
        });
        let map = object::map(&mut request);
        for (field, text) in [
            ("name", self.name),
            ("namespace", self.namespace),
            ("subResource", self.subresource()),
            ("requestSubResource", self.subresource()),
        ] {
            if !text.is_empty() {
                map.insert(field.to_owned(), json!(text));
            }
        }
        request
    }

    /// The options of the request as an object of `meta.k8s.io`.
    fn options(&self) -> Value {
        let call = self.write.call;
        let kind = match (self.write.operation, call.verb) {
            (Operation::Delete, _) => "DeleteOptions",
            (_, crate::request::Verb::Patch) => "PatchOptions",
            (Operation::Create, _) => "CreateOptions",
            (Operation::Update, _) => "UpdateOptions",
        };
        let mut options = Map::new();
        options.insert("kind".to_owned(), json!(kind));
        options.insert("apiVersion".to_owned(), json!(api_version("meta.k8s.io", "v1")));
        for field in ["fieldManager", "fieldValidation", "propagationPolicy"] {
            if let Some(value) = call.query.get(field) {
                options.insert(field.to_owned(), json!(value));
            }
        }
        let dry_run: Vec<&str> = call.query.all("dryRun").filter(|value| !value.is_empty()).collect();
        if !dry_run.is_empty() {
            options.insert("dryRun".to_owned(), json!(dry_run));
        }
        Value::Object(options)
    }
}

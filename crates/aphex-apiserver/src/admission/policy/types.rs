//! The types of what a policy's expressions may name: `BuildRequestType` and `BuildNamespaceType` of Kubernetes.

use std::collections::BTreeMap;

use aphex_cel::{Declarations, Type};

use super::authorizer;
use super::compile::{Composed, Scope};

/// The fields of an object type.
type Fields<'a> = &'a [(&'a str, Type)];

fn object(name: &str, fields: Fields<'_>) -> Type {
    let fields: BTreeMap<_, _> = fields.iter().map(|(name, kind)| ((*name).into(), kind.clone())).collect();
    Type::object(name, fields)
}

fn texts() -> Type {
    Type::list(Type::String)
}

/// What an expression may name; `composed` are the variables before it.
pub(super) fn declarations(scope: Scope, composed: &[Composed]) -> Declarations {
    let mut all = Declarations::new()
        .with("object", Type::Dyn)
        .with("oldObject", Type::Dyn)
        .with("namespaceObject", namespace())
        .with("request", request());
    if scope.params {
        all = all.with("params", Type::Dyn);
    }
    if scope.authorizer {
        all = all
            .with("authorizer", Type::named("kubernetes.authorization.Authorizer"))
            .with(authorizer::REQUEST, Type::named("kubernetes.authorization.ResourceCheck"));
    }
    if composed.is_empty() {
        return all;
    }
    // Each has a name of its own, so that it is evaluated only where it is used.
    let fields: Vec<(&str, Type)> =
        composed.iter().map(|one| (one.name.as_str(), one.kind.clone())).collect();
    for (name, kind) in &fields {
        all = all.with(&format!("variables.{name}"), kind.clone());
    }
    all.with("variables", object("kubernetes.variables", &fields))
}

fn request() -> Type {
    let kind = object(
        "kubernetes.GroupVersionKind",
        &[("group", Type::String), ("version", Type::String), ("kind", Type::String)],
    );
    let resource = object(
        "kubernetes.GroupVersionResource",
        &[("group", Type::String), ("version", Type::String), ("resource", Type::String)],
    );
    let user = object(
        "kubernetes.UserInfo",
        &[
            ("username", Type::String),
            ("uid", Type::String),
            ("groups", texts()),
            ("extra", Type::map(Type::String, texts())),
        ],
    );
    object(
        "kubernetes.AdmissionRequest",
        &[
            ("kind", kind.clone()),
            ("resource", resource.clone()),
            ("subResource", Type::String),
            ("requestKind", kind),
            ("requestResource", resource),
            ("requestSubResource", Type::String),
            ("name", Type::String),
            ("namespace", Type::String),
            ("operation", Type::String),
            ("userInfo", user),
            ("dryRun", Type::Bool),
            ("options", Type::Dyn),
        ],
    )
}

fn namespace() -> Type {
    let labels = || Type::map(Type::String, Type::String);
    let metadata = object(
        "kubernetes.NamespaceMetadata",
        &[
            ("name", Type::String),
            ("generateName", Type::String),
            ("namespace", Type::String),
            ("labels", labels()),
            ("annotations", labels()),
            ("UID", Type::String),
            ("creationTimestamp", Type::Timestamp),
            ("deletionGracePeriodSeconds", Type::Int),
            ("deletionTimestamp", Type::Timestamp),
            ("generation", Type::Int),
            ("resourceVersion", Type::String),
            ("finalizers", texts()),
        ],
    );
    let condition = object(
        "kubernetes.NamespaceCondition",
        &[
            ("status", Type::String),
            ("type", Type::String),
            ("lastTransitionTime", Type::Timestamp),
            ("message", Type::String),
            ("reason", Type::String),
        ],
    );
    let status = object(
        "kubernetes.NamespaceStatus",
        &[("conditions", Type::list(condition)), ("phase", Type::String)],
    );
    object(
        "kubernetes.Namespace",
        &[
            ("metadata", metadata),
            ("spec", object("kubernetes.NamespaceSpec", &[("finalizers", texts())])),
            ("status", status),
        ],
    )
}

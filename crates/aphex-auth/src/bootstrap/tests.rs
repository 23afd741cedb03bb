//! The default objects are whole, work together, and survive what owners do to them.

use serde_json::json;

use super::*;
use crate::attributes::Attributes;
use crate::rbac::aggregation::aggregate;
use crate::rbac::{Index, authorize};
use crate::user::User;

#[test]
fn every_default_object_is_there() {
    let counts = [cluster_roles(), cluster_role_bindings(), roles(), role_bindings()].map(<[_]>::len);
    assert_eq!(counts, [68, 49, 7, 7]);
    for object in objects() {
        let metadata = &object["metadata"];
        assert!(metadata["name"].is_string(), "{object}");
        assert!(metadata.get("uid").is_none() && metadata.get("resourceVersion").is_none());
        assert_eq!(metadata["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
    }
}

#[test]
fn aggregated_defaults_let_an_editor_edit_and_a_viewer_view() {
    let index = Index::of(objects()).unwrap();
    for role in aggregate(cluster_roles()) {
        let role = json!({"kind": "ClusterRole", "metadata": {"name": role.name}, "rules": role.rules});
        index.upsert(&role).unwrap();
    }
    for (name, role) in [("ada", "admin"), ("eve", "edit"), ("vic", "view")] {
        let binding = json!({"kind": "RoleBinding", "metadata": {"name": name, "namespace": "ns"},
            "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [{"kind": "User", "name": name}]});
        index.upsert(&binding).unwrap();
    }
    for (name, verb, group, resource, allowed) in [
        ("ada", "create", "rbac.authorization.k8s.io", "rolebindings", true),
        ("eve", "create", "rbac.authorization.k8s.io", "rolebindings", false),
        ("eve", "patch", "apps", "deployments", true),
        ("eve", "get", "", "secrets", true),
        ("vic", "list", "apps", "deployments", true),
        ("vic", "patch", "apps", "deployments", false),
        ("vic", "get", "", "secrets", false),
    ] {
        let user = User::new(name, ["system:authenticated"]);
        let request = Attributes { namespace: "ns", ..Attributes::resource(&user, verb, group, resource) };
        assert_eq!(authorize(&index, &request).allowed, allowed, "{name} {verb} {resource}");
    }
}

#[test]
fn strangers_see_health_and_version_and_users_discover() {
    let index = Index::of(objects()).unwrap();
    let may = |user: &User, path: &str| authorize(&index, &Attributes::path(user, "get", path)).allowed;
    let (stranger, user) = (User::anonymous(), User::new("u", ["system:authenticated"]));
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        assert!(may(&stranger, path) && may(&user, path), "{path}");
    }
    for path in ["/api", "/apis", "/openapi/v3", "/apis/apps/v1"] {
        assert!(!may(&stranger, path) && may(&user, path), "{path}");
    }
    assert!(!may(&user, "/metrics"));
}

#[test]
fn an_object_that_is_missing_is_created_and_an_intact_one_left_alone() {
    for wanted in objects() {
        assert_eq!(reconcile(None, wanted), Reconciled::Create(wanted.clone()));
        let mut stored = wanted.clone();
        stored["metadata"]["uid"] = json!("1");
        assert_eq!(reconcile(Some(&stored), wanted), Reconciled::Nothing, "{wanted}");
    }
}

#[test]
fn what_was_taken_away_comes_back_and_what_was_added_stays() {
    let wanted = json!({"metadata": {"name": "r", "labels": {"a": "1"}, "annotations": {AUTOUPDATE: "true"}},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]});
    let mut stored = wanted.clone();
    stored["metadata"]["labels"] = json!({"mine": "2"});
    stored["rules"] = json!([{"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get"]}]);
    let Reconciled::Update(merged) = reconcile(Some(&stored), &wanted) else {
        panic!("the role lacks list");
    };
    assert_eq!(merged["metadata"]["labels"], json!({"mine": "2", "a": "1"}));
    assert_eq!(merged["rules"].as_array().unwrap().len(), 2);
    assert_eq!(merged["rules"][1]["verbs"], json!(["list"]));
    stored["metadata"]["annotations"][AUTOUPDATE] = json!("false");
    assert_eq!(reconcile(Some(&stored), &wanted), Reconciled::Nothing);
}

#[test]
fn bindings_get_their_subjects_back_or_are_made_anew() {
    let wanted = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "Group", "name": "g"}]});
    let mut stored = wanted.clone();
    stored["subjects"] = json!([{"kind": "User", "name": "u"}]);
    let Reconciled::Update(merged) = reconcile(Some(&stored), &wanted) else {
        panic!("the group is missing");
    };
    assert_eq!(merged["subjects"].as_array().unwrap().len(), 2);
    stored["roleRef"]["name"] = json!("other");
    assert_eq!(reconcile(Some(&stored), &wanted), Reconciled::Recreate(wanted));
}

#[test]
fn computed_rules_of_an_aggregated_role_are_no_difference() {
    let wanted = cluster_roles().iter().find(|role| role["metadata"]["name"] == "edit").unwrap();
    let mut stored = wanted.clone();
    stored["rules"] = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    assert_eq!(reconcile(Some(&stored), wanted), Reconciled::Nothing);
    stored["aggregationRule"] = json!({"clusterRoleSelectors": []});
    let Reconciled::Update(merged) = reconcile(Some(&stored), wanted) else {
        panic!("the selector is missing");
    };
    assert_eq!(merged["aggregationRule"], wanted["aggregationRule"]);
    assert_eq!(merged["rules"], stored["rules"]);
}

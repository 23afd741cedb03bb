//! Decisions through the index; the cases marked upstream are those of Kubernetes' rbac_test.go.

use serde_json::{Value, json};

use super::*;
use crate::attributes::Attributes;
use crate::rbac::{Decision, authorize, rules_for};

fn role(kind: &str, namespace: &str, name: &str, rules: &Value) -> Value {
    json!({"kind": kind, "metadata": {"name": name, "namespace": namespace}, "rules": rules})
}

/// A subject from `User:x`, `Group:x` or `ServiceAccount:ns/x`.
fn subject(text: &str) -> Value {
    let (kind, name) = text.split_once(':').unwrap();
    match name.split_once('/') {
        Some((namespace, name)) => json!({"kind": kind, "name": name, "namespace": namespace}),
        None => json!({"kind": kind, "name": name}),
    }
}

fn binding(kind: &str, namespace: &str, name: &str, role: (&str, &str), subjects: &[&str]) -> Value {
    json!({"kind": kind, "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1},
        "subjects": subjects.iter().map(|text| subject(text)).collect::<Vec<_>>()})
}

fn rule(verb: &str, group: &str, resource: &str) -> Value {
    json!({"verbs": [verb], "apiGroups": [group], "resources": [resource]})
}

fn user(name: &str, groups: &str) -> User {
    User::new(name, groups.split(',').filter(|group| !group.is_empty()))
}

#[test]
fn a_binding_grants_in_its_namespace_only_as_upstream() {
    let index = Index::of(&[
        role("ClusterRole", "", "admin", &json!([rule("*", "*", "*")])),
        binding("RoleBinding", "ns1", "b", ("ClusterRole", "admin"), &["User:admin", "Group:admins"]),
    ])
    .unwrap();
    for (name, groups, verb, resource, namespace, allowed) in [
        ("admin", "", "get", "Pods", "ns1", true),
        ("admin", "group1", "watch", "Foobar", "ns1", true),
        ("joe", "admins", "watch", "Foobar", "ns1", true),
        ("joe", "group1,admins", "watch", "Foobar", "ns1", true),
        ("joe", "group1", "watch", "Foobar", "ns1", false),
        ("admin", "", "GET", "Pods", "ns2", false),
        ("admin", "admins", "GET", "Nodes", "", false),
    ] {
        let user = user(name, groups);
        let request = Attributes { namespace, ..Attributes::resource(&user, verb, "", resource) };
        assert_eq!(authorize(&index, &request).allowed, allowed, "{request:?}");
    }
}

#[test]
fn paths_match_whole_or_by_prefix_as_upstream() {
    let urls = |verb: &str, url: &str| json!([{"verbs": [verb], "nonResourceURLs": [url]}]);
    let index = Index::of(&[
        role("ClusterRole", "", "getter", &urls("get", "/apis")),
        role("ClusterRole", "", "any", &urls("*", "/apis")),
        role("ClusterRole", "", "prefix", &urls("get", "/apis/*")),
        binding("ClusterRoleBinding", "", "1", ("ClusterRole", "getter"), &["User:foo", "Group:bar"]),
        binding("ClusterRoleBinding", "", "2", ("ClusterRole", "any"), &["User:admin"]),
        binding("ClusterRoleBinding", "", "3", ("ClusterRole", "prefix"), &["User:prefixed"]),
    ])
    .unwrap();
    for (name, groups, verb, path, allowed) in [
        ("foo", "", "get", "/apis", true),
        ("", "bar", "get", "/apis", true),
        ("admin", "", "watch", "/apis", true),
        ("prefixed", "", "get", "/apis/v1/foobar", true),
        ("prefixed", "", "get", "/apis", false),
        ("foo", "", "watch", "/apis", false),
        ("foo", "", "get", "/api/v1", false),
        ("admin", "", "get", "/apis/v1", false),
        ("prefixed", "", "get", "/api/v1", false),
    ] {
        let user = user(name, groups);
        let request = Attributes::path(&user, verb, path);
        assert_eq!(authorize(&index, &request).allowed, allowed, "{name} {verb} {path}");
    }
}

#[test]
fn subresources_and_names_are_permissions_of_their_own() {
    let named = json!({"verbs": ["update"], "apiGroups": [""], "resources": ["secrets"],
        "resourceNames": ["mine"]});
    let index = Index::of(&[
        role(
            "Role",
            "ns",
            "mixed",
            &json!([
                rule("get", "", "pods"),
                rule("get", "", "pods/log"),
                rule("get", "*", "*/scale"),
                named
            ]),
        ),
        binding("RoleBinding", "ns", "b", ("Role", "mixed"), &["User:u"]),
    ])
    .unwrap();
    let user = user("u", "");
    for (verb, group, resource, subresource, name, allowed) in [
        ("get", "", "pods", "", "p", true),
        ("get", "", "pods", "log", "p", true),
        ("get", "", "pods", "exec", "p", false),
        ("get", "apps", "deployments", "scale", "d", true),
        ("get", "apps", "deployments", "", "d", false),
        ("get", "", "pods", "scale", "p", true),
        ("update", "", "secrets", "", "mine", true),
        ("update", "", "secrets", "", "yours", false),
        ("update", "", "secrets", "", "", false),
        ("update", "", "secrets", "mine", "mine", false),
    ] {
        let request = Attributes {
            subresource,
            name,
            namespace: "ns",
            ..Attributes::resource(&user, verb, group, resource)
        };
        assert_eq!(authorize(&index, &request).allowed, allowed, "{request:?}");
    }
    let path = Attributes::path(&user, "get", "pods");
    assert!(!authorize(&index, &path).allowed, "a path is no resource");
}

#[test]
fn reasons_name_binding_role_and_subject() {
    let read = json!([rule("get", "", "pods")]);
    let index = Index::of(&[
        role("Role", "y", "z", &read),
        role("ClusterRole", "", "cz", &read),
        binding("RoleBinding", "y", "x", ("Role", "z"), &["Group:other", "User:u", "Group:g"]),
        binding("RoleBinding", "y", "s", ("ClusterRole", "cz"), &["ServiceAccount:bot"]),
        binding("ClusterRoleBinding", "", "c", ("ClusterRole", "cz"), &["ServiceAccount:ns/bot"]),
    ])
    .unwrap();
    let reason = |user: User| {
        let request = Attributes { namespace: "y", ..Attributes::resource(&user, "get", "", "pods") };
        authorize(&index, &request).reason
    };
    assert_eq!(reason(user("u", "")), r#"RBAC: allowed by RoleBinding "x/y" of Role "z" to User "u""#);
    assert_eq!(
        reason(User::service_account("y", "bot", "1")),
        r#"RBAC: allowed by RoleBinding "s/y" of ClusterRole "cz" to ServiceAccount "bot/y""#
    );
    assert_eq!(
        reason(User::service_account("ns", "bot", "1")),
        r#"RBAC: allowed by ClusterRoleBinding "c" of ClusterRole "cz" to ServiceAccount "bot/ns""#
    );
    assert_eq!(reason(user("nobody", "nogroup")), "");
}

#[test]
fn a_dangling_reference_denies_and_is_named() {
    let index = Index::of(&[
        binding("RoleBinding", "ns", "b", ("Role", "gone"), &["User:u"]),
        binding("RoleBinding", "ns", "a", ("Role", "gone"), &["User:u"]),
        binding("ClusterRoleBinding", "", "c", ("ClusterRole", "lost"), &["User:v"]),
    ])
    .unwrap();
    let denied = |name: &str| {
        let user = user(name, "");
        let request = Attributes { namespace: "ns", ..Attributes::resource(&user, "get", "", "pods") };
        authorize(&index, &request)
    };
    let reason = r#"RBAC: role.rbac.authorization.k8s.io "gone" not found"#;
    assert_eq!(denied("u"), Decision { allowed: false, reason: reason.into() });
    let reason = r#"RBAC: clusterrole.rbac.authorization.k8s.io "lost" not found"#;
    assert_eq!(denied("v").reason, reason);
    assert_eq!(rules_for(&index, &user("u", ""), "ns").errors.len(), 2);
}

#[test]
fn masters_need_no_role() {
    let user = user("root", "system:masters");
    let decision = authorize(&Index::default(), &Attributes::path(&user, "get", "/x"));
    assert_eq!(decision, Decision { allowed: true, reason: String::new() });
}

#[test]
fn a_change_replaces_what_was_there_and_removal_leaves_nothing() {
    let index = Index::default();
    let old = binding("RoleBinding", "ns", "b", ("Role", "r"), &["User:old", "Group:g"]);
    let new = binding("RoleBinding", "ns", "b", ("Role", "r"), &["User:new", "ServiceAccount:s"]);
    let role = role("Role", "ns", "r", &json!([rule("get", "", "pods")]));
    let may = |name: &str, groups: &str| {
        let user = user(name, groups);
        let request = Attributes { namespace: "ns", ..Attributes::resource(&user, "get", "", "pods") };
        authorize(&index, &request).allowed
    };
    index.upsert(&role).unwrap();
    index.upsert(&old).unwrap();
    assert!(may("old", "") && may("x", "g") && !may("new", ""));
    index.upsert(&new).unwrap();
    assert!(!may("old", "") && !may("x", "g") && may("new", ""));
    assert!(may("system:serviceaccount:ns:s", ""));
    index.remove(&new).unwrap();
    assert!(!may("new", ""));
    index.remove(&role).unwrap();
    assert!(index.read().namespaces.is_empty(), "nothing is kept of an emptied namespace");
}

#[test]
fn a_namespaced_object_cannot_pass_as_one_of_the_cluster() {
    let index = Index::of(&[
        role("Role", "", "everything", &json!([rule("*", "*", "*")])),
        binding("RoleBinding", "ns", "b", ("ClusterRole", "missing"), &["User:u"]),
        binding("ClusterRoleBinding", "ns", "c", ("ClusterRole", "missing"), &["User:u"]),
    ])
    .unwrap();
    assert_eq!(index.cluster_role_bindings(&user("u", "")).len(), 1);
    assert!(index.role("ns", "everything").is_none());
    assert!(matches!(index.upsert(&json!({"kind": "Pod"})), Err(NotRbac::Kind { .. })));
    let odd = json!({"kind": "Role", "rules": "all"});
    assert!(matches!(index.upsert(&odd), Err(NotRbac::Shape { .. })));
}

#[test]
fn a_user_sees_only_its_own_bindings_among_thousands() {
    let index = Index::default();
    for tenant in 0..2_000 {
        let (name, user) = (format!("tenant-{tenant}"), format!("User:user-{tenant}"));
        let cluster = binding("ClusterRoleBinding", "", &name, ("ClusterRole", "view"), &[&user]);
        index.upsert(&cluster).unwrap();
    }
    let found = index.cluster_role_bindings(&user("user-7", "devs"));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name, "tenant-7");
}

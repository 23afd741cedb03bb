//! The covering cases are those of Kubernetes' policy_comparator_test.go.

use super::*;

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn named(verbs: &str, groups: &str, resources: &str, names: &str) -> PolicyRule {
    PolicyRule {
        verbs: list(verbs),
        api_groups: list(groups),
        resources: list(resources),
        resource_names: list(names),
        non_resource_urls: Vec::new(),
    }
}

fn rule(verbs: &str, groups: &str, resources: &str) -> PolicyRule {
    named(verbs, groups, resources, "")
}

fn urls(verbs: &str, urls: &str) -> PolicyRule {
    PolicyRule { verbs: list(verbs), non_resource_urls: list(urls), ..PolicyRule::default() }
}

#[test]
fn what_is_held_covers() {
    let both = "builds,deployments";
    for (held, wanted) in [
        (vec![rule("get", "v1", "builds")], rule("get", "v1", "builds")),
        (vec![rule("get", "v1", "*/scale")], rule("get", "v1", "foo/scale")),
        (
            vec![
                rule("delete", "v1", "deployments"),
                rule("delete", "v1", "builds"),
                rule("update", "v1", both),
            ],
            rule("delete,update", "v1", both),
        ),
        (
            vec![rule("delete", "g1", both), rule("update", "g1", both), rule("delete,update", "g2", both)],
            rule("delete,update", "g1,g2", both),
        ),
        (vec![rule("get", "*", "roles")], rule("get", "g1,g2", "roles")),
        (vec![rule("get", "*", "roles")], rule("get", "*", "roles")),
        (vec![rule("*", "v1", "roles")], rule("watch,list", "v1", "roles")),
        (vec![rule("*", "v1", "roles")], rule("*", "v1", "roles")),
        (vec![rule("get", "v1", "*")], rule("get", "v1", "a,b/c")),
        (vec![rule("get", "v1", "pods")], named("get", "v1", "pods", "foo,bar")),
        (vec![urls("*", "/apis")], urls("*", "/apis")),
        (vec![urls("*", "*")], urls("*", "/apis,/apis/v1,/")),
        (vec![urls("*", "/apis/*")], urls("get", "/apis/v1,/apis/*")),
        (vec![], rule("", "v1", "pods")),
    ] {
        assert_eq!(missing(&held, std::slice::from_ref(&wanted)), [], "{wanted:?}");
    }
}

#[test]
fn what_is_not_held_is_named_piece_by_piece() {
    for (held, wanted, lacking) in [
        (
            vec![rule("delete,update", "v1", "builds,deployments"), rule("delete", "v1", "pods")],
            rule("delete,update", "v1", "builds,deployments,pods"),
            vec![rule("update", "v1", "pods")],
        ),
        (vec![rule("get", "dummy", "roles")], rule("get", "*", "roles"), vec![rule("get", "*", "roles")]),
        (
            vec![rule("get,list,watch,create,update,delete", "v1", "roles")],
            rule("*", "v1", "roles"),
            vec![rule("*", "v1", "roles")],
        ),
        (vec![rule("get", "v1", "a,b")], rule("get", "v1", "*"), vec![rule("get", "v1", "*")]),
        (
            vec![named("get", "v1", "pods", "foo,bar")],
            rule("get", "v1", "pods"),
            vec![rule("get", "v1", "pods")],
        ),
        (
            vec![named("get", "v1", "pods", "foo")],
            named("get", "v1", "pods", "foo,bar"),
            vec![named("get", "v1", "pods", "bar")],
        ),
        (
            vec![urls("*", "/apis/*")],
            urls("get", "/apis,/other,*"),
            vec![urls("get", "/apis"), urls("get", "/other"), urls("get", "*")],
        ),
        (
            vec![rule("get", "v1", "pods/*")],
            rule("get", "v1", "pods/log"),
            vec![rule("get", "v1", "pods/log")],
        ),
    ] {
        assert_eq!(missing(&held, std::slice::from_ref(&wanted)), lacking, "{wanted:?}");
    }
}

#[test]
fn names_do_not_lend_their_paths() {
    let mut held = named("get", "v1", "pods", "foo");
    held.non_resource_urls = list("/secret");
    let wanted = held.clone();
    assert_eq!(missing(&[held], &[wanted]), [urls("get", "/secret")]);
}

#[test]
fn a_rule_too_large_to_take_apart_is_missing_as_a_whole() {
    let many: Vec<String> = (0..400).map(|number| format!("item{number}")).collect();
    let wanted = PolicyRule {
        verbs: many.clone(),
        api_groups: many.clone(),
        resources: many.clone(),
        ..PolicyRule::default()
    };
    let wanted = [wanted];
    assert_eq!(missing(&[rule("get", "v1", "pods")], &wanted), wanted);
    assert_eq!(missing(&[rule("*", "*", "*")], &wanted), []);
}

#[test]
fn the_refusal_reads_as_that_of_kubernetes() {
    let user = User::new("x", ["dev", "system:authenticated"]);
    let held = Rules { rules: vec![rule("list", "", "pods")], errors: vec![] };
    let mut core = rule("get,list,create", "", "pods");
    core.api_groups = vec![String::new()];
    let mut secret = named("get", "", "secrets", "a");
    secret.api_groups = vec![String::new()];
    let wanted = [core, secret, urls("get", "/metrics")];
    assert_eq!(
        refusal(&user, &held, &wanted).unwrap(),
        "user \"x\" (groups=[\"dev\" \"system:authenticated\"]) is attempting to grant RBAC permissions \
         not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\" \"create\"]}\n\
         {APIGroups:[\"\"], Resources:[\"secrets\"], ResourceNames:[\"a\"], Verbs:[\"get\"]}\n\
         {NonResourceURLs:[\"/metrics\"], Verbs:[\"get\"]}"
    );
    let all = Rules { rules: vec![rule("*", "*", "*"), urls("*", "*")], errors: vec![] };
    assert_eq!(refusal(&user, &all, &wanted), None);
}

#[test]
fn references_that_did_not_resolve_are_told() {
    let held = Rules { rules: vec![], errors: vec!["role \"a\" not found".into()] };
    let text = refusal(&User::new("x", ["g"]), &held, &[urls("get", "/a")]).unwrap();
    assert!(text.ends_with("; resolution errors: [role \"a\" not found]"), "{text}");
}

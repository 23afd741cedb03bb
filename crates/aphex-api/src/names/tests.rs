use super::*;

#[test]
fn an_organization_name_fits_its_namespace() {
    let longest = "a".repeat(OrgName::MAX);
    assert_eq!(longest.parse::<OrgName>().unwrap().namespace().len(), LABEL_MAX);
    let error = "a".repeat(OrgName::MAX + 1).parse::<OrgName>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "Organization name must be at most 59 characters, for the names made from it"
    );
    for wrong in ["", "-a", "a-", "A", "a.b", "a_b"] {
        assert!(wrong.parse::<OrgName>().is_err(), "{wrong}");
    }
}

#[test]
fn names_derived_from_an_organization_are_the_published_ones() {
    let name: OrgName = "acme-corp".parse().unwrap();
    assert_eq!(name.namespace(), "org-acme-corp");
    assert_eq!(name.secret_store(), "org-acme-corp-store");
    assert_eq!(name.tunnel(), "webhooks-acme-corp");
    assert_eq!(name.host("arbiter-dev.com"), "acme-corp.arbiter-dev.com");
}

#[test]
fn a_tenant_name_leaves_room_for_its_trigger() {
    let longest: TenantName = "t".repeat(TenantName::MAX).parse().unwrap();
    assert!(labels::is_value(&longest.trigger()));
    assert!("t".repeat(TenantName::MAX + 1).parse::<TenantName>().is_err());
}

#[test]
fn rejections_use_the_published_sentences() {
    let message = |name: &str| name.parse::<TenantName>().unwrap_err().to_string();
    assert_eq!(message("My_App"), "Namespace name must match pattern ^[a-z0-9-]+$");
    assert_eq!(message("-app"), "Namespace name must match pattern ^[a-z0-9-]+$");
    assert_eq!(message("kube-system"), "Cannot create namespace with privileged name");
}

#[test]
fn no_tenant_gets_or_reaches_a_namespace_of_the_platform() {
    for name in [
        "default",
        "kube-system",
        "kube-x",
        "platform-system",
        "argocd",
        "tekton-pipelines",
        "auth-system",
        "external-secrets",
        "cert-manager",
        "ingress-nginx",
        "pipeline-x",
        "org-acme",
        "user-ann",
        "team-red",
        // their wildcards would reach one:
        "kube",
        "platform",
        "tekton",
        "external",
        "cert",
        "ingress",
        "org",
        "user",
        "team",
        "pipeline",
        "auth",
    ] {
        assert_eq!(name.parse::<TenantName>(), Err(NameError::Privileged), "{name}");
    }
    for name in ["archon", "defaults", "organic", "my-app", "team1", "argocd-apps", "kubernetes"] {
        assert!(name.parse::<TenantName>().is_ok(), "{name}");
    }
}

#[test]
fn overlapping_wildcards_are_seen_from_both_sides() {
    let app: TenantName = "app".parse().unwrap();
    let web: TenantName = "app-web".parse().unwrap();
    assert!(app.overlaps("app-web") && web.overlaps("app"));
    assert!(!app.overlaps("apple") && !app.overlaps("app") && !web.overlaps("app-we"));
}

#[test]
fn a_repository_has_a_name_a_label_and_an_address() {
    let repository = Repository::new("Acme-Corp", "my_app.rs").unwrap();
    assert_eq!(repository.full_name(), "Acme-Corp/my_app.rs");
    assert_eq!(repository.label(), "Acme-Corp.my_app.rs");
    assert_eq!(repository.url(), "https://github.com/Acme-Corp/my_app.rs");
    assert_eq!(repository.clone_url(), "https://github.com/Acme-Corp/my_app.rs.git");
    assert!(labels::is_value(&Repository::new("a", &"-".repeat(100)).unwrap().label()));
    for (owner, name) in
        [("", "a"), ("a", ""), ("a/b", "c"), ("-a", "b"), ("a", ".."), ("a", "b/c"), ("a'b", "c")]
    {
        assert!(Repository::new(owner, name).is_err(), "{owner} {name}");
    }
}

#[test]
fn an_administrator_is_an_address_and_nothing_more() {
    let admin: AdminEmail = "jane.doe+x@acme-corp.co.uk".parse().unwrap();
    assert_eq!(admin.role_binding(), "organization-admin-jane.doe+x@acme-corp.co.uk");
    assert!(!"a%b@acme.com".parse::<AdminEmail>().unwrap().role_binding().contains('%'));
    for wrong in
        ["Jane <jane@acme.com>", "jane", "@acme.com", "jane@acme", "a/b@acme.com", "jane@acme.c", "a@-b.com"]
    {
        assert!(wrong.parse::<AdminEmail>().is_err(), "{wrong}");
    }
}

#[test]
fn branches_follow_the_rules_of_git() {
    for name in ["main", "feature/x", "v1.2", "a@b", "release-2026.11", "it's"] {
        assert!(name.parse::<Branch>().is_ok(), "{name}");
    }
    for name in [
        "", " ", "a b", "a..b", "a@{b", "/a", "a/", "a//b", ".a", "a.", "x/.y", "a.lock", "x.lock/y", "a~b",
        "a^b", "a:b", "a?b", "a*b", "a[b", "a\\b", "@", "-a", "a\nb",
    ] {
        assert_eq!(name.parse::<Branch>(), Err(BranchError(name.to_owned())), "{name}");
    }
    assert_eq!("main".parse::<Branch>().unwrap().git_ref(), "refs/heads/main");
}

#[test]
fn the_binding_of_a_pipeline_has_a_name_of_its_own_that_fits() {
    assert_eq!(pipeline_binding("team-payments", "checkout"), "team-payments.checkout");
    assert_ne!(pipeline_binding("team-a", "b-c"), pipeline_binding("team-a-b", "c"));
    let (namespace, name) = (format!("team-{}", "n".repeat(58)), "p".repeat(55));
    for (namespace, name) in [(namespace.as_str(), name.as_str()), ("team-a", &name), (&namespace, "a")] {
        let binding = pipeline_binding(namespace, name);
        assert!(binding.len() <= labels::VALUE_MAX && binding.split('.').all(is_label), "{binding}");
    }
    assert_ne!(pipeline_binding(&namespace, "a"), pipeline_binding(&namespace, "b"));
}

use aphex_api::conditions::Reason;
use aphex_api::pipeline::PipelineSpec;
use k8s_openapi::api::core::v1::Namespace;

use super::*;

fn pipeline(namespace: &str, name: &str) -> Pipeline {
    let spec = PipelineSpec {
        organization: "acme".to_owned(),
        repository: PipelineRepository { org: "octo".to_owned(), name: "cat".to_owned() },
        branch: "main".to_owned(),
        template: "run-pipeline-v1".to_owned(),
        permission_profile: PermissionProfile::Standard,
        pipeline: json!({ "spec": { "tasks": [{ "name": "a" }] } }),
        ..PipelineSpec::default()
    };
    let mut object = Pipeline::new(name, spec);
    object.metadata.namespace = Some(namespace.to_owned());
    object
}

fn labelled(organization: Option<&str>) -> Observed {
    let mut namespace = Namespace::default();
    let label = |organization: &str| ("aphex.dev/org".to_owned(), organization.to_owned());
    namespace.metadata.labels = organization.map(|organization| [label(organization)].into());
    Observed { namespace: Some(namespace), ..Observed::default() }
}

fn check(object: &Pipeline, observed: &Observed) -> Result<Valid, Stop> {
    validate(object, observed, &Settings::new("http://gateway").unwrap())
}

fn rejection(object: &Pipeline, observed: &Observed) -> (Reason, String) {
    match check(object, observed) {
        Err(Stop::Rejected(rejection)) => (rejection.reason, rejection.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_goes_without_saying_is_said_in_the_binding() {
    let valid = check(&pipeline("team-red", "shop"), &labelled(Some("acme"))).unwrap();
    assert_eq!((valid.binding.as_str(), valid.tenant.as_str()), ("team-red.shop", "shop"));
    let text: Value = serde_json::from_str(&valid.pipeline).unwrap();
    let expected = json!({
        "apiVersion": "tekton.dev/v1", "kind": "Pipeline", "metadata": { "name": "shop" },
        "spec": { "tasks": [{ "name": "a" }] },
    });
    assert_eq!(text, expected);
}

#[test]
fn what_is_said_stays_as_it_is() {
    let mut object = pipeline("user-ann", "shop");
    object.spec.pipeline = json!({
        "apiVersion": "tekton.dev/v1beta1", "kind": "Pipeline",
        "metadata": { "name": "shop", "labels": { "a": "0755" } },
        "spec": { "tasks": [{ "name": "a" }], "description": "line: one\n\ttwo \u{1f980}" },
    });
    let valid = check(&object, &labelled(Some("acme"))).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&valid.pipeline).unwrap(), object.spec.pipeline);
}

#[test]
fn a_namespace_asks_only_for_the_organization_of_its_label() {
    for (label, has, how) in
        [(None, "does not have it", ""), (Some("other"), "has aphex.dev/org=other", "--overwrite ")]
    {
        let (reason, message) = rejection(&pipeline("team-red", "shop"), &labelled(label));
        assert_eq!(reason, Reason::NotAllowed);
        assert_eq!(
            message,
            format!(
                "A Pipeline of organization acme needs label aphex.dev/org=acme on its namespace, and team-red {has}: \
                 a platform administrator can set it (kubectl label {how}namespace team-red aphex.dev/org=acme)"
            )
        );
    }
}

#[test]
fn only_namespaces_of_developers_hold_pipelines() {
    for namespace in ["default", "platform-system", "org-acme", "teams", "my-team-red"] {
        let (reason, message) = rejection(&pipeline(namespace, "shop"), &labelled(Some("acme")));
        assert_eq!(reason, Reason::InvalidSpec);
        assert_eq!(
            message,
            format!("A Pipeline must be created in a namespace team-* or user-*, not in {namespace}")
        );
    }
}

#[test]
fn a_rejection_names_the_field_that_the_developer_wrote() {
    let change = |change: &dyn Fn(&mut Pipeline)| {
        let mut object = pipeline("team-red", "shop");
        change(&mut object);
        rejection(&object, &labelled(Some("acme"))).1
    };
    assert_eq!(
        change(&|p| p.metadata.name = Some("org-other".to_owned())),
        "metadata.name: Cannot create namespace with privileged name"
    );
    assert!(
        change(&|p| p.metadata.name = Some("a.b".to_owned())).starts_with("metadata.name: Namespace name")
    );
    assert!(change(&|p| p.spec.branch = "a..b".to_owned()).starts_with("spec.branch: invalid branch name"));
    assert!(change(&|p| p.spec.repository.name = "..".to_owned()).starts_with("spec.repository: "));
    assert_eq!(
        change(&|p| p.spec.template = "none".to_owned()),
        "spec.template: template none is not in the catalog, which has: run-pipeline-v1"
    );
    assert_eq!(
        change(&|p| p.spec.pipeline["metadata"] = json!({ "name": "other" })),
        "spec.pipeline.metadata.name is \"other\", but must be shop, the name of this object; it can be left out"
    );
    assert_eq!(
        change(
            &|p| p.spec.pipeline["spec"]["params"] = json!([{ "name": "repo-full-name", "type": "string" }])
        ),
        "spec.pipeline: parameter \"repo-full-name\" is declared as string, but template run-pipeline-v1 sends array"
    );
    assert_eq!(
        change(&|p| p.spec.pipeline["spec"]["description"] = json!("x".repeat(TEXT_MAX))),
        "spec.pipeline must be at most 524288 characters as JSON"
    );
}

#[test]
fn a_binding_of_somebody_else_is_not_taken_over() {
    let observed = Observed { taken: true, ..labelled(Some("acme")) };
    let (reason, message) = rejection(&pipeline("team-red", "shop"), &observed);
    assert_eq!(reason, Reason::NameTaken);
    assert!(
        message.starts_with(
            "RepoBinding platform-system/team-red.shop exists already and is not this Pipeline's"
        )
    );
}

#[test]
fn a_glob_that_is_none_is_refused_under_the_name_that_the_developer_wrote() {
    let mut object = pipeline("team-red", "shop");
    object.spec.options.paths_ignore = vec!["docs/**".to_owned(), "[a".to_owned()];
    let (reason, message) = rejection(&object, &labelled(Some("acme")));
    assert_eq!(reason, Reason::InvalidSpec);
    assert!(message.starts_with("spec.pathsIgnore[1]: '[a' "), "{message}");
}

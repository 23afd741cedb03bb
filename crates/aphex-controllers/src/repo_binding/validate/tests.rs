use aphex_api::conditions::Reason;
use aphex_api::organization::{Organization, OrganizationSpec, OrganizationStatus};
use aphex_api::repo_binding::{RepoBindingSpec, RepoBindingStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;

const PIPELINE: &str =
    "{apiVersion: tekton.dev/v1, kind: Pipeline, metadata: {name: NAME}, spec: {tasks: [{name: a}]}}";

fn binding(name: &str, organization: &str, born: i64) -> RepoBinding {
    let spec = RepoBindingSpec {
        aphex_org: Some(organization.to_owned()),
        repo_org: "octo".to_owned(),
        repo_name: "cat".to_owned(),
        pipeline_name: Some(name.to_owned()),
        template_ref: Some("run-pipeline-v1".to_owned()),
        pipeline_spec: Some(PIPELINE.replace("NAME", name)),
        branch: "main".to_owned(),
        ..RepoBindingSpec::default()
    };
    let mut object = RepoBinding::new(&format!("{name}-{organization}"), spec);
    object.metadata.namespace = Some("platform-system".to_owned());
    object.metadata.creation_timestamp = Some(Time(jiff::Timestamp::from_second(born).unwrap()));
    object
}

fn observed() -> Observed {
    let mut organization = Organization::new("acme", OrganizationSpec::default());
    let webhook_url = Some("http://gateway/acme".to_owned());
    organization.status = Some(OrganizationStatus { webhook_url, ..OrganizationStatus::default() });
    Observed { organization: Some(organization), organization_namespace: true, ..Observed::default() }
}

fn check(object: &RepoBinding, observed: &Observed) -> Result<Valid, Stop> {
    validate(object, observed, &Settings::new("http://gateway").unwrap())
}

fn rejection(object: &RepoBinding, observed: &Observed) -> (Reason, String) {
    match check(object, observed) {
        Err(Stop::Rejected(rejection)) => (rejection.reason, rejection.message),
        other => panic!("{other:?}"),
    }
}

fn with_status(mut other: RepoBinding, phase: RepoBindingPhase, namespace_created: bool) -> RepoBinding {
    other.status = Some(RepoBindingStatus { phase, namespace_created, ..RepoBindingStatus::default() });
    other
}

#[test]
fn a_sound_binding_keeps_its_own_facts() {
    let valid = check(&binding("app", "acme", 1), &observed()).unwrap();
    assert_eq!((valid.tenant.as_str(), valid.organization().unwrap().as_str()), ("app", "acme"));
    assert_eq!(valid.repository.full_name(), "octo/cat");
    assert_eq!(valid.webhook_url, "http://gateway/acme");
}

#[test]
fn what_the_spec_alone_decides_comes_before_waiting() {
    let mut object = binding("app", "acme", 1);
    object.spec.template_ref = Some("other".to_owned());
    let nothing = Observed::default();
    assert_eq!(
        rejection(&object, &nothing).1,
        "spec.templateRef: template other is not in the catalog, which has: run-pipeline-v1"
    );
    object = binding("app", "acme", 1);
    object.spec.branch = "a..b".to_owned();
    assert_eq!(rejection(&object, &nothing).1, "spec.branch: invalid branch name 'a..b'");
    object = binding("kube-app", "acme", 1);
    assert_eq!(rejection(&object, &nothing).1, "Cannot create namespace with privileged name");
    object = binding("My_App", "acme", 1);
    assert_eq!(rejection(&object, &nothing).1, "Namespace name must match pattern ^[a-z0-9-]+$");
    let waiting = check(&binding("app", "acme", 1), &nothing).unwrap_err();
    assert_eq!(waiting, Stop::waiting("Waiting for Organization acme to be created"));
}

#[test]
fn an_organization_without_an_address_or_namespace_is_waited_for() {
    let mut early = observed();
    early.organization_namespace = false;
    assert!(matches!(check(&binding("app", "acme", 1), &early), Err(Stop::Waiting(_))));
    let mut silent = observed();
    silent.organization.as_mut().unwrap().status = None;
    assert!(matches!(check(&binding("app", "acme", 1), &silent), Err(Stop::Waiting(_))));
}

#[test]
fn a_binding_has_one_shape_even_where_no_schema_says_so() {
    let mut object = binding("app", "acme", 1);
    object.spec.tenant_name = Some("app".to_owned());
    assert!(rejection(&object, &observed()).1.starts_with("spec: set either aphexOrg"));
    object.spec.aphex_org = None;
    let told = "spec.pipelineName goes with aphexOrg, not with tenantName";
    assert_eq!(rejection(&object, &observed()).1, told);
    object = binding("app", "acme", 1);
    object.spec.ingress_host = Some("hooks.example.com".to_owned());
    assert_eq!(rejection(&object, &observed()).1, "spec.ingressHost goes with tenantName, not with aphexOrg");
    object = binding("app", "acme", 1);
    object.spec.pipeline_spec = None;
    assert_eq!(rejection(&object, &observed()).1, "spec.pipelineSpec is required with aphexOrg");
}

#[test]
fn an_existing_tenant_keeps_its_name_and_of_two_new_ones_the_older_has_it() {
    let mine = binding("app", "acme", 100);
    let against = |other: RepoBinding| {
        let mut seen = observed();
        seen.others = vec![other];
        check(&mine, &seen)
    };
    let twin = |born| {
        let mut other = binding("app", "acme", born);
        other.metadata.name = Some("twin".to_owned());
        other
    };
    assert!(matches!(against(twin(50)), Err(Stop::Rejected(r)) if r.reason == Reason::NameTaken));
    assert!(against(twin(200)).is_ok());
    assert!(against(with_status(twin(200), RepoBindingPhase::Ready, true)).is_err());
    assert!(
        against(with_status(twin(50), RepoBindingPhase::Failed, false)).is_ok(),
        "a refused claim is none"
    );
}

#[test]
fn wildcards_of_different_owners_never_meet() {
    let against = |name: &str, other: RepoBinding| {
        let mut seen = observed();
        seen.others = vec![other];
        check(&binding(name, "acme", 100), &seen)
    };
    assert!(against("app", binding("app-web", "rival", 50)).is_err());
    assert!(against("app-web", binding("app", "rival", 50)).is_err());
    assert!(against("app-web", binding("app", "acme", 50)).is_ok(), "one owner may");
    assert!(against("apple", binding("app", "rival", 50)).is_ok());
}

/// A binding that the Pipeline controller made for a Pipeline in a team's namespace.
fn of_team(team: &str, name: &str, organization: &str, born: i64) -> RepoBinding {
    let mut object = binding(name, organization, born);
    let marks = [(labels::OWNER_KIND, "Pipeline"), (labels::OWNER_NAMESPACE, team)];
    object.metadata.labels = Some(marks.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    object
}

#[test]
fn within_an_organization_each_team_is_an_owner_and_so_are_its_administrators() {
    let against = |object: &RepoBinding, other: &RepoBinding| {
        let mut seen = observed();
        seen.others = vec![other.clone()];
        check(object, &seen)
    };
    let team = |team: &str, name: &str, born| of_team(team, name, "acme", born);
    let (core, pay) = (team("team-one", "pay-core", 50), team("team-two", "pay", 100));
    for (object, other) in [
        (&pay, &core),
        (&team("team-two", "pay-core", 100), &team("team-one", "pay", 50)),
        (&pay, &binding("pay-core", "acme", 50)),
        (&binding("pay", "acme", 100), &core),
    ] {
        let Err(Stop::Rejected(refused)) = against(object, other) else { panic!("{object:?} {other:?}") };
        assert_eq!(refused.reason, Reason::NameTaken);
        let owners = "of another owner, for in organization acme each namespace of Pipelines is an owner";
        assert!(refused.message.contains(owners), "{}", refused.message);
    }
    assert!(against(&team("team-one", "pay", 100), &core).is_ok(), "a team may reach itself");
    assert!(against(&core, &pay).is_ok(), "who came first stays");
    let elsewhere = of_team("team-one", "pay", "rival", 1);
    assert!(against(&core, &elsewhere).is_err(), "the same team, but for another organization");
}

fn neighbour(name: &str, binding: Option<&str>, organization: Option<&str>) -> Neighbour {
    let created = jiff::Timestamp::from_second(1_000).ok();
    let [binding, organization] = [binding, organization].map(|text| text.map(str::to_owned));
    Neighbour { name: name.to_owned(), created, binding, organization }
}

#[test]
fn the_wildcard_reaches_no_namespace_that_was_there_before_and_is_no_tenant_of_the_owner() {
    let object = binding("istio", "acme", 1);
    let beside = |neighbour: Neighbour| Observed { neighbours: vec![neighbour], ..observed() };
    let (reason, message) = rejection(&object, &beside(neighbour("istio-system", None, None)));
    assert_eq!(reason, Reason::NameTaken);
    assert!(message.starts_with("Namespace istio-system was there before"), "{message}");
    // A team's namespace of the same organization is no tenant.
    rejection(&object, &beside(neighbour("istio-system", None, Some("acme"))));
    // Another organization's tenant whose binding nobody knows any more, or one that stands alone.
    rejection(&object, &beside(neighbour("istio-web", Some("web"), Some("rival"))));
    rejection(&object, &beside(neighbour("istio-web", Some("web"), None)));
    assert!(check(&object, &beside(neighbour("istio-web", Some("web"), Some("acme")))).is_ok());
    assert!(check(&alone("istio"), &beside(neighbour("istio-web", Some("web"), None))).is_err());
}

#[test]
fn a_namespace_that_comes_after_the_tenant_does_not_put_it_out_of_order() {
    let object = binding("istio", "acme", 1);
    let made_at = |second| {
        let mut own = Namespace::default();
        own.metadata.creation_timestamp = jiff::Timestamp::from_second(second).ok().map(Time);
        let neighbours = vec![neighbour("istio-system", None, None)];
        Observed { namespace: Some(own), owns_namespace: true, neighbours, ..observed() }
    };
    assert!(check(&object, &made_at(999)).is_ok());
    assert!(check(&object, &made_at(1_000)).is_ok(), "in one second: nobody knows");
    assert_eq!(rejection(&object, &made_at(1_001)).0, Reason::NameTaken);
}

#[test]
fn a_namespace_of_somebody_else_is_never_taken() {
    let mut seen = observed();
    seen.namespace = Some(Namespace::default());
    assert_eq!(rejection(&binding("app", "acme", 1), &seen).0, Reason::NameTaken);
    seen.owns_namespace = true;
    assert!(check(&binding("app", "acme", 1), &seen).is_ok());
}

#[test]
fn who_has_the_namespace_is_told_where_its_labels_say_so() {
    let object = binding("app", "acme", 1);
    let held = |kind: &str, name: &str| {
        let mut namespace = Namespace::default();
        let labels = [(labels::OWNER_KIND, kind), (labels::OWNER_NAME, name)];
        namespace.metadata.labels =
            Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        rejection(&object, &Observed { namespace: Some(namespace), ..observed() })
    };
    let told = held("RepoBinding", "team-red.app");
    assert_eq!(told, (Reason::NameTaken, "RepoBinding team-red.app already has the name app".to_owned()));
    // An earlier binding of the same name is not this one.
    for (kind, name) in [("RepoBinding", "app-acme"), ("Organization", "acme")] {
        let told = "Namespace app exists already and is not this RepoBinding's".to_owned();
        assert_eq!(held(kind, name), (Reason::NameTaken, told));
    }
}

fn alone(tenant: &str) -> RepoBinding {
    let mut object = binding(tenant, "nobody", 10);
    object.spec = RepoBindingSpec {
        tenant_name: Some(tenant.to_owned()),
        repo_org: "octo".to_owned(),
        repo_name: "cat".to_owned(),
        branch: "main".to_owned(),
        ..RepoBindingSpec::default()
    };
    object
}

#[test]
fn the_address_of_a_tenant_alone_is_its_own_host_else_the_platforms_else_the_gateway() {
    let mut settings = Settings::new("http://gateway/").unwrap();
    let url = |object: &RepoBinding, settings: &Settings| {
        validate(object, &Observed::default(), settings).unwrap().webhook_url
    };
    let mut object = alone("archon");
    assert_eq!(url(&object, &settings), "http://gateway/archon");
    settings.ingress.host = Some("hooks.example.com".to_owned());
    assert_eq!(url(&object, &settings), "https://hooks.example.com/archon");
    object.spec.ingress_host = Some("own.example.com".to_owned());
    assert_eq!(url(&object, &settings), "https://own.example.com/archon");
}

#[test]
fn a_tenant_alone_waits_for_no_organization_and_shares_no_wildcard() {
    let valid = check(&alone("archon"), &Observed::default()).unwrap();
    assert_eq!((valid.pipeline_name(), valid.listener_namespace()), ("cdktf-deploy", "archon".to_owned()));
    let mut seen = Observed::default();
    let mut elder = alone("archon-web");
    elder.metadata.creation_timestamp = Some(Time(jiff::Timestamp::from_second(1).unwrap()));
    seen.others = vec![elder];
    assert_eq!(rejection(&alone("archon"), &seen).0, Reason::NameTaken);
}

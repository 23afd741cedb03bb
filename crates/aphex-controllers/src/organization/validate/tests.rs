use aphex_api::conditions::Reason;
use aphex_api::organization::OrganizationSpec;
use k8s_openapi::api::core::v1::Namespace;

use super::*;
use crate::organization::TenantBinding;

fn organization() -> Organization {
    let spec = OrganizationSpec {
        display_name: "ACME".to_owned(),
        admin_users: vec!["ann@acme.com".to_owned(), "bob@acme.com".to_owned()],
        webhook_secret: None,
    };
    let mut object = Organization::new("acme", spec);
    object.metadata.namespace = Some("platform-system".to_owned());
    object
}

fn check(object: &Organization, observed: &Observed) -> Result<Valid, Stop> {
    validate(object, observed, &Settings::new("http://gateway").unwrap())
}

fn rejection(object: &Organization, observed: &Observed) -> (Reason, String) {
    match check(object, observed) {
        Err(Stop::Rejected(rejection)) => (rejection.reason, rejection.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_secret_is_the_chosen_one_then_the_one_made_earlier() {
    let observed = Observed { webhook_secret: Some(Kept::new("whsec_earlier")), ..Observed::default() };
    let mut object = organization();
    assert_eq!(check(&object, &Observed::default()).unwrap().webhook_secret, None);
    assert_eq!(check(&object, &observed).unwrap().webhook_secret, Some(Kept::new("whsec_earlier")));
    object.spec.webhook_secret = Some(String::new());
    assert_eq!(check(&object, &observed).unwrap().webhook_secret, Some(Kept::new("whsec_earlier")));
    object.spec.webhook_secret = Some("a-secret-of-my-own".to_owned());
    assert_eq!(check(&object, &observed).unwrap().webhook_secret, Some(Kept::new("a-secret-of-my-own")));
    object.spec.webhook_secret = Some("fifteen-letters".to_owned());
    assert!(rejection(&object, &observed).1.contains("at least 16 characters"));
}

#[test]
fn administrators_are_checked_each_and_together() {
    let with = |admins: &[&str]| {
        let mut object = organization();
        object.spec.admin_users = admins.iter().map(|admin| (*admin).to_owned()).collect();
        rejection(&object, &Observed::default()).1
    };
    assert_eq!(with(&[]), "spec.adminUsers must name at least one administrator");
    assert_eq!(with(&["a@b.com", "A@B.com"]), "spec.adminUsers[1]: A@B.com is named twice");
    assert!(
        with(&["a@b.com", "Ann <ann@b.com>"])
            .starts_with("spec.adminUsers[1]: Administrator's e-mail address")
    );
}

#[test]
fn a_namespace_of_somebody_else_is_not_taken_and_one_on_its_way_out_is_waited_for() {
    let mut namespace = Namespace::default();
    let observed = |namespace: &Namespace, owns_namespace| Observed {
        namespace: Some(namespace.clone()),
        owns_namespace,
        ..Observed::default()
    };
    assert_eq!(rejection(&organization(), &observed(&namespace, false)).0, Reason::NameTaken);
    assert!(check(&organization(), &observed(&namespace, true)).is_ok());
    namespace.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
    assert!(matches!(check(&organization(), &observed(&namespace, true)), Err(Stop::Waiting(_))));
}

#[test]
fn an_organization_elsewhere_is_refused() {
    let mut object = organization();
    object.metadata.namespace = Some("default".to_owned());
    let message = rejection(&object, &Observed::default()).1;
    assert_eq!(message, "An Organization must be created in namespace platform-system");
}

#[test]
fn the_listener_gets_the_namespaces_that_were_seen() {
    let tenant = |name: &str| TenantBinding { namespace: name.to_owned() };
    let observed = Observed { tenants: vec![tenant("app"), tenant("web")], ..Observed::default() };
    assert_eq!(check(&organization(), &observed).unwrap().tenants, ["app", "web"]);
}

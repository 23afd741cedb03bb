//! Headers, checks and users as Kubernetes' impersonation filter has them.

use super::*;

fn asked(headers: &[(&str, &str)]) -> Impersonation {
    Impersonation::from_headers(headers.iter().copied()).unwrap().unwrap()
}

fn checks(headers: &[(&str, &str)]) -> Vec<String> {
    let (asked, requestor) = (asked(headers), User::new("root", ["g"]));
    asked.checks(&requestor).iter().map(|check| check.forbidden_message("")).collect()
}

#[test]
fn without_headers_there_is_nothing_to_do() {
    assert_eq!(Impersonation::from_headers([("accept", "x")]), Ok(None));
    assert_eq!(Impersonation::from_headers([("impersonate-user", "")]), Ok(None));
}

#[test]
fn each_thing_asked_for_is_checked() {
    let headers = [
        ("Impersonate-User", "bob"),
        ("Impersonate-Group", "dev"),
        ("impersonate-group", "ops"),
        ("Impersonate-Extra-Some%2fKey", "v1"),
        ("impersonate-uid", "u-1"),
    ];
    let cannot = |what: &str| format!("{what} at the cluster scope");
    assert_eq!(
        checks(&headers),
        [
            cannot(
                r#"users "bob" is forbidden: User "root" cannot impersonate resource "users" in API group """#
            ),
            cannot(
                r#"groups "dev" is forbidden: User "root" cannot impersonate resource "groups" in API group """#
            ),
            cannot(
                r#"groups "ops" is forbidden: User "root" cannot impersonate resource "groups" in API group """#
            ),
            cannot(
                r#"userextras.authentication.k8s.io "v1" is forbidden: User "root" cannot impersonate resource "userextras/some/key" in API group "authentication.k8s.io""#
            ),
            cannot(
                r#"uids.authentication.k8s.io "u-1" is forbidden: User "root" cannot impersonate resource "uids" in API group "authentication.k8s.io""#
            ),
        ]
    );
    let user = asked(&headers).user();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("bob", "u-1"));
    assert_eq!(user.groups, ["dev", "ops", "system:authenticated"]);
    assert_eq!(user.extra["some/key"], ["v1"]);
}

#[test]
fn a_service_account_is_checked_in_its_namespace_and_brings_its_groups() {
    let headers = [("impersonate-user", "system:serviceaccount:ns:bot")];
    assert_eq!(
        checks(&headers),
        [
            r#"serviceaccounts "bot" is forbidden: User "root" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "ns""#
        ]
    );
    let groups = ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"];
    assert_eq!(asked(&headers).user().groups, groups);
    let own = asked(&[headers[0], ("impersonate-group", "only")]);
    assert_eq!(own.user().groups, ["only", "system:authenticated"]);
}

#[test]
fn groups_that_say_who_is_authenticated_are_kept() {
    let groups = |user: &str, group: &str| {
        asked(&[("impersonate-user", user), ("impersonate-group", group)]).user().groups
    };
    assert_eq!(groups("bob", "system:unauthenticated"), ["system:unauthenticated"]);
    assert_eq!(groups("bob", "system:authenticated"), ["system:authenticated"]);
    assert_eq!(groups("system:anonymous", "g"), ["g", "system:unauthenticated"]);
    assert_eq!(groups("system:anonymous", "system:unauthenticated"), ["system:unauthenticated"]);
}

#[test]
fn nothing_but_a_user_can_be_impersonated_alone() {
    for (header, value, message) in [
        ("Impersonate-Group", "a", "requested [{Group  a    }] without impersonating a user"),
        (
            "Impersonate-Uid",
            "7",
            "requested [{UID  7  authentication.k8s.io/v1  }] without impersonating a user",
        ),
        (
            "Impersonate-Extra-Some%2fKey",
            "v",
            "requested [{UserExtra  v  authentication.k8s.io/v1  some/key}] without impersonating a user",
        ),
    ] {
        let error = Impersonation::from_headers([(header, value)]).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn malformed_escapes_in_keys_stay_as_they_came() {
    let extra =
        asked(&[("impersonate-user", "b"), ("impersonate-extra-a%zz", "v"), ("impersonate-extra-b%2", "w")])
            .extra;
    assert_eq!(extra.keys().collect::<Vec<_>>(), ["a%zz", "b%2"]);
}

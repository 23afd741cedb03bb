//! Decisions and sums, on small objects.

use serde_json::json;

use super::*;

fn request<'a>(plural: &'a str, object: &'a Value, old: Option<&'a Value>) -> Request<'a> {
    Request { group: "", plural, subresource: "", object, old, now: Timestamp::UNIX_EPOCH }
}

fn quota(hard: &Value, used: &Value) -> Value {
    json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}})
}

#[test]
fn a_write_is_charged_or_refused_with_the_numbers() {
    let one =
        quota(&json!({"pods": "2", "requests.cpu": "1"}), &json!({"pods": "1", "requests.cpu": "600m"}));
    let pod =
        |cpu: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
    let small = pod("400m");
    let used = charge(&request("pods", &small, None), std::slice::from_ref(&one)).unwrap();
    assert_eq!(used, [Some(json!({"pods": "2", "requests.cpu": "1"}))]);
    let large = pod("500m");
    assert_eq!(
        charge(&request("pods", &large, None), &[one]).unwrap_err(),
        "exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1"
    );
}

#[test]
fn what_containers_must_say_is_asked_for_by_name() {
    let quota =
        quota(&json!({"cpu": "2", "limits.memory": "1Gi"}), &json!({"cpu": "0", "limits.memory": "0"}));
    let pod = json!({"spec": {"containers": [{"name": "b"}, {"name": "a", "resources": {"requests": {"cpu": "1"}}}]}});
    assert_eq!(
        charge(&request("pods", &pod, None), &[quota]).unwrap_err(),
        "failed quota: q: must specify cpu for: b; limits.memory for: a,b"
    );
}

#[test]
fn a_quota_that_was_never_counted_lets_nothing_in() {
    let mut quota = quota(&json!({"secrets": "2"}), &json!({}));
    assert_eq!(
        charge(&request("secrets", &json!({}), None), std::slice::from_ref(&quota)).unwrap_err(),
        "status unknown for quota: q, resources: secrets"
    );
    quota["status"] = json!({});
    assert_eq!(charge(&request("secrets", &json!({}), None), &[quota]), Ok(vec![None]));
}

#[test]
fn an_update_pays_for_what_is_more() {
    let quota = quota(
        &json!({"services": "1", "services.nodeports": "2"}),
        &json!({"services": "1", "services.nodeports": "0"}),
    );
    let old = json!({"spec": {"type": "ClusterIP", "ports": [{}, {}]}});
    let new = json!({"spec": {"type": "NodePort", "ports": [{}, {}]}});
    let used = charge(&request("services", &new, Some(&old)), &[quota]).unwrap();
    assert_eq!(used, [Some(json!({"services": "1", "services.nodeports": "2"}))]);
}

#[test]
fn sums_start_at_zero_and_see_only_what_is_in_scope() {
    let mut quota = quota(&json!({"pods": "5"}), &json!({}));
    quota["spec"]["scopes"] = json!(["Terminating"]);
    let pods = [json!({"spec": {"activeDeadlineSeconds": 5}}), json!({"spec": {}})];
    assert_eq!(
        Value::Object(recount(&quota, ("", "pods"), pods.iter(), Timestamp::UNIX_EPOCH)),
        json!({"pods": "1"})
    );
    assert_eq!(
        Value::Object(recount(&quota, ("", "pods"), [].iter(), Timestamp::UNIX_EPOCH)),
        json!({"pods": "0"})
    );
    assert!(recount(&quota, ("", "secrets"), pods.iter(), Timestamp::UNIX_EPOCH).is_empty());
}

#[test]
fn what_leaves_a_scope_is_given_back_to_its_quota() {
    let claim = |class: &str| json!({"spec": {"volumeAttributesClassName": class}});
    let (gold, silver) = (claim("gold"), claim("silver"));
    assert!(gives_back(&request("persistentvolumeclaims", &silver, None), &gold));
    assert!(!gives_back(&request("persistentvolumeclaims", &gold, None), &gold));
    let (long, short) = (json!({"spec": {}}), json!({"spec": {"activeDeadlineSeconds": 1}}));
    assert!(gives_back(&request("pods", &short, None), &long));
}

#[test]
fn counts_name_their_resources() {
    let quota =
        quota(&json!({"count/widgets.example.com": "1", "count/pods": "1", "secrets": "1"}), &json!({}));
    let found: Vec<String> =
        sources(&quota).into_iter().map(|(group, plural)| format!("{plural}.{group}")).collect();
    assert_eq!(found, ["pods.", "secrets.", "widgets.example.com"]);
}

#[test]
fn a_status_is_written_when_it_says_something_new() {
    let mut quota = quota(&json!({"pods": "5"}), &json!({"pods": "0", "gone": "1"}));
    let sums = || Map::from_iter([("pods".to_owned(), json!("3"))]);
    assert_eq!(settled(&quota, sums()), Some(json!({"hard": {"pods": "5"}, "used": {"pods": "3"}})));
    quota["status"]["used"] = json!({"pods": "3"});
    assert_eq!(settled(&quota, sums()), None);
}

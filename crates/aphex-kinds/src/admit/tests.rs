//! What becomes of small objects.

use serde_json::json;

use super::*;

#[test]
fn a_token_is_mounted_where_nothing_is_mounted_yet() {
    let mut pod = json!({"spec": {"containers": [
        {"name": "a"},
        {"name": "b", "volumeMounts": [{"name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]},
    ]}});
    mount_token(&mut pod, "kube-api-access-x");
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["name"], "kube-api-access-x");
    assert_eq!(pod["spec"]["containers"][1]["volumeMounts"].as_array().unwrap().len(), 1);
    assert_eq!(
        pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"],
        3607
    );
    mount_token(&mut pod, "kube-api-access-y");
    assert_eq!(pod["spec"]["volumes"].as_array().unwrap().len(), 1);
}

#[test]
fn an_account_can_limit_the_secrets_of_its_pods() {
    let account = json!({"metadata": {"name": "sa", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
        "secrets": [{"name": "mine"}]});
    let pod = |secret: &str| {
        json!({"spec": {"containers": [{"name": "c", "env": [
        {"name": "V", "valueFrom": {"secretKeyRef": {"name": secret}}}]}]}})
    };
    assert_eq!(forbidden_reference(&pod("mine"), &account, false), None);
    assert_eq!(
        forbidden_reference(&pod("other"), &account, false).unwrap(),
        "container c with envVar V referencing secret.secretName=\"other\" is not allowed because service account sa \
         does not reference that secret"
    );
}

#[test]
fn a_priority_comes_from_its_class_alone() {
    let class = json!({"metadata": {"name": "high"}, "value": 7, "preemptionPolicy": "Never"});
    let mut pod = json!({"spec": {}});
    prioritise(&mut pod, Some(&class)).unwrap();
    assert_eq!(pod["spec"], json!({"priorityClassName": "high", "priority": 7, "preemptionPolicy": "Never"}));
    let mut pod = json!({"spec": {"priority": 3}});
    assert!(
        prioritise(&mut pod, None).unwrap_err().starts_with("the integer value of priority (3) must not")
    );
}

#[test]
fn outages_are_tolerated_for_a_while_unless_the_pod_says_otherwise() {
    let mut pod =
        json!({"spec": {"tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]}});
    tolerate_outages(&mut pod);
    let keys: Vec<&str> = items(&pod, "spec.tolerations").iter().map(|one| text(one, "key")).collect();
    assert_eq!(keys, ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]);
}

#[test]
fn of_several_default_classes_the_newest_is_taken() {
    let class = |name: &str, at: &str| {
        json!({"metadata": {"name": name, "creationTimestamp": at,
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}})
    };
    let classes = [class("old", "2020-01-01T00:00:00Z"), class("new", "2021-01-01T00:00:00Z")];
    let mut claim = json!({"spec": {}});
    default_storage_class(&mut claim, &classes);
    assert_eq!(claim["spec"]["storageClassName"], "new");
}

#[test]
fn a_runtime_class_brings_its_overhead() {
    let class =
        json!({"overhead": {"podFixed": {"cpu": "250m"}}, "scheduling": {"nodeSelector": {"a": "b"}}});
    let mut pod = json!({"spec": {}});
    use_runtime_class(&mut pod, &class).unwrap();
    assert_eq!(pod["spec"], json!({"overhead": {"cpu": "250m"}, "nodeSelector": {"a": "b"}}));
    assert_eq!(overhead_refusal(&pod, Some(&class)), None);
    assert!(overhead_refusal(&pod, None).unwrap().starts_with("pod rejected: Pod Overhead set without"));
}

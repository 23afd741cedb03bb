//! Standards and what violates them.

use serde_json::json;

use super::*;

fn found(standard: Standard, spec: &Value) -> String {
    details(&violations(standard, &Value::Null, spec))
}

const RESTRICTED: Standard = Standard { level: Level::Restricted, version: None };
const BASELINE: Standard = Standard { level: Level::Baseline, version: None };

#[test]
fn a_plain_pod_is_baseline_and_not_restricted() {
    let spec = json!({"containers": [{"name": "c"}]});
    assert_eq!(found(BASELINE, &spec), "");
    assert_eq!(
        found(RESTRICTED, &spec),
        "allowPrivilegeEscalation != false (container \"c\" must set \
         securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"c\" must set \
         securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"c\" must set \
         securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set \
         securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
}

#[test]
fn a_check_of_the_restricted_level_takes_the_place_of_its_baseline_sibling() {
    let spec = json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}], "containers": []});
    assert_eq!(found(BASELINE, &spec), "hostPath volumes (volume \"v\")");
    let restricted = found(RESTRICTED, &spec);
    assert_eq!(restricted, "restricted volume types (volume \"v\" uses restricted volume type \"hostPath\")");
}

#[test]
fn versions_differ() {
    let spec = json!({"containers": [{"name": "c", "livenessProbe": {"httpGet": {"host": "h"}}}]});
    let old = Standard { level: Level::Baseline, version: Some(33) };
    assert_eq!(found(old, &spec), "");
    let new = Standard { level: Level::Baseline, version: Some(34) };
    assert_eq!(
        found(new, &spec),
        "probe or lifecycle host (container \"c\" uses probe or lifecycle host \"h\")"
    );
    assert_eq!(found(Standard { level: Level::Baseline, version: Some(99) }, &spec), found(BASELINE, &spec));
}

#[test]
fn labels_are_read_and_warnings_follow_what_is_enforced() {
    let namespace = |labels: &Value| json!({"metadata": {"labels": labels}});
    let (policy, errors) = policy_of(&namespace(&json!({
        "pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.30",
    })));
    assert!(errors.is_empty());
    assert_eq!(
        (policy.enforce.to_string(), policy.warn.to_string()),
        ("baseline:v1.30".into(), "baseline:v1.30".into())
    );
    let (policy, errors) = policy_of(&namespace(&json!({
        "pod-security.kubernetes.io/enforce": "strict", "pod-security.kubernetes.io/warn-version": "v1.07",
    })));
    assert_eq!(policy.enforce.level, Level::Restricted);
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted",
            "metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"v1.07\": must be \"latest\" or \"v1.x\"",
        ]
    );
}

#[test]
fn only_other_images_and_containers_call_for_a_new_check() {
    let pod = |image: &str| json!({"spec": {"containers": [{"name": "c", "image": image}]}});
    assert!(is_significant_update(&pod("a"), &pod("b")));
    assert!(!is_significant_update(&pod("a"), &pod("a")));
}

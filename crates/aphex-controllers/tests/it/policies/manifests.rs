//! The policies as they are committed: each is bound and denies, all spare the same people, and none forgets a kind.

use aphex_testkit::platform;
use serde_json::{Value, json};

#[test]
fn every_policy_is_bound_denies_and_fails_closed() -> anyhow::Result<()> {
    let objects = platform::manifests("policies")?;
    let of = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
    assert!(of("ValidatingAdmissionPolicy").count() > 0);
    for policy in of("ValidatingAdmissionPolicy") {
        let name = &policy["metadata"]["name"];
        assert_eq!(policy["spec"]["failurePolicy"], "Fail", "{name}");
        let bound =
            of("ValidatingAdmissionPolicyBinding").find(|binding| binding["spec"]["policyName"] == *name);
        let bound = bound.ok_or_else(|| anyhow::anyhow!("{name} is not bound"))?;
        assert_eq!(bound["spec"]["validationActions"], json!(["Deny"]), "{name}");
        assert_eq!(
            bound["spec"].as_object().map(serde_json::Map::len),
            Some(2),
            "{name} is bound for everything"
        );
    }
    Ok(())
}

#[test]
fn the_policies_that_spare_somebody_spare_the_same() -> anyhow::Result<()> {
    let objects = platform::manifests("policies")?;
    let spared: Vec<&Value> = objects
        .iter()
        .map(|object| &object["spec"]["matchConditions"])
        .filter(|them| !them.is_null())
        .collect();
    assert_eq!(spared.len(), 6);
    assert!(spared.windows(2).all(|pair| pair[0] == pair[1]), "{spared:#?}");
    Ok(())
}

/// A kind that the controllers begin to write has to be added to the policy, or to be left out here with a reason.
#[test]
fn every_kind_that_the_controllers_write_is_guarded() -> anyhow::Result<()> {
    // Their engines write to the first two as well, and a binding is its user's; no tenant has rights where they are. Tekton
    // makes Services with the labels of ours.
    let shared = ["appprojects", "clustersecretstores", "repobindings", "services"];
    let policies = platform::manifests("policies")?;
    let guard = policies.iter().find(|policy| policy["metadata"]["name"] == "aphex-managed-objects");
    let rules =
        guard.map(|guard| guard["spec"]["matchConstraints"]["resourceRules"].clone()).unwrap_or_default();
    let guarded = |group: &str, resource: &str| {
        let lists = |rule: &Value, field: &str, item: &str| {
            rule[field].as_array().into_iter().flatten().any(|one| one == item)
        };
        rules
            .as_array()
            .into_iter()
            .flatten()
            .any(|rule| lists(rule, "apiGroups", group) && lists(rule, "resources", resource))
    };
    let all = platform::manifests("controller")?;
    let role = all
        .iter()
        .find(|object| object["kind"] == "ClusterRole" && object["metadata"]["name"] == "aphex-controller");
    let mut seen = 0;
    for rule in platform::rules(role.unwrap_or(&Value::Null))? {
        if !rule.verbs.iter().any(|verb| verb == "create") || rule.api_groups == ["events.k8s.io"] {
            continue;
        }
        for resource in rule.resources.iter().filter(|resource| !shared.contains(&resource.as_str())) {
            seen += 1;
            assert!(
                rule.api_groups.iter().all(|group| guarded(group, resource)),
                "{resource} is not guarded"
            );
        }
    }
    assert!(seen > 10, "{seen} kinds were looked at");
    Ok(())
}

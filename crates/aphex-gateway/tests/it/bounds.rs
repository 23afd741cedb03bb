//! Verdicts that say more than an object has room for, or than the engine takes.

use aphex_api::delivery::{Delivery, DeliveryVerdict};
use aphex_testkit::eventually;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::inbox::{drained, files, spooling};
use super::world::{SECRET, World, push};

const OTHER: &str = "whsec_of_the_other_repository";

impl World {
    /// A trigger with one more parameter, and a template that puts it into a label if it is to.
    async fn with_param(&self, value: &str, in_a_label: bool) -> anyhow::Result<()> {
        let [secret, account, mut trigger] = self.binding("other", OTHER);
        if let Some(bindings) = trigger["spec"]["bindings"].as_array_mut() {
            bindings.push(json!({ "name": "more", "value": value }));
        }
        let label = if in_a_label { "$(tt.params.more)" } else { "" };
        trigger["spec"]["template"] = json!({ "spec": {
            "params": [{ "name": "more" }],
            "resourcetemplates": [{
                "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
                "metadata": { "generateName": "web-", "namespace": self.tenant(), "labels": { "more": label } },
                "spec": { "pipelineRef": { "name": "web" } },
            }],
        } });
        for object in [secret, account, trigger, self.permission("other")] {
            self.apply(object).await?;
        }
        eventually("the other secret is known", || async {
            Ok(self.deliver("known", "ping", &json!({}), OTHER).await.ok())
        })
        .await?;
        self.deliver("warm", "ping", &json!({}), SECRET).await.map(drop)
    }

    /// A policy of the cluster that takes no Delivery whose verdict names parameters.
    async fn wordless(&self) -> anyhow::Result<()> {
        let metadata = json!({ "name": format!("wordless-{}", self.name) });
        let rule = json!({
            "apiGroups": ["aphex.io"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
            "resources": ["deliveries"],
        });
        let said = "!has(object.status) || !has(object.status.triggers) || object.status.triggers.all(t, !has(t.params))";
        self.apply(json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": metadata,
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": self.organization() } },
                    "resourceRules": [rule],
                },
                "validations": [{ "expression": said, "reason": "Invalid" }],
            },
        }))
        .await?;
        self.apply(json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": metadata,
            "spec": { "policyName": metadata["name"], "validationActions": ["Deny"] },
        }))
        .await?;
        let deliveries: Api<Delivery> = Api::namespaced(self.client.clone(), &self.organization());
        let mut wordy = self.left_behind("nobody", jiff::Timestamp::now())?;
        let trigger = json!({ "name": "t", "namespace": "n", "verdict": "Created", "params": { "a": "b" } });
        wordy.status = serde_json::from_value(json!({ "triggers": [trigger] }))?;
        let rehearsed = PostParams { dry_run: true, ..PostParams::default() };
        eventually("the engine refuses it", || async {
            let refused = deliveries.create(&rehearsed, &wordy).await.err();
            Ok(matches!(refused, Some(kube::Error::Api(status)) if status.code == 422).then_some(()))
        })
        .await
    }
}

/// A push with a text of so many letters.
fn wordy(letters: usize) -> anyhow::Result<Value> {
    let mut body = push()?;
    body["words"] = "w".repeat(letters).into();
    Ok(body)
}

#[tokio::test]
async fn a_trigger_that_hands_on_all_of_a_large_payload_has_its_verdict_stored() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = World::start("whole").await?;
    world.inbox = spooling(folder.path());
    let world = world.gateway().await?;
    world.with_param("$(body)", false).await?;
    let body = wordy(3_000_000)?;
    world.deliver("whole", "push", &body, OTHER).await?;
    let (verdict, delivery) = world.verdict("whole").await?;
    let param = delivery.status.unwrap_or_default().triggers[0].params["more"].clone();
    assert_eq!((verdict, param.len(), param.ends_with('…')), (DeliveryVerdict::Created, 4096, true));

    // Acknowledged while the engine is away, it is none that can never be stored.
    world.faults.pause(true);
    world.deliver("spooled", "push", &body, OTHER).await?;
    assert_eq!(files(folder.path(), ".event")?, 1);
    world.faults.pause(false);
    assert_eq!(world.verdict("spooled").await?.0, DeliveryVerdict::Created);
    drained(folder.path()).await?;
    assert_eq!((files(folder.path(), ".bad")?, world.runs().await?.len()), (0, 2));
    Ok(())
}

#[tokio::test]
async fn what_the_engine_quotes_in_its_refusal_is_cut() -> anyhow::Result<()> {
    let world = World::start("quoted").await?;
    world.with_param("$(body.words)", true).await?;
    world.deliver("quoted", "push", &wordy(40_000)?, OTHER).await?;
    let (verdict, delivery) = world.verdict("quoted").await?;
    let message = delivery.status.unwrap_or_default().message;
    assert_eq!((verdict, message.len()), (DeliveryVerdict::Failed, 4096));
    assert!(message.starts_with("other-trigger: cannot create PipelineRun"), "{message}");
    Ok(())
}

#[tokio::test]
async fn where_the_engine_takes_not_all_of_a_verdict_it_takes_the_least() -> anyhow::Result<()> {
    let world = World::start("least").await?;
    world.deliver("warm", "ping", &json!({}), SECRET).await?;
    world.wordless().await?;
    // Decided before it is stored, and afterwards.
    world.deliver("at-once", "push", &push()?, SECRET).await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let left = world.left_behind("lost-replica", jiff::Timestamp::now())?;
    deliveries.create(&PostParams::default(), &left).await?;
    for id in ["at-once", "left-behind"] {
        let (verdict, delivery) = world.verdict(id).await?;
        let status = delivery.status.unwrap_or_default();
        assert_eq!((verdict, status.created.len(), status.triggers.len()), (DeliveryVerdict::Created, 1, 1));
        assert_eq!((status.triggers[0].params.len(), &status.triggers[0].created), (0, &status.created));
    }
    assert_eq!(world.runs().await?.len(), 2);
    Ok(())
}

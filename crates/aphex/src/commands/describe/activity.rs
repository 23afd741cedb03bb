//! What happened to an object of late: webhook deliveries and runs.

use std::collections::BTreeSet;

use anyhow::Context as _;
use aphex_api::delivery::Delivery;
use aphex_api::foreign::tekton::PipelineRun;
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::{Api, Client, Resource};
use serde_json::{Value, json};

use crate::commands::look::text;
use crate::exit;

/// How many of each are shown.
const LAST: usize = 5;

/// Where an object's deliveries and runs are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scene {
    /// The namespace of the listener.
    pub(super) listener: Option<String>,
    /// `owner/name`, when only one repository's deliveries count.
    pub(super) repository: Option<String>,
    /// The namespaces of tenants.
    pub(super) tenants: Vec<String>,
}

impl Scene {
    /// The namespaces that keep its deliveries: the tenants', and the listener's for what came before there was one and what
    /// is too large.
    pub(super) fn of_deliveries(&self) -> BTreeSet<&String> {
        self.listener.iter().chain(&self.tenants).collect()
    }
}

/// The last deliveries, newest first, and the namespaces whose deliveries the user may not see.
pub(super) async fn deliveries(client: &Client, scene: &Scene) -> anyhow::Result<(Vec<Value>, Vec<String>)> {
    let (mut found, unseen) = all::<Delivery>(client, scene.of_deliveries()).await?;
    if let Some(repository) = &scene.repository {
        // GitHub's names ignore case.
        found.retain(|delivery| text(delivery, "/spec/repository").eq_ignore_ascii_case(repository));
    }
    Ok((newest(found).iter().map(delivery).collect(), unseen))
}

/// The last runs, newest first, and the namespaces whose runs the user may not see.
pub(super) async fn runs(client: &Client, scene: &Scene) -> anyhow::Result<(Vec<Value>, Vec<String>)> {
    let (found, unseen) = all::<PipelineRun>(client, &scene.tenants).await?;
    Ok((newest(found).iter().map(run).collect(), unseen))
}

/// The objects of a kind in some namespaces, and those of them where the user may not see it.
async fn all<K: Resource<DynamicType = ()>>(
    client: &Client,
    namespaces: impl IntoIterator<Item = &String>,
) -> anyhow::Result<(Vec<Value>, Vec<String>)> {
    let (mut found, mut unseen) = (Vec::new(), Vec::new());
    for namespace in namespaces {
        match list::<K>(client, namespace).await {
            Ok(listed) => found.extend(listed),
            Err(error) if exit::is_forbidden(&error) => unseen.push(namespace.clone()),
            Err(error) => return Err(error),
        }
    }
    Ok((found, unseen))
}

async fn list<K: Resource<DynamicType = ()>>(client: &Client, namespace: &str) -> anyhow::Result<Vec<Value>> {
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(list.items.iter().map(serde_json::to_value).collect::<Result<_, _>>()?),
        // A kind that is not served has no objects.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot list {} in {namespace}", resource.plural)),
    }
}

fn newest(mut objects: Vec<Value>) -> Vec<Value> {
    objects.sort_by_key(|object| std::cmp::Reverse(text(object, "/metadata/creationTimestamp")));
    objects.truncate(LAST);
    objects
}

fn delivery(object: &Value) -> Value {
    let verdict = match text(object, "/status/verdict") {
        none if none.is_empty() => text(object, "/status/phase"),
        verdict => verdict,
    };
    json!({
        "namespace": text(object, "/metadata/namespace"),
        "name": text(object, "/metadata/name"),
        "event": text(object, "/spec/event"),
        "ref": text(object, "/spec/ref"),
        "verdict": verdict,
        "message": text(object, "/status/message"),
        "time": text(object, "/metadata/creationTimestamp"),
    })
}

/// A run and its state, as Tekton's condition Succeeded has it.
pub(crate) fn run(object: &Value) -> Value {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let done = conditions.into_iter().flatten().find(|condition| condition["type"] == "Succeeded");
    let word = |field: &str| done.and_then(|found| found[field].as_str()).unwrap_or_default().to_owned();
    let state = match word("status").as_str() {
        "True" => "Succeeded",
        "False" => "Failed",
        "Unknown" => "Running",
        // No engine has taken it up.
        _ => "Pending",
    };
    json!({
        "namespace": text(object, "/metadata/namespace"),
        "name": text(object, "/metadata/name"),
        "state": state,
        "reason": word("reason"),
        "message": word("message"),
        "time": text(object, "/metadata/creationTimestamp"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runs_state_is_that_of_tektons_condition() {
        let state = |status: Value| {
            run(&json!({ "metadata": { "name": "r" }, "status": status }))["state"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let with = |value: &str| json!({ "conditions": [{ "type": "Succeeded", "status": value }] });
        assert_eq!(state(with("True")), "Succeeded");
        assert_eq!(state(with("False")), "Failed");
        assert_eq!(state(with("Unknown")), "Running");
        assert_eq!(state(json!({})), "Pending");
    }

    #[test]
    fn the_newest_come_first_and_old_ones_not_at_all() {
        let at =
            |day: usize| json!({ "metadata": { "creationTimestamp": format!("2026-01-0{day}T00:00:00Z") } });
        let found = newest((1..=7).map(at).collect());
        assert_eq!((found.len(), found[0].clone()), (LAST, at(7)));
    }
}

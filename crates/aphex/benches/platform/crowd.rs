//! Other people's listeners, each with a trigger of its own.

use std::path::Path;

use aphex_api::foreign::triggers::{EventListener, Trigger};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::load::client;

/// Namespaces that they are spread over.
const NAMESPACES: usize = 20;

/// Makes so many of them.
pub async fn gather(kubeconfig: &Path, listeners: usize) -> anyhow::Result<()> {
    let client = client(kubeconfig).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for number in 0..NAMESPACES {
        let namespace = serde_json::from_value(json!({ "metadata": { "name": format!("crowd-{number}") } }))?;
        namespaces.create(&PostParams::default(), &namespace).await?;
    }
    let make = |number: usize| {
        let client = client.clone();
        async move {
            let namespace = format!("crowd-{}", number % NAMESPACES);
            let (listener, trigger) = (format!("listener-{number}"), format!("trigger-{number}"));
            let filter = "body.ref == 'refs/heads/main' && body.repository.full_name == 'acme/web'";
            let trigger: Trigger = serde_json::from_value(json!({
                "metadata": { "name": trigger },
                "spec": {
                    "interceptors": [
                        { "ref": { "name": "github", "kind": "ClusterInterceptor" }, "params": [
                            { "name": "secretRef", "value": { "secretName": "webhook", "secretKey": "secret" } },
                            { "name": "eventTypes", "value": ["push"] },
                        ] },
                        { "ref": { "name": "cel", "kind": "ClusterInterceptor" }, "params": [{ "name": "filter", "value": filter }] },
                    ],
                    "bindings": [{ "name": "revision", "value": "$(body.after)" }],
                    "template": { "ref": "run" },
                },
            }))?;
            let listener: EventListener = serde_json::from_value(json!({
                "metadata": { "name": listener },
                "spec": { "triggers": [{ "triggerRef": format!("trigger-{number}") }] },
            }))?;
            Api::namespaced(client.clone(), &namespace).create(&PostParams::default(), &trigger).await?;
            Api::namespaced(client, &namespace).create(&PostParams::default(), &listener).await?;
            anyhow::Ok(())
        }
    };
    futures::stream::iter((0..listeners).map(make)).buffer_unordered(16).try_collect().await
}

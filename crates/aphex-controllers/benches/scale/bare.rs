//! What a tenant's objects cost without controllers: the same objects, written one after the other.

use std::time::Instant;

use anyhow::ensure;
use aphex_controllers::apply::{DesiredSet as _, Kind};
use aphex_controllers::repo_binding::Desired;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::Value;

/// How often; the median is told.
const TIMES: usize = 10;

/// Milliseconds to write the objects of a binding anew under other names.
pub(crate) async fn writes(client: &Client, tenant: &str) -> anyhow::Result<f64> {
    let mut objects: Vec<(Kind, DynamicObject)> = Vec::new();
    let mut kinds = Desired::kinds();
    // Everything else is in it.
    kinds.sort_by_key(|kind| !kind.is_namespace());
    let selected = ListParams::default().labels(&format!("platform.aphex/owner-name={tenant}"));
    for kind in kinds {
        let list = kind.api(client.clone(), None).list(&selected).await?;
        objects.extend(list.items.into_iter().map(|object| (kind.clone(), object)));
    }
    ensure!(objects.len() > 12, "only {} objects of {tenant} were found", objects.len());
    let mut times = Vec::new();
    for time in 0..TIMES {
        let renamed = objects.iter().map(|(kind, object)| Ok((kind, plain(kind, object, tenant, time)?)));
        let renamed: Vec<(&Kind, Value)> = renamed.collect::<anyhow::Result<_>>()?;
        let since = Instant::now();
        for (kind, body) in &renamed {
            let api = kind.api(client.clone(), body["metadata"]["namespace"].as_str());
            let name = body["metadata"]["name"].as_str().unwrap_or_default();
            api.patch(name, &PatchParams::apply("bare"), &Patch::Apply(body)).await?;
        }
        times.push(since.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[TIMES / 2])
}

/// An object as somebody would write it, under another name and nobody's.
fn plain(kind: &Kind, object: &DynamicObject, tenant: &str, time: usize) -> anyhow::Result<Value> {
    let text = serde_json::to_string(object)?.replace(tenant, &format!("bare{time:04}"));
    let mut body: Value = serde_json::from_str(&text)?;
    let mut metadata = serde_json::json!({ "name": body["metadata"]["name"] });
    if object.namespace().is_some() {
        metadata["namespace"] = body["metadata"]["namespace"].clone();
    }
    body["metadata"] = metadata;
    body["apiVersion"] = kind.resource.api_version.clone().into();
    body["kind"] = kind.resource.kind.clone().into();
    body.as_object_mut().map(|body| body.remove("status"));
    Ok(body)
}

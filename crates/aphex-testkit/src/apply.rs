//! Putting objects of any kind onto an engine.

use anyhow::Context as _;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

use crate::eventually;

const NOT_FOUND: u16 = 404;
const EXISTS: u16 = 409;

/// Applies an object server-side, by force; waits for a kind or namespace that is not there yet.
pub async fn apply(client: &Client, object: &Value) -> anyhow::Result<()> {
    let (api, object) = place(client, object)?;
    let name = object.name_any();
    let parameters = PatchParams::apply("test").force();
    let write = || async {
        match api.patch(&name, &parameters, &Patch::Apply(&object)).await {
            Err(kube::Error::Api(status)) if status.code == NOT_FOUND => Err(kube::Error::Api(status).into()),
            answer => Ok(Some(answer)),
        }
    };
    let kind = kind(&object);
    let what = format!("{kind} {name} is applied");
    eventually(&what, write).await?.map(drop).with_context(|| format!("apply {kind} {name}"))
}

/// Creates an object, or replaces what is there of its name, as `kubectl create` and `kubectl replace` do: where a definition
/// allows no null, the API server leaves it out, which it refuses in what is applied.
pub async fn replace(client: &Client, object: &Value) -> anyhow::Result<()> {
    let (api, mut object) = place(client, object)?;
    let (kind, name) = (kind(&object), object.name_any());
    let written = match api.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.code == EXISTS => {
            object.metadata.resource_version = api.get(&name).await?.resource_version();
            api.replace(&name, &PostParams::default(), &object).await
        }
        answer => answer,
    };
    written.map(drop).with_context(|| format!("create {kind} {name}"))
}

fn kind(object: &DynamicObject) -> String {
    object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default()
}

/// An object, and where it is.
fn place(client: &Client, object: &Value) -> anyhow::Result<(Api<DynamicObject>, DynamicObject)> {
    let object: DynamicObject = serde_json::from_value(object.clone())?;
    let types = object.types.clone().context("an object has a kind")?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(&types)?);
    let api = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    };
    Ok((api, object))
}

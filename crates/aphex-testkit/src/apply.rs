//! Putting objects of any kind onto an engine.

use anyhow::Context as _;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

use crate::eventually;

const NOT_FOUND: u16 = 404;

/// Applies an object server-side, by force; waits for a kind or namespace that is not there yet.
pub async fn apply(client: &Client, object: &Value) -> anyhow::Result<()> {
    let object: DynamicObject = serde_json::from_value(object.clone())?;
    let types = object.types.clone().context("an object has a kind")?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(&types)?);
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    };
    let name = object.name_any();
    let parameters = PatchParams::apply("test").force();
    let write = || async {
        match api.patch(&name, &parameters, &Patch::Apply(&object)).await {
            Err(kube::Error::Api(status)) if status.code == NOT_FOUND => Err(kube::Error::Api(status).into()),
            answer => Ok(Some(answer)),
        }
    };
    let what = format!("{} {name} is applied", types.kind);
    eventually(&what, write).await?.map(drop).with_context(|| format!("apply {} {name}", types.kind))
}

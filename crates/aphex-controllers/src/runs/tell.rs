//! Writes what `concurrency` decided about a run into the Delivery that made it.
//!
//! The Delivery is found by the id of the event, which the run carries: it has that name, or one that begins with it where
//! the same event came for another listener too; it is the tenant's, or beside the listener (`docs/adr/0044`).

use aphex_api::delivery::{ConcurrencyVerdict, CreatedObject, Delivery, RunConcurrency};
use aphex_api::foreign::tekton::PipelineRun;
use aphex_api::labels;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, Resource as _, ResourceExt};
use serde_json::{Value, json};

use super::plan::Run;

/// How often a Delivery is read again when somebody else wrote to it.
const WRITES: usize = 3;
/// How much of an event's id the other names begin with (`deliveries.rs` of the gateway).
const KEPT: usize = 52;

/// The engine did not take what a Delivery should say.
#[derive(Debug, thiserror::Error)]
pub(super) enum TellError {
    #[error("cannot read Delivery {0}")]
    Read(String, #[source] Box<kube::Error>),
    #[error("cannot look for Deliveries in {0}")]
    List(String, #[source] Box<kube::Error>),
    #[error("cannot write a patch as JSON")]
    Encode(#[source] serde_json::Error),
    #[error("cannot write to Delivery {0} what was decided about its run")]
    Write(String, #[source] Box<kube::Error>),
}

/// Has the Delivery of a run say what was decided; false when there is none, or it does not name the run yet.
pub(super) async fn tell(
    client: &Client,
    namespaces: &[&str],
    tenant: &str,
    run: &Run,
    concurrency: &RunConcurrency,
) -> Result<bool, TellError> {
    for namespace in namespaces {
        let api: Api<Delivery> = Api::namespaced(client.clone(), namespace);
        let Some(found) = read(&api, namespace, &run.event).await? else { continue };
        if write(&api, found, tenant, run, concurrency).await? {
            return Ok(true);
        }
        for name in others(&api, namespace, &run.event).await? {
            let Some(found) = read(&api, namespace, &name).await? else { continue };
            if write(&api, found, tenant, run, concurrency).await? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

async fn read(api: &Api<Delivery>, namespace: &str, name: &str) -> Result<Option<Delivery>, TellError> {
    let found = api.get_opt(name).await;
    found.map_err(|source| TellError::Read(format!("{namespace}/{name}"), Box::new(source)))
}

/// The Deliveries that have the event's id and another name.
async fn others(api: &Api<Delivery>, namespace: &str, event: &str) -> Result<Vec<String>, TellError> {
    let all = api.list_metadata(&ListParams::default()).await;
    let all = all.map_err(|source| TellError::List(namespace.to_owned(), Box::new(source)))?;
    let prefix = format!("{}-", event.get(..KEPT).unwrap_or(event));
    Ok(all.items.iter().map(ResourceExt::name_any).filter(|name| name.starts_with(&prefix)).collect())
}

/// Writes it; false when the Delivery does not name the run.
async fn write(
    api: &Api<Delivery>,
    mut delivery: Delivery,
    tenant: &str,
    run: &Run,
    concurrency: &RunConcurrency,
) -> Result<bool, TellError> {
    let (name, namespace) = (delivery.name_any(), delivery.namespace().unwrap_or_default());
    let parameters =
        PatchParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let mut tries = 0;
    loop {
        let Some(operations) = operations(&delivery, tenant, run, concurrency) else { return Ok(false) };
        if operations.is_empty() {
            return Ok(true);
        }
        let patch = serde_json::from_value(Value::Array(operations)).map_err(TellError::Encode)?;
        tries += 1;
        match api.patch_metadata(&name, &parameters, &Patch::Json::<()>(patch)).await {
            Ok(_) => return Ok(true),
            // Its time was over.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(true),
            // A test failed: it is not what it was.
            Err(kube::Error::Api(status)) if matches!(status.code, 409 | 422) && tries < WRITES => {
                match read(api, &namespace, &name).await? {
                    Some(found) => delivery = found,
                    None => return Ok(true),
                }
            }
            Err(source) => return Err(TellError::Write(format!("{namespace}/{name}"), Box::new(source))),
        }
    }
}

/// The JSON patch (RFC 6902) of one state of a Delivery: empty when it says so already, nothing when it does not name the run.
fn operations(
    delivery: &Delivery,
    tenant: &str,
    run: &Run,
    concurrency: &RunConcurrency,
) -> Option<Vec<Value>> {
    let status = delivery.status.as_ref()?;
    let mut places = places("/status/created", &status.created, tenant, run);
    for (index, trigger) in status.triggers.iter().enumerate() {
        let list = format!("/status/triggers/{index}/created");
        places.extend(self::places(&list, &trigger.created, tenant, run));
    }
    if places.is_empty() {
        return None;
    }
    places.retain(|(_, object)| {
        // Nothing follows after that a run was superseded.
        object
            .concurrency
            .as_ref()
            .is_none_or(|said| said != concurrency && said.verdict != ConcurrencyVerdict::Superseded)
    });
    let mut operations = Vec::new();
    for (place, object) in &places {
        operations.push(json!({ "op": "test", "path": format!("{place}/name"), "value": object.name }));
        operations.push(json!({ "op": "add", "path": format!("{place}/concurrency"), "value": concurrency }));
    }
    let generation = delivery.metadata.generation.filter(|_| !operations.is_empty());
    if let Some(generation) = generation {
        // Status is no subresource, so this write makes a generation, and the verdict is about that one too.
        let next = generation.saturating_add(1);
        operations.insert(0, json!({ "op": "test", "path": "/metadata/generation", "value": generation }));
        if status.observed_generation == generation {
            operations.push(json!({ "op": "replace", "path": "/status/observedGeneration", "value": next }));
        }
        let current = |index: &usize| status.conditions[*index].observed_generation == Some(generation);
        operations.extend((0..status.conditions.len()).filter(current).map(|index| {
            let path = format!("/status/conditions/{index}/observedGeneration");
            json!({ "op": "replace", "path": path, "value": next })
        }));
    }
    Some(operations)
}

/// Where a list names the run.
fn places<'a>(
    list: &str,
    created: &'a [CreatedObject],
    tenant: &str,
    run: &Run,
) -> Vec<(String, &'a CreatedObject)> {
    let group = format!("{}/", PipelineRun::group(&()));
    let is_it = |object: &CreatedObject| {
        object.kind == PipelineRun::kind(&())
            && object.api_version.starts_with(&group)
            && object.namespace.as_deref() == Some(tenant)
            && object.name == run.name
            && object.uid.as_deref().is_none_or(|uid| uid == run.uid)
    };
    let found = created.iter().enumerate().filter(|(_, object)| is_it(object));
    found.map(|(index, object)| (format!("{list}/{index}"), object)).collect()
}

#[cfg(test)]
mod tests;

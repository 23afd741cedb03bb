//! An installation applied to a cluster.

use anyhow::Context as _;
use aphex_controllers::sensitive::Sensitive;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::manifests::Part;
use super::secrets::{self, Id, Known, Values};
use crate::cli::Global;
use crate::commands::apply;
use crate::connect;
use crate::output::{note, say};

/// The field manager of Secrets made here.
const MANAGER: &str = "aphex-cli";

/// Applies every part whose namespace is there; gives the others.
pub(super) async fn apply(global: &Global, parts: &[Part], force: bool) -> anyhow::Result<Vec<&'static str>> {
    let client = connect::client(global).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let known = read(&client).await?;
    let all = secrets::fill(&known);
    let mut left_out = Vec::new();
    for part in parts {
        let brings_its_own = part.objects.iter().any(|object| object["kind"] == "Namespace");
        let there = namespaces.get_metadata_opt(part.namespace).await;
        let there = there.with_context(|| format!("cannot look for namespace {}", part.namespace))?.is_some();
        if !there && !brings_its_own {
            note(&format!("{} is left out: there is no namespace {}", part.title, part.namespace));
            left_out.push(part.title);
            continue;
        }
        let (first, others): (Vec<_>, Vec<_>) =
            part.objects.iter().partition(|object| object["kind"] == "Namespace");
        for object in first {
            say(&format!("{} serverside-applied", apply::apply(&client, object, force).await?.title));
        }
        // Pods wait for Secrets, so these come first.
        for (id, values) in all.iter().filter(|(id, _)| id.namespace == part.namespace) {
            put(&client, *id, values, known.get(id)).await?;
        }
        for object in others {
            say(&format!("{} serverside-applied", apply::apply(&client, object, force).await?.title));
        }
    }
    Ok(left_out)
}

/// The Secrets that are there.
async fn read(client: &Client) -> anyhow::Result<Known> {
    let mut known = Known::new();
    for id in secrets::ids() {
        let api: Api<Secret> = Api::namespaced(client.clone(), id.namespace);
        let found = api.get_opt(id.name).await;
        let found = found.with_context(|| {
            format!("cannot read Secret {id}: installing logins takes an administrator of the cluster")
        })?;
        let Some(data) = found.map(|secret| secret.data.unwrap_or_default()) else { continue };
        let value = |key| {
            let bytes = &data.get(key)?.0;
            Some((key, Sensitive::new(std::str::from_utf8(bytes).ok()?)))
        };
        known.insert(id, secrets::keys(id).filter_map(value).collect());
    }
    Ok(known)
}

/// Creates a Secret, or adds to it what is missing; what else is in it is left alone.
async fn put(client: &Client, id: Id, values: &Values, known: Option<&Values>) -> anyhow::Result<()> {
    let api: Api<Secret> = Api::namespaced(client.clone(), id.namespace);
    let new = secrets::changes(values, known);
    let Some(known) = known else {
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let object: Secret = serde_json::from_value(secrets::object(id, values))?;
        api.create(&parameters, &object).await.with_context(|| format!("cannot create Secret {id}"))?;
        say(&format!("secret/{} created", id.name));
        return Ok(());
    };
    if new.is_empty() {
        say(&format!("secret/{} unchanged", id.name));
        return Ok(());
    }
    let data: std::collections::BTreeMap<&str, &str> =
        new.iter().map(|(key, value)| (*key, value.reveal())).collect();
    let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(id.name, &parameters, &Patch::Merge(json!({ "stringData": data })))
        .await
        .with_context(|| format!("cannot add to Secret {id}"))?;
    let (replaced, added): (Vec<&str>, Vec<&str>) = new.keys().partition(|key| known.contains_key(*key));
    if !added.is_empty() {
        say(&format!("secret/{} configured: added {}", id.name, added.join(", ")));
    }
    if !replaced.is_empty() {
        say(&format!("secret/{} configured: {} brought to what Dex has", id.name, replaced.join(", ")));
    }
    Ok(())
}

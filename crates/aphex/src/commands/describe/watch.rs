//! `describe --watch`: the whole picture again, whenever the object, its deliveries, its runs or its bindings change.
//!
//! What it owns is looked at each time as well; a change of that alone is seen once the controller has told of it.

use std::time::Duration;

use anyhow::Context as _;
use aphex_api::delivery::Delivery;
use aphex_api::foreign::tekton::PipelineRun;
use aphex_api::repo_binding::RepoBinding;
use futures::stream::{BoxStream, SelectAll, select_all};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource};
use serde_json::Value;

use super::activity::Scene;
use super::{Found, find, printed, resource_of, show};
use crate::cli::{Describe, Described, Format, Global};
use crate::commands::look::{self, text};
use crate::{exit, output};

/// What changes at once is shown once.
const QUIET: Duration = Duration::from_millis(200);
/// A version that the server keeps no longer: the watch begins anew.
const GONE: u16 = 410;

/// Shows it until it is deleted, the server refuses, or nobody reads any more.
pub(super) async fn run(global: &Global, client: &Client, arguments: &Describe) -> anyhow::Result<()> {
    let mut shown: Option<Value> = None;
    let mut watched: Option<(Scene, Changes)> = None;
    loop {
        let found = match find(client, arguments).await {
            Err(error) if shown.is_some() && exit::code_of(&error) == exit::NOT_FOUND => {
                output::note(&format!("{} is deleted", arguments.one.name));
                return Ok(());
            }
            found => found?,
        };
        // Ages go on by themselves: what is compared has times in it.
        let document = show::document(&found);
        if shown.as_ref() != Some(&document) {
            if shown.is_some() {
                separate(&global.output);
            }
            if !output::show_on(&global.output, &printed(&global.output, &found)?) {
                return Ok(());
            }
            shown = Some(document);
        }
        let changes = match watched.take() {
            Some((scene, changes)) if scene == found.scene => changes,
            _ => changes(client, arguments.kind, &found),
        };
        let (_, changes) = watched.insert((found.scene, changes));
        next(changes).await.with_context(|| format!("cannot watch {}", arguments.one.name))?;
    }
}

fn separate(format: &Format) {
    match format {
        Format::Table | Format::Wide => output::say(""),
        Format::Yaml => output::say("---"),
        _ => {}
    }
}

type Changes = SelectAll<BoxStream<'static, Result<(), watcher::Error>>>;

/// Waits for a change, and until no other comes right after it.
async fn next(changes: &mut Changes) -> Result<(), watcher::Error> {
    changes.try_next().await?;
    while let Ok(next) = tokio::time::timeout(QUIET, changes.try_next()).await {
        if next?.is_none() {
            break;
        }
    }
    Ok(())
}

/// Everything whose changes are shown.
fn changes(client: &Client, kind: Described, found: &Found) -> Changes {
    let name = format!("metadata.name={}", look::name(&found.object));
    let namespace = text(&found.object, "/metadata/namespace");
    let own = look::api(client, &resource_of(kind), Some(&namespace));
    let own = watcher(own, watcher::Config::default().fields(&name)).default_backoff();
    let own = own.filter_map(async |event| match event {
        Err(watcher::Error::WatchError(status)) if status.code == GONE => None,
        event => Some(event.map(drop)),
    });
    let mut all: Vec<BoxStream<'static, _>> = vec![own.boxed()];
    let scene = &found.scene;
    all.extend(scene.of_deliveries().into_iter().map(|namespace| beside::<Delivery>(client, namespace)));
    all.extend(scene.tenants.iter().map(|namespace| beside::<PipelineRun>(client, namespace)));
    if kind == Described::Org {
        all.push(beside::<RepoBinding>(client, &namespace));
    }
    select_all(all)
}

/// Changes of what stands beside the object; whoever may not see them is not told of them.
fn beside<K: Resource<DynamicType = ()>>(
    client: &Client,
    namespace: &str,
) -> BoxStream<'static, Result<(), watcher::Error>> {
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let events = watcher(api, watcher::Config::default()).default_backoff();
    events.filter_map(async |event| event.ok().map(|_| Ok(()))).boxed()
}

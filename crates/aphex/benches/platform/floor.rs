//! The least that a push can cost: its run and its Delivery created by a plain client, as they are.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use aphex_api::delivery::Delivery;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{DynamicObject, ListParams, ObjectMeta, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt as _};

use crate::load::{self, client};
use crate::push::{PUSHES, TENANT, Times, at_once, millis, turns};

/// What a plain client can do.
pub struct Floor {
    /// Pairs of run and Delivery stored a second, as many pairs at once as there are senders.
    pub rate: f64,
    /// From when a pair was due until it was stored, ms.
    pub times: Times,
}

/// Creates pairs of run and Delivery, one after the other in each pair; `rate` of them are begun a second.
pub async fn pairs(kubeconfig: &Path, rate: Option<f64>) -> anyhow::Result<Floor> {
    let client = client(kubeconfig).await?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "PipelineRun"));
    let runs: Api<DynamicObject> = Api::namespaced_with(client.clone(), TENANT, &kind);
    let run = runs.list(&ListParams::default().limit(1)).await?.items.pop().context("there are no runs")?;
    let all: Api<Delivery> = Api::all(client.clone());
    let delivery = all.list(&ListParams::default().limit(1)).await?.items;
    let delivery = delivery.into_iter().next().context("there are no deliveries")?;
    let deliveries: Api<Delivery> =
        Api::namespaced(client, &delivery.namespace().context("a delivery has a namespace")?);
    let named = |name: String, labels: &ObjectMeta| ObjectMeta {
        name: Some(name),
        labels: labels.labels.clone(),
        annotations: labels.annotations.clone(),
        ..ObjectMeta::default()
    };
    let (runs, deliveries) = (&runs, &deliveries);
    let series = rand::random::<u32>();
    let make = |(number, due): (usize, Instant)| {
        let (mut run, mut delivery) = (run.clone(), delivery.clone());
        run.metadata = named(format!("floor-{series:x}-{number}"), &run.metadata);
        delivery.metadata = named(format!("floor-{series:x}-{number}"), &delivery.metadata);
        async move {
            runs.create(&PostParams::default(), &run).await?;
            deliveries.create(&PostParams::default(), &delivery).await?;
            anyhow::Ok(millis(due.elapsed()))
        }
    };
    let since = Instant::now();
    let pairs = turns(PUSHES, rate).map(make).buffer_unordered(at_once(PUSHES, rate));
    let times = Times::new(pairs.try_collect().await?);
    Ok(Floor { rate: load::rate(PUSHES, since), times })
}

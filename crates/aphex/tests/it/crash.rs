//! kill -9 loses nothing that was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::program::Up;

async fn configmaps(up: &Up) -> anyhow::Result<Api<ConfigMap>> {
    let kubeconfig = Kubeconfig::read_from(&up.kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Api::namespaced(Client::try_from(config)?, "default"))
}

/// Writes until told to stop; gives the names that were acknowledged.
async fn write(
    api: Api<ConfigMap>,
    writer: usize,
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let name = format!("w{writer}-{number}");
        let map: ConfigMap = match serde_json::from_value(serde_json::json!({ "metadata": { "name": name } }))
        {
            Ok(map) => map,
            Err(_) => break,
        };
        match api.create(&PostParams::default(), &map).await {
            Ok(_) => acknowledged.push(name),
            Err(_) => break,
        }
        count.fetch_add(1, Ordering::AcqRel);
        if stop.load(Ordering::Acquire) {
            break;
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_kill_is_there_after_it() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let mut acknowledged = Vec::new();
    for round in 0..3_usize {
        let mut up = Up::start(folder.path())?;
        let api = configmaps(&up).await?;
        let (count, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let writers: Vec<_> = (0..8)
            .map(|n| tokio::spawn(write(api.clone(), round * 8 + n, count.clone(), stop.clone())))
            .collect();
        // Killed in the middle of writing, at another point each round.
        while count.load(Ordering::Acquire) < 50 + 37 * round {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        up.kill();
        stop.store(true, Ordering::Release);
        for writer in writers {
            acknowledged.extend(writer.await?);
        }
    }
    let up = Up::start(folder.path())?;
    let found = configmaps(&up).await?.list(&ListParams::default()).await?;
    let names: std::collections::HashSet<_> =
        found.items.into_iter().filter_map(|map| map.metadata.name).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|name| !names.contains(*name)).collect();
    assert!(acknowledged.len() > 150, "only {} writes were acknowledged", acknowledged.len());
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    Ok(())
}

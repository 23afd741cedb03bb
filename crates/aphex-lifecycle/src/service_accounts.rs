//! What every namespace starts with: a `default` service account and the cluster's CA certificate.
//!
//! Both come back when somebody deletes or changes them, as kube-controller-manager's
//! `serviceaccount-controller` and `root-ca-certificate-publisher-controller` do.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::api::ObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio_util::sync::CancellationToken;

/// The service account every namespace has.
const ACCOUNT: &str = "default";
/// The ConfigMap that carries the CA, and the key in it.
const CA_CONFIG_MAP: &str = "kube-root-ca.crt";
const CA_KEY: &str = "ca.crt";
const CA_DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/// Keeps both objects in every namespace until the token is cancelled.
pub async fn run(client: Client, ca_pem: String, stop: CancellationToken) {
    let namespaces = watcher(Api::<Namespace>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .filter_map(async |namespace| namespace.ok().filter(active).map(|n| n.name_any()))
        .boxed();
    let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    let accounts = watcher(Api::<ServiceAccount>::all(client.clone()), named(ACCOUNT))
        .default_backoff()
        .filter_map(async |event| deleted(event.ok()?))
        .boxed();
    let expected = ca_pem.clone();
    let certificates = watcher(Api::<ConfigMap>::all(client.clone()), named(CA_CONFIG_MAP))
        .default_backoff()
        .filter_map(move |event| std::future::ready(event.ok().and_then(|event| strayed(event, &expected))))
        .boxed();
    let mut work = futures::stream::select_all([namespaces, accounts, certificates]);
    loop {
        let namespace = tokio::select! {
            next = work.next() => match next { Some(namespace) => namespace, None => return },
            () = stop.cancelled() => return,
        };
        let mut wait = Duration::from_millis(50);
        while let Err(error) = furnish(&client, &namespace, &ca_pem).await {
            tracing::warn!(namespace.name = %namespace, %error, "cannot furnish the namespace; trying again");
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(Duration::from_secs(5)),
                () = stop.cancelled() => return,
            }
        }
    }
}

fn active(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_none()
}

fn deleted<K: kube::Resource>(event: watcher::Event<K>) -> Option<String> {
    match event {
        watcher::Event::Delete(object) => object.meta().namespace.clone(),
        _ => None,
    }
}

/// The namespace of a CA ConfigMap that went or no longer says what it should.
fn strayed(event: watcher::Event<ConfigMap>, ca_pem: &str) -> Option<String> {
    match event {
        watcher::Event::Delete(object) => object.namespace(),
        watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
            let same = object
                .data
                .as_ref()
                .is_some_and(|d| d.len() == 1 && d.get(CA_KEY).map(String::as_str) == Some(ca_pem));
            if same { None } else { object.namespace() }
        }
        _ => None,
    }
}

async fn furnish(client: &Client, namespace: &str, ca_pem: &str) -> Result<(), kube::Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    if !namespaces.get_opt(namespace).await?.as_ref().is_some_and(active) {
        return Ok(());
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    if accounts.get_metadata_opt(ACCOUNT).await?.is_none() {
        let account = ServiceAccount { metadata: named(ACCOUNT), ..ServiceAccount::default() };
        tolerate_existing(accounts.create(&crate::writing(), &account).await)?;
    }
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let data = BTreeMap::from([(CA_KEY.to_owned(), ca_pem.to_owned())]);
    match maps.get_opt(CA_CONFIG_MAP).await? {
        None => {
            let mut metadata = named(CA_CONFIG_MAP);
            let note = ("kubernetes.io/description".to_owned(), CA_DESCRIPTION.to_owned());
            metadata.annotations = Some(BTreeMap::from([note]));
            let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
            tolerate_existing(maps.create(&crate::writing(), &map).await)?;
        }
        Some(mut map) if map.data.as_ref() != Some(&data) => {
            map.data = Some(data);
            map.binary_data = None;
            maps.replace(CA_CONFIG_MAP, &crate::writing(), &map).await?;
        }
        Some(_) => {}
    }
    Ok(())
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// Somebody else was faster, or the namespace began to go: both are fine.
fn tolerate_existing<K>(result: Result<K, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404 | 409) => Ok(()),
        other => other.map(|_| ()),
    }
}

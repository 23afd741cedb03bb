//! The housekeeping of a cluster: what kube-controller-manager does for any kind of object.
//!
//! - [`collector`]: garbage collection by owner references (background, foreground, orphan).
//! - [`namespaces`]: a deleted namespace is emptied, waited for and finalised.
//! - [`service_accounts`]: each namespace has a `default` service account and the cluster's CA.
//!
//! Speaks only the Kubernetes API through a client, so the same code keeps house on the embedded API server
//! and beside a bare kube-apiserver. It runs no workloads and writes nothing while nothing changes.

pub mod catalog;
pub mod collector;
pub mod namespaces;
pub mod service_accounts;

use kube::Client;
use kube::api::{PatchParams, PostParams};
use tokio_util::sync::CancellationToken;

/// Who owns the fields that housekeeping writes.
const MANAGER: &str = "kube-controller-manager";

/// Parameters of every create and update.
pub(crate) fn writing() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

/// Parameters of every patch.
pub(crate) fn patching() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

/// Runs every housekeeping loop until the token is cancelled.
///
/// `ca_pem` is published to each namespace as `kube-root-ca.crt`.
pub async fn run(client: Client, ca_pem: String, stop: CancellationToken) {
    let catalog = catalog::Catalog::new(client.clone());
    tokio::join!(
        catalog.keep_fresh(stop.clone()),
        collector::run(client.clone(), catalog.clone(), stop.clone()),
        namespaces::run(client.clone(), catalog.clone(), stop.clone()),
        service_accounts::run(client, ca_pem, stop.clone()),
    );
}

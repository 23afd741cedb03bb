//! Desired state for tenants: the controllers of Organization, RepoBinding and Pipeline; and what KnowledgeBases track.
//!
//! Each controller is five steps, always in this order: `observe` (reads), `validate` (pure), `desired` (pure), `apply`
//! (writes, shared), `status` (pure). [`driver`] runs them for every object, whatever it was woken by, and publishes the
//! status. [`runs`] works otherwise, on what triggers make: it releases, cancels and deletes PipelineRuns. Everything goes through `kube::Client`, so the same code serves a cluster and the embedded engine.
//!
//! Invariants: an object of a user is never written but for its finalizer and status; what a user's spec cannot have is a
//! rejection in status, not an error; a steady state makes no write request.

pub mod apply;
pub mod catalog;
mod claims;
pub mod context;
pub mod driver;
pub mod knowledge_base;
pub mod metrics;
pub mod organization;
pub mod outcome;
pub mod pipeline;
pub mod plan;
pub mod repo_binding;
pub mod runs;
pub mod sensitive;
pub mod tunnels;
pub mod webhook_secret;

use std::sync::Arc;

use aphex_runtime::{Clock, Metrics, Shutdown};
use kube::Client;

pub use aphex_git::Policy as GitPolicy;
pub use catalog::{Catalog, CatalogError};
pub use context::{Context, GitSettings, IngressSettings, Settings};

/// Every kind that the controllers work with and that somebody has to define on the engine.
#[must_use]
pub fn defined_kinds() -> Vec<kube::api::ApiResource> {
    use apply::{DesiredSet as _, Kind};
    let own = [
        Kind::of::<aphex_api::organization::Organization>(),
        Kind::of::<aphex_api::repo_binding::RepoBinding>(),
        Kind::of::<aphex_api::pipeline::Pipeline>(),
        Kind::of::<aphex_api::knowledge_base::KnowledgeBase>(),
    ];
    let read = [
        Kind::of::<aphex_api::foreign::argocd::Application>(),
        Kind::of::<aphex_api::foreign::tekton::PipelineRun>(),
    ];
    let mut kinds: Vec<Kind> = organization::Desired::kinds();
    kinds.extend(repo_binding::Desired::kinds());
    kinds.extend(pipeline::Desired::kinds());
    kinds.extend(own.into_iter().chain(read));
    // Groups of Kubernetes' own kinds have no dot, or end in k8s.io.
    kinds.retain(|kind| kind.resource.group.contains('.') && !kind.resource.group.ends_with(".k8s.io"));
    kinds.sort();
    kinds.dedup();
    kinds.into_iter().map(|kind| kind.resource).collect()
}

/// Runs all controllers until shutdown, with the local exposure: webhooks arrive at the gateway's own address.
pub async fn run(client: Client, settings: Settings, metrics: &Metrics, shutdown: &Shutdown) {
    let tunnels = Arc::new(tunnels::Local::new(&settings.gateway_url));
    let context = Arc::new(Context::new(client, settings, Clock::system(), tunnels, metrics));
    run_with(context, shutdown).await;
}

/// Runs all controllers until shutdown, with everything they use given.
pub async fn run_with(context: Arc<Context>, shutdown: &Shutdown) {
    tokio::join!(
        driver::run(organization::Organizations, Arc::clone(&context), shutdown),
        driver::run(repo_binding::RepoBindings, Arc::clone(&context), shutdown),
        driver::run(pipeline::Pipelines, Arc::clone(&context), shutdown),
        driver::run(knowledge_base::KnowledgeBases, Arc::clone(&context), shutdown),
        Box::pin(runs::run(context, shutdown)),
    );
}

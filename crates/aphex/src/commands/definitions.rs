//! Which kinds a cluster lacks, said in words that name what to install.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aphex_runtime::{Shutdown, errors};
use kube::Client;
use kube::api::ApiResource;

/// Between two looks while something is missing.
const SOON: Duration = Duration::from_secs(5);
/// Between two looks when nothing is: definitions can be taken away.
const LATER: Duration = Duration::from_mins(1);

/// Looks which kinds are served until shutdown, and says what is missing; `ready` is met while those that `needed`
/// selects are served.
pub(crate) async fn watch(
    client: Client,
    kinds: Vec<ApiResource>,
    needed: impl Fn(&ApiResource) -> bool,
    ready: Arc<AtomicBool>,
    shutdown: Shutdown,
) {
    let stop = shutdown.token();
    let mut said = BTreeSet::new();
    loop {
        let mut pause = SOON;
        let Some(missing) = stop.run_until_cancelled(missing(&client, &kinds)).await else { return };
        match missing {
            Ok(missing) => {
                for kind in &missing {
                    if said.insert(name(kind)) {
                        let remedy = installed_with(&kind.group);
                        tracing::warn!(kind = name(kind), "the cluster does not serve this kind: {remedy}");
                    }
                }
                for kind in kinds.iter().filter(|kind| !missing.contains(kind)) {
                    if said.remove(&name(kind)) {
                        tracing::info!(kind = name(kind), "the cluster serves this kind now");
                    }
                }
                ready.store(!missing.iter().any(|kind| needed(kind)), Ordering::Release);
                if missing.is_empty() {
                    pause = LATER;
                }
            }
            Err(error) => {
                tracing::warn!(
                    error = errors::chain(&error),
                    "cannot find out which kinds the cluster serves"
                );
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Whether a kind is one of the platform's own.
pub(crate) fn is_own(kind: &ApiResource) -> bool {
    matches!(kind.group.as_str(), "aphex.io" | "platform.dev")
}

/// Those of the kinds that a cluster does not serve.
pub(crate) async fn missing<'a>(
    client: &Client,
    kinds: &'a [ApiResource],
) -> kube::Result<Vec<&'a ApiResource>> {
    let versions: BTreeSet<&str> = kinds.iter().map(|kind| kind.api_version.as_str()).collect();
    let mut missing = Vec::new();
    for version in versions {
        let served = match client.list_api_group_resources(version).await {
            Ok(list) => list.resources,
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(error) => return Err(error),
        };
        let of_version = kinds.iter().filter(|kind| kind.api_version == version);
        missing.extend(of_version.filter(|kind| !served.iter().any(|served| served.name == kind.plural)));
    }
    Ok(missing)
}

fn name(kind: &ApiResource) -> String {
    format!("{} ({})", kind.kind, kind.api_version)
}

/// What brings kinds of a group.
pub(crate) fn installed_with(group: &str) -> &'static str {
    match group {
        "aphex.io" | "platform.dev" => {
            "apply the platform's own definitions (kubectl apply -k platform/crds)"
        }
        "tekton.dev" => "install Tekton Pipelines",
        "triggers.tekton.dev" => "install Tekton Triggers",
        "argoproj.io" => "install Argo CD",
        "external-secrets.io" => "install External Secrets",
        _ => "install its definition",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_every_kind_that_a_role_works_with_it_is_known_who_brings_it() {
        for kind in aphex_controllers::defined_kinds().iter().chain(&aphex_gateway::defined_kinds()) {
            assert_ne!(installed_with(&kind.group), installed_with(""), "{}", name(kind));
        }
    }
}

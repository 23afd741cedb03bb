//! `aphex repo check`: the way of a push, from the name of the webhook's host to the run, walked step by step.
//!
//! What it sends are dry runs: the gateway decides about them wholly, has the engine check what would be created, and
//! stores nothing (`aphex_gateway::rehearsal`). What it reads, it reads as the caller; what the caller may not read is skipped.

mod engine;
mod network;
mod probe;

use anyhow::Context as _;
use aphex_api::repo_binding::{RepoBinding, RepoBindingPhase};
use kube::{Api, Client};

use crate::cli::{CheckRepo, Global};
use crate::commands::report::{Check, Report};
use crate::{connect, exit};

pub(super) async fn run(global: &Global, arguments: CheckRepo) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    let binding = find(&client, &arguments).await?;
    let mut report = Report::default();
    let status = binding.status.clone().unwrap_or_default();
    report.add(ready(&binding));
    let url = arguments.url.or(status.webhook_url);
    let secret = status.webhook_secret;
    // What is there decides what helps against what a probe meets.
    let mut objects = Report::default();
    engine::walk(&client, &binding, &mut objects).await;
    match &url {
        Some(url) => {
            let reached = network::walk(url, &describe(&binding), &mut report).await;
            probe::walk(&binding, url, secret.as_deref(), reached, &objects, &mut report).await;
        }
        None => report.add(Check::fail(
            "webhook",
            "the binding's status names no webhook URL yet",
            "wait until the binding is Ready, or give --url",
        )),
    }
    report.append(objects);
    report.print(&global.output)?;
    match report.failed() {
        0 => Ok(()),
        failed => {
            let message = format!("{failed} of {} steps failed: each says what to do", report.len());
            Err(exit::Coded { code: exit::FAILURE, message }.into())
        }
    }
}

/// The command that shows what the binding's listener and exposure belong to.
fn describe(binding: &RepoBinding) -> String {
    let name = binding.metadata.name.as_deref().unwrap_or_default();
    match &binding.spec.aphex_org {
        Some(organization) => format!("`aphex describe org {organization}`"),
        None => format!("`aphex describe repo {name}`"),
    }
}

async fn find(client: &Client, arguments: &CheckRepo) -> anyhow::Result<RepoBinding> {
    let CheckRepo { name, namespace, .. } = arguments;
    let bindings: Api<RepoBinding> = Api::namespaced(client.clone(), namespace);
    let found = bindings.get_opt(name).await.with_context(|| format!("cannot get binding {name:?}"))?;
    found.ok_or_else(|| {
        let message = format!("no binding {name:?} in {namespace}: `aphex repo list` shows what is there");
        exit::Coded { code: exit::NOT_FOUND, message }.into()
    })
}

fn ready(binding: &RepoBinding) -> Check {
    let name = binding.metadata.name.as_deref().unwrap_or_default();
    match &binding.status {
        Some(status) if status.phase == RepoBindingPhase::Ready => {
            Check::ok("binding", &format!("{name} is Ready"))
        }
        Some(status) => Check::fail(
            "binding",
            &format!("{name} is {:?}: {}", status.phase, status.message),
            &format!("`aphex describe repo {name}` says what it waits for"),
        ),
        None => Check::fail(
            "binding",
            &format!("{name} has no status"),
            "see that the controllers run: kubectl get pods -n platform-system, or `aphex up`",
        ),
    }
}

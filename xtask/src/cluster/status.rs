//! What runs of a cluster.

use std::fs;

use anyhow::bail;

use super::Kind;
use super::launch::{self, Place};
use super::sandbox;
use super::state::{Record, State};
use crate::run::say;

/// Whether everything of a cluster runs.
pub(super) fn alive(state: &State, record: &Record) -> bool {
    services(state, record).iter().all(|(_, problem)| problem.is_none())
}

/// Prints what a cluster is and how its services are; fails when one has ended.
pub(super) fn show(state: &State) -> anyhow::Result<()> {
    let Some(record) = state.record()? else {
        bail!("there is no cluster {:?}", state.name());
    };
    let kind = match record.kind {
        Kind::Api { controllers: false } => "the API",
        Kind::Api { controllers: true } => "the API and controllers",
        Kind::Node => "a node",
    };
    say(&format!(
        "cluster     {} ({kind}{})",
        state.name(),
        if record.complete { "" } else { ", left half-way" }
    ));
    say(&format!("server      {}", record.server));
    say(&format!("kubeconfig  {}", state.path("kubeconfig").display()));
    if let Some(network) = &record.network {
        say(&format!(
            "network     node {}, this machine {} ({})",
            network.node, network.host, network.interface
        ));
    }
    let services = services(state, &record);
    for (name, problem) in &services {
        say(&format!("{name:24} {}", problem.as_deref().unwrap_or("runs")));
    }
    if services.iter().any(|(_, problem)| problem.is_some()) {
        bail!("the cluster {:?} does not work as a whole", state.name());
    }
    Ok(())
}

/// Every service that was started, and what is wrong with it.
fn services(state: &State, record: &Record) -> Vec<(String, Option<String>)> {
    let place = if record.kind == Kind::Node { Place::Node } else { Place::Here };
    let mut names: Vec<String> = fs::read_dir(state.path("log"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".log")?.to_owned()))
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let place = if name == sandbox::INIT { Place::Here } else { place };
            let problem = launch::still_runs(state, place, &name).err().map(|error| first_line(&error));
            (name, problem)
        })
        .collect()
}

/// An error without the last lines of a log.
fn first_line(error: &anyhow::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_end_matches(", last lines:").to_owned()
}

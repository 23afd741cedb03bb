//! `aphex run cancel`: asks Tekton to stop a run, by its `spec.status` (docs/pipelineruns.md, "Cancelling a PipelineRun").

use anyhow::Context as _;
use aphex_api::foreign::tekton::PipelineRun;
use kube::api::{Patch, PatchParams};
use kube::core::ApiResource;
use serde_json::json;

use super::SHOWN;
use crate::cli::{Cancel, Global, Grace};
use crate::commands::apply::MANAGER;
use crate::commands::look;
use crate::output::{self, say};
use crate::rights::{self, Wish};
use crate::{connect, exit};

pub(super) async fn run(global: &Global, arguments: &Cancel) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    let resource = ApiResource::erase::<PipelineRun>(&());
    let name = &arguments.name;
    let found = look::must_find(&client, &resource, name, arguments.namespace.as_deref(), &SHOWN).await?;
    let namespace = found.metadata.namespace.clone().unwrap_or_default();
    let state = look::text(&super::state_of_run(&serde_json::to_value(&found)?), "/state");
    if matches!(state.as_str(), "Succeeded" | "Failed") {
        let message = format!("run {name:?} has ended already ({state}): there is nothing to cancel");
        return Err(exit::Coded { code: exit::REFUSED, message }.into());
    }
    rights::ensure(&client, Wish::new("patch", &resource, &namespace).named(name)).await?;
    let wanted = match arguments.grace {
        None => "Cancelled",
        Some(Grace::CancelledRunFinally) => "CancelledRunFinally",
        Some(Grace::StoppedRunFinally) => "StoppedRunFinally",
    };
    // The version makes sure that a run that ended meanwhile is not marked.
    let patch = json!({
        "metadata": { "resourceVersion": found.metadata.resource_version },
        "spec": { "status": wanted },
    });
    let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patched = look::api(&client, &resource, Some(&namespace))
        .patch(name, &parameters, &Patch::Merge(patch))
        .await
        .with_context(|| format!("cannot cancel run {name:?} in {namespace}"))?;
    let value = look::value(patched, &resource)?;
    let title = output::title(&value);
    output::answer(&global.output, &value, &title, || say(&format!("{title} {}", said(arguments.grace))))
}

fn said(grace: Option<Grace>) -> &'static str {
    match grace {
        None => "cancelled",
        Some(Grace::CancelledRunFinally) => "cancelled; its finally tasks run",
        Some(Grace::StoppedRunFinally) => "stopped; what runs ends by itself, then its finally tasks run",
    }
}

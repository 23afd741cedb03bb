//! `aphex logs`: what the steps of a run print, as `tkn pipelinerun logs` shows it.
//!
//! A run has TaskRuns (label `tekton.dev/pipelineRun`), a TaskRun names its pod, and each step is a container `step-<name>` of it.
//! With `-f`, tasks are followed side by side, each from its first step to its last, until the run has ended.

mod follow;
mod tail;

use anyhow::Context as _;
use aphex_api::foreign::tekton::PipelineRun;
use kube::api::{DynamicObject, GroupVersionKind, ListParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use serde_json::Value;

use super::describe::state_of_run;
use super::look::{self, text};
use super::run::SHOWN;
use crate::cli::{Global, Logs};
use crate::output::note;
use crate::{connect, exit};
use tail::{Printer, Tail};

/// Label on TaskRuns: their run.
const RUN: &str = "tekton.dev/pipelineRun";
/// Label on TaskRuns: the pipeline's name for the task.
const TASK: &str = "tekton.dev/pipelineTask";

pub(crate) async fn run(global: &Global, arguments: Logs) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    let run = chosen(&client, &arguments).await?;
    let (namespace, name) = (text(&run, "/metadata/namespace"), look::name(&run).to_owned());
    let mut found = task_runs(&client, &namespace, &name).await?;
    found.retain(|task| wanted(task, &arguments.tasks));
    if found.is_empty() && (!arguments.follow || is_embedded(&client).await || has_ended(&run)) {
        return Err(nothing(&client, &run, &arguments).await.into());
    }
    let printer = Printer::new(arguments.no_prefix, arguments.timestamps);
    if arguments.follow {
        follow::run(&client, &namespace, &name, &arguments, &printer).await
    } else {
        found.sort_by_key(|task| text(task, "/metadata/creationTimestamp"));
        for task in &found {
            Tail { client: &client, namespace: &namespace, printer: &printer, follow: false }
                .print(task)
                .await?;
        }
        let state = state_of_run(&run);
        if !has_ended(&run) {
            note(&format!(
                "run {name} is {}; `aphex logs -f {name} -n {namespace}` follows it",
                text(&state, "/state")
            ));
        }
        Ok(())
    }
}

/// The run that was named, or the newest.
async fn chosen(client: &Client, arguments: &Logs) -> anyhow::Result<Value> {
    let resource = ApiResource::erase::<PipelineRun>(&());
    let namespace = arguments.namespace.as_deref();
    if let Some(name) = &arguments.run {
        let found = look::must_find(client, &resource, name, namespace, &SHOWN).await?;
        return look::value(found, &resource);
    }
    let runs = look::api(client, &resource, look::place(client, namespace))
        .list(&ListParams::default())
        .await
        .context("cannot list runs")?;
    let newest = runs.items.into_iter().max_by(|a, b| made(a).cmp(&made(b)));
    let found = newest.ok_or_else(|| exit::Coded {
        code: exit::NOT_FOUND,
        message: "there is no run yet: a push starts one, `aphex push BINDING` sends one".to_owned(),
    })?;
    look::value(found, &resource)
}

/// By the second of its making, then by name, so that the choice is always the same.
fn made(run: &DynamicObject) -> (Option<jiff::Timestamp>, Option<&str>) {
    (run.metadata.creation_timestamp.as_ref().map(|time| time.0), run.metadata.name.as_deref())
}

/// TaskRuns of Tekton.
fn tasks(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "TaskRun"));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

async fn task_runs(client: &Client, namespace: &str, run: &str) -> anyhow::Result<Vec<Value>> {
    let of_run = ListParams::default().labels(&format!("{RUN}={run}"));
    match tasks(client, namespace).list(&of_run).await {
        Ok(list) => Ok(list.items.iter().map(serde_json::to_value).collect::<Result<_, _>>()?),
        // Where the kind is not served, no task runs.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => {
            Err(anyhow::Error::new(error)
                .context(format!("cannot list the tasks of run {run:?} in {namespace}")))
        }
    }
}

/// What the pipeline calls the task of a TaskRun.
fn task_name(task: &Value) -> String {
    match task["metadata"]["labels"][TASK].as_str() {
        Some(name) => name.to_owned(),
        None => look::name(task).to_owned(),
    }
}

fn wanted(task: &Value, only: &[String]) -> bool {
    only.is_empty() || only.contains(&task_name(task))
}

fn has_ended(run: &Value) -> bool {
    matches!(state_of_run(run)["state"].as_str(), Some("Succeeded" | "Failed"))
}

/// Whether the engine is the one of `aphex up`, as its version tells.
async fn is_embedded(client: &Client) -> bool {
    client.apiserver_version().await.is_ok_and(|version| version.compiler == "rustc")
}

/// Why there is nothing to print.
async fn nothing(client: &Client, run: &Value, arguments: &Logs) -> exit::Coded {
    let name = look::name(run);
    let state = state_of_run(run);
    let why = if !arguments.tasks.is_empty() {
        format!("no task {} of it has begun", arguments.tasks.join(", "))
    } else if is_embedded(client).await {
        "nothing ran: the run was made, but this engine (`aphex up`) starts no pods; on a cluster Tekton runs it"
            .to_owned()
    } else if has_ended(run) {
        format!("it ended before any task began: {}", text(&state, "/message"))
    } else {
        format!(
            "no task has begun yet; follow it with -f, and see that Tekton runs on the cluster{}",
            match text(&state, "/message") {
                none if none.is_empty() => String::new(),
                message => format!(" (the run says: {message})"),
            }
        )
    };
    exit::Coded { code: exit::NOT_FOUND, message: format!("run {name:?} has no logs: {why}") }
}

//! Following a run: every task as it begins, side by side, until the run has ended.

use std::collections::HashSet;
use std::pin::pin;

use anyhow::Context as _;
use aphex_api::foreign::tekton::PipelineRun;
use futures::stream::FuturesUnordered;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::Client;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::runtime::wait::await_condition;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::Value;

use super::tail::{Printer, Tail};
use super::{RUN, has_ended, task_runs, tasks, wanted};
use crate::cli::Logs;
use crate::commands::describe::state_of_run;
use crate::commands::look::{self, text};
use crate::output::{note, value};

pub(super) async fn run(
    client: &Client,
    namespace: &str,
    name: &str,
    arguments: &Logs,
    printer: &Printer,
) -> anyhow::Result<()> {
    let tail = Tail { client, namespace, printer, follow: true };
    let config = watcher::Config::default().labels(&format!("{RUN}={name}"));
    let mut arriving =
        pin!(watcher::watcher(tasks(client, namespace), config).default_backoff().applied_objects());
    let mut ended = pin!(end(client, namespace, name));
    let mut known = HashSet::new();
    let mut following = FuturesUnordered::new();
    let last = loop {
        tokio::select! {
            task = arriving.try_next() => {
                let task = task.with_context(|| format!("cannot watch the tasks of run {name:?}"))?;
                let Some(task) = task else { continue };
                let task = serde_json::to_value(task)?;
                if wanted(&task, &arguments.tasks) && known.insert(look::name(&task).to_owned()) {
                    following.push(followed(&tail, task));
                }
            }
            Some(done) = following.next() => done?,
            run = &mut ended => break run?,
        }
    };
    // What began just before the end may not have been told of yet.
    for task in task_runs(client, namespace, name).await? {
        if wanted(&task, &arguments.tasks) && known.insert(look::name(&task).to_owned()) {
            following.push(followed(&tail, task));
        }
    }
    while let Some(done) = following.next().await {
        done?;
    }
    note(&value(&outcome(name, last.as_ref())));
    Ok(())
}

async fn followed(tail: &Tail<'_>, task: Value) -> anyhow::Result<()> {
    tail.print(&task).await
}

/// The run, once it has ended; nothing when it was deleted.
async fn end(client: &Client, namespace: &str, name: &str) -> anyhow::Result<Option<Value>> {
    let resource = ApiResource::erase::<PipelineRun>(&());
    let runs = look::api(client, &resource, Some(namespace));
    let ended = |run: Option<&DynamicObject>| {
        run.is_none_or(|run| serde_json::to_value(run).is_ok_and(|run| has_ended(&run)))
    };
    let found =
        await_condition(runs, name, ended).await.with_context(|| format!("cannot watch run {name:?}"))?;
    Ok(found.map(serde_json::to_value).transpose()?)
}

fn outcome(name: &str, run: Option<&Value>) -> String {
    let Some(run) = run else { return format!("run {name} was deleted") };
    let state = state_of_run(run);
    format!("run {name} {}: {}", text(&state, "/state"), text(&state, "/message"))
}

//! The steps of one task, from first to last.

use std::cell::RefCell;

use anyhow::Context as _;
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::LogParams;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::Value;

use super::{task_name, tasks};
use crate::commands::look::{self, text};
use crate::output::{self, note, value};

/// What the names of containers that are steps begin with (Tekton's pkg/pod).
const STEP: &str = "step-";
/// Colours of tasks, in turn.
const COLOURS: [&str; 6] = ["36", "33", "32", "35", "34", "31"];

/// Prints lines with the task's name before them, in a colour of its own.
pub(super) struct Printer {
    bare: bool,
    timestamps: bool,
    seen: RefCell<Vec<String>>,
}

impl Printer {
    pub(super) fn new(bare: bool, timestamps: bool) -> Self {
        Self { bare, timestamps, seen: RefCell::default() }
    }

    /// Prints a line; tells whether somebody still reads.
    fn line(&self, task: &str, step: &str, line: &str) -> bool {
        if self.bare {
            return output::print_on(line);
        }
        let prefix = output::paint_answer(&prefix(task, step), self.colour(task));
        output::pass_on(&prefix, line)
    }

    fn colour(&self, task: &str) -> &'static str {
        let mut seen = self.seen.borrow_mut();
        let place = seen.iter().position(|one| one == task).unwrap_or_else(|| {
            seen.push(task.to_owned());
            seen.len() - 1
        });
        COLOURS[place % COLOURS.len()]
    }
}

fn prefix(task: &str, step: &str) -> String {
    format!("[{task} : {step}]")
}

/// How the logs of a task are read.
pub(super) struct Tail<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
    pub(super) printer: &'a Printer,
    /// Wait for what is not there yet, and go on until it ends.
    pub(super) follow: bool,
}

impl Tail<'_> {
    /// Prints the steps of a TaskRun.
    pub(super) async fn print(&self, task: &Value) -> anyhow::Result<()> {
        let label = task_name(task);
        let Some(pod_name) = self.pod_of(task).await? else { return Ok(()) };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), self.namespace);
        let what = || format!("cannot read pod {pod_name} of task {label}");
        let pod = if self.follow {
            await_condition(pods.clone(), &pod_name, |pod: Option<&Pod>| pod.is_some())
                .await
                .with_context(what)?
        } else {
            pods.get_opt(&pod_name).await.with_context(what)?
        };
        let Some(pod) = pod else {
            note(&format!("[{label}] the pod {pod_name} is gone, and its logs with it"));
            return Ok(());
        };
        for container in steps(&pod) {
            if !self.step(&pods, &pod_name, &label, &container).await? {
                break;
            }
        }
        Ok(())
    }

    /// The pod of a TaskRun; none where it ended without one.
    async fn pod_of(&self, task: &Value) -> anyhow::Result<Option<String>> {
        let named = |task: &Value| Some(text(task, "/status/podName")).filter(|name| !name.is_empty());
        if let Some(name) = named(task) {
            return Ok(Some(name));
        }
        if !self.follow {
            return Ok(None);
        }
        let (objects, name) = (tasks(self.client, self.namespace), look::name(task));
        let settled = |task: Option<&kube::api::DynamicObject>| {
            task.is_none_or(|task| {
                let ended = task.data.pointer("/status/completionTime").is_some();
                ended || task.data.pointer("/status/podName").is_some_and(|name| name != "")
            })
        };
        let found = await_condition(objects, name, settled)
            .await
            .with_context(|| format!("cannot watch the task {name:?}"))?;
        let Some(found) = found else { return Ok(None) };
        let found = serde_json::to_value(found)?;
        if named(&found).is_none() {
            note(&value(&format!("[{}] no pod: {}", task_name(task), reason(&found))));
        }
        Ok(named(&found))
    }

    /// Prints one step; tells whether there is reason to go on to the next.
    async fn step(&self, pods: &Api<Pod>, pod: &str, task: &str, container: &str) -> anyhow::Result<bool> {
        let step = container.strip_prefix(STEP).unwrap_or(container);
        if self.follow {
            let begun = |pod: Option<&Pod>| pod.is_none_or(|pod| has_begun(pod, container));
            await_condition(pods.clone(), pod, begun)
                .await
                .with_context(|| format!("cannot watch pod {pod} of task {task}"))?;
        }
        let parameters = LogParams {
            container: Some(container.to_owned()),
            follow: self.follow,
            timestamps: self.printer.timestamps,
            ..LogParams::default()
        };
        let stream = match pods.log_stream(pod, &parameters).await {
            Ok(stream) => stream,
            // 400: the container waits to begin, or never did; 404: the pod went meanwhile.
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404) => {
                note(&value(&format!("{} no output: {}", prefix(task, step), status.message)));
                return Ok(status.code != 404);
            }
            Err(error) => {
                return Err(anyhow::Error::new(error)
                    .context(format!("cannot read the logs of step {step} of task {task} (pod {pod})")));
            }
        };
        let mut lines = stream.lines();
        while let Some(line) = lines
            .try_next()
            .await
            .with_context(|| format!("the logs of step {step} of task {task} broke off"))?
        {
            if !self.printer.line(task, step, &line) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Why a TaskRun has no pod, in its own words.
fn reason(task: &Value) -> String {
    let conditions = task.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == "Succeeded");
    found.and_then(|condition| condition["message"].as_str()).unwrap_or("it ended").to_owned()
}

/// The containers of a pod that are steps, in their order.
fn steps(pod: &Pod) -> Vec<String> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.map(|container| container.name.clone()).filter(|name| name.starts_with(STEP)).collect()
}

/// Whether a container runs, has run, or never will.
fn has_begun(pod: &Pod, container: &str) -> bool {
    let Some(status) = &pod.status else { return false };
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return true;
    }
    let begun = |one: &ContainerStatus| {
        one.name == container
            && one.state.as_ref().is_some_and(|s| s.running.is_some() || s.terminated.is_some())
    };
    status.container_statuses.iter().flatten().any(begun)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: &Value) -> Pod {
        let spec = json!({ "containers": [{ "name": "step-clone" }, { "name": "sidecar" }, { "name": "step-build" }] });
        serde_json::from_value(json!({ "spec": spec, "status": status })).unwrap()
    }

    #[test]
    fn steps_are_the_containers_that_tekton_names_so_in_order() {
        assert_eq!(steps(&pod(&json!({}))), ["step-clone", "step-build"]);
    }

    #[test]
    fn a_step_has_begun_once_its_container_runs_or_the_pod_has_ended() {
        let begun = |status: Value| has_begun(&pod(&status), "step-build");
        let with = |state: Value| {
            json!({ "phase": "Running", "containerStatuses": [
                { "name": "step-build", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state }
            ] })
        };
        assert!(!begun(json!({ "phase": "Pending" })));
        assert!(!begun(with(json!({ "waiting": { "reason": "PodInitializing" } }))));
        assert!(begun(with(json!({ "running": {} }))));
        assert!(begun(with(json!({ "terminated": { "exitCode": 1 } }))));
        assert!(begun(json!({ "phase": "Failed" })));
    }

    #[test]
    fn every_task_keeps_its_colour() {
        let printer = Printer::new(false, false);
        let colours = ["build", "test", "build"].map(|task| printer.colour(task));
        assert_eq!(colours[0], colours[2]);
        assert_ne!(colours[0], colours[1]);
    }
}

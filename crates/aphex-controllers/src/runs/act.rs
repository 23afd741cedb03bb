//! Doing it: the only requests of this controller besides its two watches.

use aphex_api::foreign::tekton::{CANCELLED, CANCELLED_RUN_FINALLY, PipelineRun};
use aphex_api::labels;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::plan::{Action, Run, State};

/// The engine did not do what was asked of a run.
#[derive(Debug, thiserror::Error)]
#[error("cannot change PipelineRun {name}, or its volume")]
pub(super) struct ActError {
    name: String,
    #[source]
    source: Box<kube::Error>,
}

/// Whether the engine did what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It did.
    Done,
    /// The run is gone, or is not what it was, as the watch will tell; or the engine was busy with it.
    Overtaken,
}

/// Does one thing to a run, provided that it is still what the watch told last.
pub(super) async fn act(client: &Client, namespace: &str, action: &Action) -> Result<Answer, ActError> {
    let api: Api<PipelineRun> = Api::namespaced(client.clone(), namespace);
    let run = action.run();
    let answer = match (action, patch(action)) {
        (_, Some(patch)) => {
            let parameters = PatchParams {
                field_manager: Some(labels::FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            api.patch_metadata(&run.name, &parameters, &Patch::Merge(patch)).await.map(drop)
        }
        (Action::Free { volume, .. }, None) => {
            let volumes: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
            volumes.delete(&volume.name, &exactly(&volume.uid)).await.map(drop)
        }
        (_, None) => api.delete(&run.name, &exactly(&run.uid)).await.map(drop),
    };
    match answer {
        Ok(()) => Ok(Answer::Done),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Answer::Overtaken),
        Err(source) => Err(ActError { name: format!("{namespace}/{}", run.name), source: Box::new(source) }),
    }
}

/// Deletes the object that was looked at, and no later one of its name.
fn exactly(uid: &str) -> DeleteParams {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() }
}

/// The change of a run that stays.
fn patch(action: &Action) -> Option<Value> {
    let same = |run: &Run| json!({ "uid": run.uid, "resourceVersion": run.version });
    match action {
        Action::Release(run) => Some(json!({ "metadata": same(run), "spec": { "status": null } })),
        Action::Cancel { run, by } => {
            // What never began has nothing that its `finally` tasks could tidy up.
            let status = if run.state == State::Queued { CANCELLED } else { CANCELLED_RUN_FINALLY };
            let mut metadata = same(run);
            metadata["annotations"] = json!({ labels::SUPERSEDED_BY: by });
            Some(json!({ "metadata": metadata, "spec": { "status": status } }))
        }
        Action::Delete(_) | Action::Free { .. } => None,
    }
}

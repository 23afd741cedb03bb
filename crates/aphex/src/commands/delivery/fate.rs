//! What became of the runs that a delivery made, as far as it shows now.
//!
//! The run itself says most. That it waited for its turn, or gave way to a newer one, is in the Delivery as well, which
//! stays when the run is gone.

use std::collections::BTreeMap;

use aphex_api::delivery::{ConcurrencyVerdict, CreatedObject, Delivery, RunConcurrency};
use aphex_api::foreign::tekton::PipelineRun;
use aphex_api::labels;
use futures::StreamExt as _;
use kube::Client;
use kube::core::ApiResource;
use serde_json::Value;

use super::explain::title_of;
use crate::commands::describe::state_of_run;
use crate::commands::look::{self, text};

/// What became of objects, by their titles.
pub(super) type Fates = BTreeMap<String, String>;

const WAITS: &str = "which waits for its turn";
/// Runs that are asked for at once.
const PARALLEL: usize = 8;

/// What became of a delivery's runs; of those that one may not read, what the delivery itself says.
pub(super) async fn fates(client: &Client, delivery: &Delivery) -> Fates {
    let resource = ApiResource::erase::<PipelineRun>(&());
    let status = delivery.status.clone().unwrap_or_default();
    let is_run = |object: &CreatedObject| {
        object.kind == resource.kind && object.api_version.starts_with(&format!("{}/", resource.group))
    };
    let runs: Vec<CreatedObject> = status.created.into_iter().filter(is_run).collect();
    let asked = runs.into_iter().map(|run| {
        let api = look::api(client, &resource, run.namespace.as_deref());
        async move {
            let said = run.concurrency.as_ref();
            let fate = match api.get_opt(&run.name).await {
                Ok(Some(found)) => fate(&serde_json::to_value(found).ok()?),
                Ok(None) => Some(gone(said)),
                Err(_) => said.map(unread),
            };
            Some((title_of(&run), fate?))
        }
    });
    futures::stream::iter(asked).buffer_unordered(PARALLEL).filter_map(std::future::ready).collect().await
}

/// What there is to say of a run that is gone.
fn gone(said: Option<&RunConcurrency>) -> String {
    match said {
        None => "which is there no more".to_owned(),
        Some(said) if said.verdict == ConcurrencyVerdict::Waiting => {
            "which waited for its turn, and is there no more".to_owned()
        }
        Some(said) => format!("{}, and is there no more", unread(said)),
    }
}

/// What the delivery alone says of a run.
fn unread(said: &RunConcurrency) -> String {
    match said.verdict {
        ConcurrencyVerdict::Waiting => WAITS.to_owned(),
        ConcurrencyVerdict::Released => "which had its turn".to_owned(),
        ConcurrencyVerdict::Withdrawn => "which somebody ended while it waited for its turn".to_owned(),
        ConcurrencyVerdict::Superseded => {
            format!("superseded by {}", said.superseded_by.as_deref().unwrap_or("a newer run"))
        }
    }
}

/// What there is to say of a run that is there.
fn fate(run: &Value) -> Option<String> {
    let annotation = |name: &str| run["metadata"]["annotations"][name].as_str();
    if let Some(newer) = annotation(labels::SUPERSEDED_BY) {
        return Some(format!("superseded by {newer}"));
    }
    let waits = run["spec"]["status"] == "PipelineRunPending";
    if waits && annotation(labels::QUEUED).is_some() {
        return Some(WAITS.to_owned());
    }
    let state = state_of_run(run);
    let (word, reason) = (text(&state, "/state"), text(&state, "/reason"));
    match (word.as_str(), reason) {
        ("Pending", _) => None,
        (_, reason) if reason.is_empty() || reason == word => Some(word),
        (_, reason) => Some(format!("{word} ({reason})")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_run_that_is_gone_the_delivery_says_whether_it_waited_or_gave_way() {
        assert_eq!(gone(None), "which is there no more");
        let cases = [
            (
                RunConcurrency::WAITING,
                "which waits for its turn",
                "which waited for its turn, and is there no more",
            ),
            (RunConcurrency::RELEASED, "which had its turn", "which had its turn, and is there no more"),
            (
                RunConcurrency::WITHDRAWN,
                "which somebody ended while it waited for its turn",
                "which somebody ended while it waited for its turn, and is there no more",
            ),
            (
                RunConcurrency::superseded("web-2"),
                "superseded by web-2",
                "superseded by web-2, and is there no more",
            ),
        ];
        for (said, now, after) in cases {
            assert_eq!((unread(&said).as_str(), gone(Some(&said)).as_str()), (now, after));
        }
    }

    #[test]
    fn a_run_says_whether_it_waits_gave_way_or_ended() {
        let run = |annotations: Value, status: &str, condition: Value| {
            fate(&json!({
                "metadata": { "name": "r", "annotations": annotations }, "spec": { "status": status },
                "status": { "conditions": [condition] },
            }))
        };
        let queued = json!({ "platform.aphex/queued": "true" });
        assert_eq!(run(json!({}), "", json!({})), None);
        assert_eq!(
            run(queued.clone(), "PipelineRunPending", json!({})).as_deref(),
            Some("which waits for its turn")
        );
        let done = json!({ "type": "Succeeded", "status": "True", "reason": "Completed" });
        assert_eq!(run(queued, "", done).as_deref(), Some("Succeeded (Completed)"));
        let running = json!({ "type": "Succeeded", "status": "Unknown", "reason": "Running" });
        assert_eq!(run(json!({}), "", running.clone()).as_deref(), Some("Running"));
        let superseded = json!({ "platform.aphex/superseded-by": "web-2" });
        assert_eq!(run(superseded, "CancelledRunFinally", running).as_deref(), Some("superseded by web-2"));
    }
}

//! What is done to a pod by creating something below it: binding it to a node, evicting it.
//!
//! `pkg/registry/core/pod/storage` of Kubernetes 1.35. Handlers are chosen by subresource, as everywhere here.

use std::sync::Arc;

use aphex_store::List;
use http::Response;
use serde_json::{Value, json};

use super::delete::{self, Deleted};
use crate::body::Body;
use crate::call::Call;
use crate::codec;
use crate::object;
use crate::request::{DeleteOptions, WriteOptions};
use crate::respond;
use crate::status::Status;
use crate::write::{self, Change, Modified};

const BUDGETS: &str = "poddisruptionbudgets";
/// More pods than this may not be on their way out under one budget.
const MOST_DISRUPTED: usize = 2000;

/// `pods/binding`: gives a pod its node.
pub(super) async fn bind(call: &Call) -> Result<Response<Body>, Status> {
    let options = WriteOptions::parse(&call.query, "CreateOptions", call.user_agent())?;
    let binding = write::read_object(call, options.field_validation)?;
    let target = |field: &str| {
        object::at(&binding, "target").and_then(|target| target.get(field)).and_then(Value::as_str)
    };
    let kind = target("kind").unwrap_or_default();
    if !matches!(kind, "" | "Node") {
        let why =
            format!("target.kind: Unsupported value: \"{kind}\": supported values: \"Node\", \"<empty>\"");
        return Err(Status::new(500, "", why));
    }
    let Some(node) = target("name").filter(|name| !name.is_empty()) else {
        return Err(Status::new(500, "", "target.name: Required value"));
    };
    let now = call.server.now();
    let edit = |live: &Value| {
        let refused = |why: String| Err(Status::conflict("", "pods/binding", call.name(), &why));
        if object::is_deleting(live) {
            return refused(format!("pod {} is being deleted, cannot be assigned to a host", call.name()));
        }
        let bound = object::at(live, "spec.nodeName").and_then(Value::as_str).unwrap_or_default();
        if !bound.is_empty() {
            return refused(format!("pod {} is already assigned to node \"{bound}\"", call.name()));
        }
        let mut pod = live.clone();
        object::set_at(&mut pod, "spec.nodeName", Value::from(node));
        for (name, value) in
            object::meta(&binding, "annotations").and_then(Value::as_object).into_iter().flatten()
        {
            let annotations = object::meta_map(&mut pod).entry("annotations").or_insert_with(|| json!({}));
            object::map(annotations).insert(name.clone(), value.clone());
        }
        add_condition(&mut pod, json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": now}));
        Ok(pod)
    };
    match write::modify(call, &options, Change::Applied, edit).await? {
        Modified::Object(_) => Ok(done(call)),
        Modified::Absent => Err(call.not_found()),
    }
}

/// `pods/eviction`: deletes a pod unless a disruption budget speaks against it.
pub(super) async fn evict(call: &Call) -> Result<Response<Body>, Status> {
    let write = WriteOptions::parse(&call.query, "CreateOptions", call.user_agent())?;
    let eviction = write::read_object(call, write.field_validation)?;
    let name = object::name(&eviction);
    if !name.is_empty() && name != call.name() {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let mut options = DeleteOptions::parse(&call.query, eviction.get("deleteOptions"))?;
    options.dry_run |= write.dry_run;
    let entry = call.server.store.get(&call.key()).ok_or_else(|| call.not_found())?;
    let pod = codec::read(&call.resource, &entry)?;
    if !may_ignore_budgets(&pod) {
        let _one_at_a_time = call.server.allocating.lock().await;
        check_budgets(call, &pod, options.dry_run).await?;
    }
    match delete::delete_one(call, &options, call.namespace(), call.name()).await? {
        Deleted::Gone(_) | Deleted::Going(_) => Ok(done(call)),
    }
}

/// Pods that do not run, or are going anyway, disrupt nothing.
fn may_ignore_budgets(pod: &Value) -> bool {
    let phase = object::at(pod, "status.phase").and_then(Value::as_str).unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed" | "Pending") || object::is_deleting(pod)
}

/// The one budget that covers the pod must allow a disruption, and counts it.
async fn check_budgets(call: &Call, pod: &Value, dry_run: bool) -> Result<(), Status> {
    let snapshot = call.server.registry.snapshot();
    let Some(resource) = snapshot.resource("policy", "v1", BUDGETS) else { return Ok(()) };
    let prefix = resource.key_prefix(Some(call.namespace()));
    let page = call.server.store.list(&List { prefix, ..List::default() }).map_err(Status::internal)?;
    let mut covering = Vec::new();
    for entry in &page.entries {
        let budget = codec::read(resource, entry)?;
        let selector = object::at(&budget, "spec.selector").cloned().unwrap_or_default();
        if !selector.is_null()
            && aphex_kinds::selects(&selector, object::meta(pod, "labels").unwrap_or(&Value::Null))
        {
            covering.push(budget);
        }
    }
    let budget = match covering.as_slice() {
        [] => return Ok(()),
        [budget] => budget,
        _ => {
            let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::internal(why));
        }
    };
    let counted = counted(budget, call.name(), &call.server.now())?;
    if dry_run {
        return Ok(());
    }
    let mut inner = write::internal_call(&call.server, &call.user, crate::request::Verb::Update, &counted)?;
    inner.resource = Arc::clone(resource);
    inner.path.subresource = Some("status".to_owned());
    let edit = |live: &Value| self::counted(live, call.name(), &call.server.now());
    write::modify(&inner, &write::internal_options(), Change::Plain, edit).await.map(drop)
}

/// The budget with one disruption less, or why there is none left.
fn counted(budget: &Value, pod: &str, now: &str) -> Result<Value, Status> {
    let name = object::name(budget);
    let number = |path: &str| object::at(budget, path).and_then(Value::as_i64).unwrap_or_default();
    let refused = |seconds: u32, why: String| {
        let text = "Cannot evict pod as it would violate the pod's disruption budget.";
        let status = Status::new(429, "TooManyRequests", text).retry_after(seconds);
        Err(status.because("DisruptionBudget", why, ""))
    };
    if number("status.observedGeneration") < object::generation(budget) {
        return refused(10, format!("The disruption budget {name} is still being processed by the server."));
    }
    let forbidden = |why: &str| Err(Status::forbidden("policy", "poddisruptionbudget", name, why));
    let allowed = number("status.disruptionsAllowed");
    if allowed < 0 {
        return forbidden("pdb disruptions allowed is negative");
    }
    let disrupted =
        object::at(budget, "status.disruptedPods").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    if disrupted > MOST_DISRUPTED {
        return forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if allowed == 0 {
        let (wanted, healthy) = (number("status.desiredHealthy"), number("status.currentHealthy"));
        let why = if healthy <= wanted {
            format!("The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently")
        } else {
            format!("The disruption budget {name} does not allow evicting pods currently")
        };
        return refused(0, why);
    }
    let mut counted = budget.clone();
    object::set_at(&mut counted, "status.disruptionsAllowed", Value::from(allowed - 1));
    let mut pods = object::at(budget, "status.disruptedPods").cloned().unwrap_or_else(|| json!({}));
    object::map(&mut pods).insert(pod.to_owned(), Value::from(now));
    object::set_at(&mut counted, "status.disruptedPods", pods);
    Ok(counted)
}

/// Puts a condition in the place of one of the same type.
fn add_condition(pod: &mut Value, condition: Value) {
    let mut all = object::at(pod, "status.conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    all.retain(|known| known["type"] != condition["type"]);
    all.push(condition);
    object::set_at(pod, "status.conditions", Value::Array(all));
}

/// 201 and nothing but success.
fn done(call: &Call) -> Response<Body> {
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    respond::value(call, 201, &status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(allowed: i64, observed: i64) -> Value {
        json!({
            "metadata": {"name": "b", "generation": 1},
            "status": {"disruptionsAllowed": allowed, "observedGeneration": observed, "desiredHealthy": 1, "currentHealthy": 1},
        })
    }

    #[test]
    fn a_budget_counts_what_it_allows_and_refuses_the_rest() {
        let counted = counted(&budget(1, 1), "p", "now").unwrap();
        assert_eq!(counted["status"]["disruptionsAllowed"], 0);
        assert_eq!(counted["status"]["disruptedPods"]["p"], "now");
        let refused = super::counted(&counted, "q", "now").unwrap_err();
        assert_eq!(refused.code, 429);
        let causes = refused.details.unwrap().causes;
        assert_eq!(causes[0].message, "The disruption budget b needs 1 healthy pods and has 1 currently");
        assert_eq!(super::counted(&budget(5, 0), "p", "now").unwrap_err().retry_after_seconds(), Some(10));
    }

    #[test]
    fn only_running_pods_are_under_a_budget() {
        assert!(may_ignore_budgets(&json!({"status": {"phase": "Pending"}})));
        assert!(!may_ignore_budgets(&json!({"status": {"phase": "Running"}})));
    }
}

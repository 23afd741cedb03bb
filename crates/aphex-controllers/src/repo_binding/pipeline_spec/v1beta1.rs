//! A `tekton.dev/v1beta1` Pipeline as `tekton.dev/v1`, as Tekton itself converts it.
//!
//! Source: pkg/apis/pipeline/v1beta1/{pipeline,task,container}_conversion.go in v1.6. Tekton keeps what v1 cannot say in
//! annotations, to convert back; nothing is converted back here, so deprecated step fields are dropped, and
//! PipelineResources, which Tekton no longer runs, are refused.

use serde_json::{Map, Value, json};

use super::PipelineError;

/// Fields of steps that v1 does not have.
const DROPPED: [&str; 10] = [
    "ports",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "stdin",
    "stdinOnce",
    "tty",
];

/// Converts in place.
pub(super) fn convert(document: &mut Value) -> Result<(), PipelineError> {
    document["apiVersion"] = json!("tekton.dev/v1");
    let Some(spec) = document.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
    refuse_resources(spec, "spec")?;
    for list in ["tasks", "finally"] {
        let Some(tasks) = spec.get_mut(list).and_then(Value::as_array_mut) else { continue };
        for (index, task) in tasks.iter_mut().enumerate() {
            if let Some(task) = task.as_object_mut() {
                pipeline_task(task, &format!("spec.{list}[{index}]"))?;
            }
        }
    }
    Ok(())
}

fn pipeline_task(task: &mut Map<String, Value>, path: &str) -> Result<(), PipelineError> {
    refuse_resources(task, path)?;
    if let Some(reference) = task.get_mut("taskRef").and_then(Value::as_object_mut) {
        bundle(reference);
    }
    if let Some(spec) = task.get_mut("taskSpec").and_then(Value::as_object_mut) {
        refuse_resources(spec, &format!("{path}.taskSpec"))?;
        for list in ["steps", "sidecars"] {
            let items = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            // A sidecar keeps probes, ports and terminal; only a step lost them.
            items.filter_map(Value::as_object_mut).for_each(|item| container(item, list == "steps"));
        }
        if let Some(template) = spec.get_mut("stepTemplate").and_then(Value::as_object_mut) {
            container(template, true);
            template.remove("name");
        }
    }
    Ok(())
}

/// The compute resources of a container have another name, and steps fewer fields.
fn container(container: &mut Map<String, Value>, is_step: bool) {
    if let Some(resources) = container.remove("resources") {
        container.insert("computeResources".to_owned(), resources);
    }
    if is_step {
        container.retain(|field, _| !DROPPED.contains(&field.as_str()));
    }
}

/// A task from a bundle is one found by the resolver `bundles` (TEP-0060).
fn bundle(reference: &mut Map<String, Value>) {
    let Some(bundle) = reference.remove("bundle").filter(|bundle| *bundle != json!("")) else { return };
    let name = reference.remove("name").unwrap_or_default();
    let kind = reference.remove("kind").unwrap_or_else(|| json!("Task"));
    reference.remove("apiVersion");
    reference.insert("resolver".to_owned(), json!("bundles"));
    let param = |name: &str, value: Value| json!({ "name": name, "value": value });
    let params = json!([param("bundle", bundle), param("name", name), param("kind", kind)]);
    reference.insert("params".to_owned(), params);
}

fn refuse_resources(object: &Map<String, Value>, path: &str) -> Result<(), PipelineError> {
    if object.contains_key("resources") {
        return Err(PipelineError::Field(format!(
            "{path}.resources: Tekton no longer has PipelineResources"
        )));
    }
    Ok(())
}

use aphex_api::foreign::triggers::TriggerTemplate;
use serde_json::json;

use super::*;
use crate::catalog::Catalog;

fn template() -> Template {
    Catalog::builtin().unwrap().get("run-pipeline-v1").unwrap().clone()
}

fn pipeline(spec: &str) -> Result<Pipeline, PipelineError> {
    let text = format!("apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {{ name: app }}\nspec:\n{spec}");
    parse(&text, &"app".parse().unwrap())
}

const TASKS: &str = "  tasks: [{ name: build, taskRef: { name: build } }]\n";

fn verdict(spec: &str) -> Result<(), String> {
    let pipeline = pipeline(&format!("{spec}\n{TASKS}")).map_err(|e| e.to_string())?;
    accepts(&pipeline, &template()).map_err(|e| e.to_string())
}

#[test]
fn what_is_not_one_pipeline_is_refused_and_named() {
    let message = |text: &str| parse(text, &"app".parse().unwrap()).unwrap_err().to_string();
    assert!(message("kind: [").starts_with("not valid YAML: "));
    assert!(
        message("kind: Task\napiVersion: tekton.dev/v1")
            .ends_with("not kind: Task, apiVersion: tekton.dev/v1")
    );
    assert!(message("kind: Pipeline\napiVersion: v1").ends_with("apiVersion: v1"));
    let two = "apiVersion: tekton.dev/v1\nkind: Pipeline\n---\napiVersion: tekton.dev/v1\nkind: Pipeline\n";
    assert!(message(two).ends_with("not 2 documents"));
    assert!(message("").ends_with("not 0 documents"));
    assert!(message("- a").contains("kind: (none)"));
}

#[test]
fn its_name_is_the_pipelines_name() {
    let text = "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: { name: other }\nspec: { tasks: [{ name: a }] }";
    let error = parse(text, &"app".parse().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "metadata.name is \"other\", but must be the pipelineName \"app\"");
}

#[test]
fn a_trailing_document_marker_is_no_second_document() {
    let text = format!(
        "---\napiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {{ name: app }}\nspec:\n{TASKS}---\n"
    );
    assert!(parse(&text, &"app".parse().unwrap()).is_ok());
}

#[test]
fn numbers_with_a_leading_zero_are_octal_as_in_go() {
    let spec = "  tasks: [{ name: a, taskSpec: { volumes: [{ name: v, secret: { defaultMode: 0644 } }] } }]";
    let pipeline = pipeline(spec).unwrap();
    assert_eq!(pipeline.spec.tasks[0]["taskSpec"]["volumes"][0]["secret"]["defaultMode"], 420);
}

#[test]
fn parameters_may_be_declared_as_they_are_sent() {
    assert_eq!(verdict(""), Ok(()));
    assert_eq!(verdict("  params: [{ name: git-url }, { name: repo-full-name, type: array }]"), Ok(()));
    assert_eq!(
        verdict("  params: [{ name: repo-full-name, default: [a] }, { name: own, default: x }]"),
        Ok(())
    );
}

#[test]
fn a_parameter_of_another_type_is_named_with_both_types() {
    assert_eq!(
        verdict("  params: [{ name: repo-full-name, type: string }]").unwrap_err(),
        "parameter \"repo-full-name\" is declared as string, but template run-pipeline-v1 sends array"
    );
    assert_eq!(
        verdict("  params: [{ name: git-revision, type: array }]").unwrap_err(),
        "parameter \"git-revision\" is declared as array, but template run-pipeline-v1 sends string"
    );
}

#[test]
fn a_parameter_that_nobody_gives_is_refused() {
    assert_eq!(
        verdict("  params: [{ name: flavour }]").unwrap_err(),
        "parameter \"flavour\" has no default, and template run-pipeline-v1 does not send it"
    );
}

#[test]
fn only_workspaces_that_are_bound_may_be_required() {
    assert_eq!(verdict("  workspaces: [{ name: source }, { name: cache, optional: true }]"), Ok(()));
    let error = verdict("  workspaces: [{ name: cache }]").unwrap_err();
    assert_eq!(error, "workspace \"cache\" is required, and template run-pipeline-v1 does not bind it");
}

#[test]
fn a_pipeline_without_tasks_is_refused() {
    assert!(pipeline("  params: []").unwrap_err().to_string().contains("at least one task"));
}

#[test]
fn an_older_pipeline_is_converted() {
    let text = r"
apiVersion: tekton.dev/v1beta1
kind: Pipeline
metadata: { name: app }
spec:
  tasks:
    - name: fetch
      taskRef: { name: git-clone, bundle: registry.example/tasks:1 }
    - name: build
      taskSpec:
        stepTemplate: { name: x, resources: { limits: { cpu: 1 } } }
        steps: [{ name: s, image: i, resources: { limits: { cpu: 2 } }, tty: true }]
        sidecars: [{ name: d, image: i, tty: true, resources: {} }]
";
    let pipeline = parse(text, &"app".parse().unwrap()).unwrap();
    assert_eq!(
        pipeline.spec.tasks[0]["taskRef"],
        json!({ "resolver": "bundles", "params": [
            { "name": "bundle", "value": "registry.example/tasks:1" },
            { "name": "name", "value": "git-clone" },
            { "name": "kind", "value": "Task" },
        ] })
    );
    let spec = &pipeline.spec.tasks[1]["taskSpec"];
    assert_eq!(spec["stepTemplate"], json!({ "computeResources": { "limits": { "cpu": 1 } } }));
    assert_eq!(
        spec["steps"][0],
        json!({ "name": "s", "image": "i", "computeResources": { "limits": { "cpu": 2 } } })
    );
    assert_eq!(
        spec["sidecars"][0],
        json!({ "name": "d", "image": "i", "tty": true, "computeResources": {} })
    );
}

#[test]
fn pipeline_resources_are_refused_where_they_stand() {
    let text = "apiVersion: tekton.dev/v1beta1\nkind: Pipeline\nmetadata: { name: app }\nspec: { tasks: [{ name: a, resources: {} }] }";
    let error = parse(text, &"app".parse().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "spec.tasks[0].resources: Tekton no longer has PipelineResources");
}

#[test]
fn the_catalog_is_of_the_kind_that_the_gateway_reads() {
    let written = TriggerTemplate { spec: template().for_workspaces(&[]), ..TriggerTemplate::default() };
    let read: TriggerTemplate = serde_json::from_value(serde_json::to_value(&written).unwrap()).unwrap();
    assert_eq!(read.spec, written.spec);
}

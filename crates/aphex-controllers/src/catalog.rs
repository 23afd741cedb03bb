//! Dispatcher templates: what a Trigger makes of an event.
//!
//! The templates are data in `platform/catalog/`, compiled in. What a template sends to a pipeline is read from the
//! template itself, so validation and dispatch cannot disagree.

use std::collections::BTreeMap;

use aphex_api::foreign::tekton::{PENDING, ParamType, ParamValue};
use aphex_api::foreign::triggers::{TriggerTemplate, TriggerTemplateSpec};
use aphex_api::labels;
use serde_json::Value;

const BUILTIN: [&str; 1] = [include_str!("../../../platform/catalog/run-pipeline-v1.yaml")];

/// The templates by name.
#[derive(Clone, Debug, Default)]
pub struct Catalog(BTreeMap<String, Template>);

/// A dispatcher template.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its name, as `templateRef` gives it.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Parameters and resources.
    pub spec: TriggerTemplateSpec,
}

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// It is not a TriggerTemplate.
    #[error("a catalog entry is not a TriggerTemplate")]
    Parse(#[source] Box<serde_saphyr::Error>),
    /// It has no name.
    #[error("a catalog entry has no name")]
    Nameless,
}

impl Catalog {
    /// The templates compiled into the program.
    pub fn builtin() -> Result<Self, CatalogError> {
        let mut templates = BTreeMap::new();
        for text in BUILTIN {
            let object: TriggerTemplate =
                serde_saphyr::from_str(text).map_err(|source| CatalogError::Parse(Box::new(source)))?;
            let name = object.metadata.name.ok_or(CatalogError::Nameless)?;
            let labels = object.metadata.labels.unwrap_or_default();
            templates.insert(name.clone(), Template { name, labels, spec: object.spec });
        }
        Ok(Self(templates))
    }

    /// The template of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Template> {
        self.0.get(name)
    }

    /// The names of all templates.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Template {
    /// The parameters that runs are given, with their types.
    #[must_use]
    pub fn sends(&self) -> BTreeMap<String, ParamType> {
        let params = self.runs().filter_map(|run| run.pointer("/spec/params")?.as_array());
        params
            .flatten()
            .filter_map(|param| {
                let value: ParamValue = serde_json::from_value(param.get("value")?.clone()).ok()?;
                Some((param.get("name")?.as_str()?.to_owned(), value.kind()))
            })
            .collect()
    }

    /// The workspaces that runs are given.
    #[must_use]
    pub fn workspaces(&self) -> Vec<String> {
        let workspaces = self.runs().filter_map(|run| run.pointer("/spec/workspaces")?.as_array());
        workspaces.flatten().filter_map(|w| Some(w.get("name")?.as_str()?.to_owned())).collect()
    }

    /// The template for one pipeline: without the workspaces that the pipeline does not declare.
    #[must_use]
    pub fn for_workspaces(&self, declared: &[String]) -> TriggerTemplateSpec {
        let mut spec = self.spec.clone();
        for run in spec.resource_templates.iter_mut().filter(|resource| is_run(resource)) {
            let Some(spec) = run.get_mut("spec").and_then(Value::as_object_mut) else { continue };
            let Some(workspaces) = spec.get_mut("workspaces").and_then(Value::as_array_mut) else { continue };
            workspaces.retain(|w| w["name"].as_str().is_some_and(|name| declared.iter().any(|d| d == name)));
            if workspaces.is_empty() {
                spec.remove("workspaces");
            }
        }
        spec
    }

    fn runs(&self) -> impl Iterator<Item = &Value> {
        self.spec.resource_templates.iter().filter(|resource| is_run(resource))
    }
}

/// Makes every run of a template pending, and says so, so that the controllers release it and nothing else.
pub fn hold_back(spec: &mut TriggerTemplateSpec) {
    for run in spec.resource_templates.iter_mut().filter(|resource| is_run(resource)) {
        run["metadata"]["annotations"][labels::QUEUED] = "true".into();
        run["spec"]["status"] = PENDING.into();
    }
}

fn is_run(resource: &Value) -> bool {
    resource["kind"] == "PipelineRun"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Template {
        Catalog::builtin().unwrap().get("run-pipeline-v1").unwrap().clone()
    }

    #[test]
    fn version_one_sends_what_its_contract_says() {
        let sends = template().sends();
        let names: Vec<&str> = sends.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "branch",
                "event-id",
                "event-type",
                "git-revision",
                "git-url",
                "org-name",
                "repo-full-name",
                "triggered-at"
            ]
        );
        for (name, kind) in sends {
            let expected = if name == "repo-full-name" { ParamType::Array } else { ParamType::String };
            assert_eq!(kind, expected, "{name}");
        }
    }

    #[test]
    fn every_parameter_that_a_run_uses_is_declared() {
        let template = template();
        let text = serde_json::to_string(&template.spec.resource_templates).unwrap();
        let used: Vec<&str> =
            text.split("$(tt.params.").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        assert!(!used.is_empty());
        for name in used {
            assert!(template.spec.params.iter().any(|param| param.name == name), "{name}");
        }
    }

    #[test]
    fn a_workspace_is_bound_only_when_the_pipeline_declares_it() {
        let template = template();
        assert_eq!(template.workspaces(), ["source"]);
        let with = template.for_workspaces(&["source".to_owned(), "other".to_owned()]);
        assert_eq!(with.resource_templates[0]["spec"]["workspaces"][0]["name"], "source");
        let without = template.for_workspaces(&[]);
        assert!(without.resource_templates[0]["spec"].get("workspaces").is_none());
    }

    #[test]
    fn a_run_that_is_held_back_is_pending_and_keeps_its_annotations() {
        let mut spec = template().spec;
        let before = spec.resource_templates[0]["metadata"]["annotations"].clone();
        hold_back(&mut spec);
        let run = &spec.resource_templates[0];
        assert_eq!(run["spec"]["status"], "PipelineRunPending");
        assert_eq!(run["metadata"]["annotations"]["platform.aphex/queued"], "true");
        for (key, value) in before.as_object().unwrap() {
            assert_eq!(&run["metadata"]["annotations"][key], value);
        }
    }
}

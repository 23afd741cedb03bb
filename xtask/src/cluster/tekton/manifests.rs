//! Tekton's own manifests, with the names of images and versions that its release process would have filled in.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::cluster::images::BUSYBOX;
use crate::engines;

const PIPELINE: &str = "github.com/tektoncd/pipeline";
const TRIGGERS: &str = "github.com/tektoncd/triggers";
/// What the manifests have where a release has its version.
const DEVELOPMENT: &str = "devel";

/// The versions of both projects.
#[derive(Debug)]
pub(super) struct Versions {
    /// Of Tekton Pipelines.
    pub(super) pipeline: String,
    /// Of Tekton Triggers.
    pub(super) triggers: String,
}

impl Versions {
    /// The image of a command. With a version for a tag, it is never asked of a registry when it is there.
    pub(super) fn image(&self, project: &str, command: &str) -> String {
        let version = if project == "pipeline" { &self.pipeline } else { &self.triggers };
        format!("localhost/tekton-{project}-{command}:{version}")
    }
}

/// Every object of both projects, in the order of their files.
pub(super) fn read(versions: &Versions) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for (module, version) in [(PIPELINE, &versions.pipeline), (TRIGGERS, &versions.triggers)] {
        let mut files = Vec::new();
        collect(&engines::module_source("tekton", module)?.join("config"), &mut files)?;
        files.sort();
        for file in files {
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
                .with_context(|| format!("cannot parse {}", file.display()))?;
            for mut object in documents.into_iter().filter(is_wanted) {
                fill_in(&mut object, versions, version);
                objects.push(object);
            }
        }
    }
    Ok(objects)
}

/// YAML files below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry.context("cannot list a folder")?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}

/// All but empty documents, and autoscalers: one node has no metrics to scale by.
fn is_wanted(object: &Value) -> bool {
    object["kind"].is_string() && object["kind"] != "HorizontalPodAutoscaler"
}

/// Puts images and versions into every text of an object.
fn fill_in(value: &mut Value, versions: &Versions, version: &str) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|value| fill_in(value, versions, version)),
        Value::Array(items) => {
            // Tekton's own base image has this init, for resolvers that start git; our images have the program alone.
            if items.len() > 2 && items[0] == "/sbin/tini" && items[1] == "--" {
                items.drain(..2);
            }
            for item in items {
                fill_in(item, versions, version);
            }
        }
        Value::String(text) => {
            if let Some(filled) = filled(text, versions, version) {
                *text = filled;
            }
        }
        _ => {}
    }
}

fn filled(text: &str, versions: &Versions, version: &str) -> Option<String> {
    if text == DEVELOPMENT {
        return Some(version.to_owned());
    }
    if text.starts_with("cgr.dev/chainguard/busybox@") {
        return Some(BUSYBOX.to_owned());
    }
    let (project, command) = text.strip_prefix("ko://github.com/tektoncd/")?.split_once("/cmd/")?;
    Some(versions.image(project, command))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn images_and_versions_are_filled_in_wherever_they_are() {
        let versions = Versions { pipeline: "v1.6.0".into(), triggers: "v0.34.0".into() };
        let mut object = json!({
            "metadata": { "labels": { "version": "devel", "app": "developer" } },
            "spec": { "image": "ko://github.com/tektoncd/pipeline/cmd/webhook",
                "command": ["/sbin/tini", "--", "/ko-app/resolvers"],
                "args": ["-el-image", "ko://github.com/tektoncd/triggers/cmd/eventlistenersink",
                    "cgr.dev/chainguard/busybox@sha256:19f0"] }
        });
        fill_in(&mut object, &versions, "v0.34.0");
        assert_eq!(
            object,
            json!({
                "metadata": { "labels": { "version": "v0.34.0", "app": "developer" } },
                "spec": { "image": "localhost/tekton-pipeline-webhook:v1.6.0",
                "command": ["/ko-app/resolvers"],
                    "args": ["-el-image", "localhost/tekton-triggers-eventlistenersink:v0.34.0", "localhost/busybox:1"] }
            })
        );
    }

    #[test]
    fn autoscalers_and_empty_documents_are_left_out() {
        assert!(is_wanted(&json!({ "kind": "Deployment" })));
        assert!(!is_wanted(&json!({ "kind": "HorizontalPodAutoscaler" })));
        assert!(!is_wanted(&Value::Null));
    }
}

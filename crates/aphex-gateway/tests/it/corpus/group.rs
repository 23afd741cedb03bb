//! A group of the corpus as it is written, and the objects it stands for.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Stands for the namespace in which a group's objects are.
const NAMESPACE: &str = "NAMESPACE";
/// Stands for the address of the services that the test serves.
const SERVICES: &str = "SERVICES";

/// Name of the template for what is no string.
const QUOTED: &str = "quoted";

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    /// Name of the file.
    #[serde(skip)]
    pub(super) name: String,
    /// What the group is about, for the report.
    pub(super) about: String,
    /// Objects besides the listener; their names are of this group alone.
    #[serde(default)]
    pub(super) objects: Vec<Value>,
    /// Annotations of the listener.
    #[serde(default)]
    annotations: Map<String, Value>,
    /// Its spec; the shorthands below add triggers.
    #[serde(default)]
    listener: Map<String, Value>,
    /// Name to expression: what the expression gives is in the object.
    #[serde(default)]
    overlays: BTreeMap<String, String>,
    /// Name to expression: an object where it is true.
    #[serde(default)]
    filters: BTreeMap<String, String>,
    /// Name to binding value: what the value gives is in the object.
    #[serde(default)]
    bindings: BTreeMap<String, String>,
    /// Like overlays, for what is no string: quotes within are escaped.
    #[serde(default)]
    json_overlays: BTreeMap<String, String>,
    /// Like bindings, for what is no string.
    #[serde(default)]
    json_bindings: BTreeMap<String, String>,
    /// Name to interceptors: an object where they all pass.
    #[serde(default)]
    chains: BTreeMap<String, Chain>,
    /// What is sent.
    pub(super) requests: Vec<Request>,
}

/// Interceptors, and what is then bound.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chain {
    interceptors: Vec<Value>,
    /// What the object holds.
    #[serde(default)]
    out: Option<String>,
}

/// A request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// Its name.
    pub(super) name: String,
    /// Added to the listener's path.
    #[serde(default)]
    pub(super) query: String,
    /// Headers.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// The body as JSON.
    #[serde(default)]
    body: Option<Value>,
    /// The body as text.
    #[serde(default)]
    text: Option<String>,
    /// Signs the body with this secret in `X-Hub-Signature-256`.
    #[serde(default)]
    pub(super) sign: Option<String>,
}

impl Request {
    /// The body.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match (&self.text, &self.body) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(body)) => body.to_string().into_bytes(),
            (None, None) => b"{}".to_vec(),
        }
    }
}

impl Group {
    /// All files of a folder.
    pub(super) fn all(folder: &Path) -> anyhow::Result<Vec<Self>> {
        let mut groups = Vec::new();
        for file in std::fs::read_dir(folder)? {
            let path = file?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if path.is_file() && name != "differences" {
                let text = std::fs::read_to_string(&path)?;
                let group: Self =
                    serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?;
                groups.push(Self { name, ..group });
            }
        }
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(groups)
    }

    /// The listener, under a name.
    pub(super) fn listener(&self, name: &str, namespace: &str, services: &str) -> anyhow::Result<Value> {
        let mut spec = self.listener.clone();
        let triggers = spec.entry("triggers").or_insert_with(|| json!([]));
        let triggers = triggers.as_array_mut().context("triggers is a list")?;
        triggers.extend(self.short());
        let mut annotations = self.annotations.clone();
        // The corpus speaks of Tekton's semantics: what else the gateway knows about events is for other tests.
        annotations.entry("platform.aphex/event-policy").or_insert_with(|| "none".into());
        annotations.entry("platform.aphex/unsigned-events").or_insert_with(|| "accept".into());
        let listener = json!({
            "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "EventListener",
            "metadata": { "name": name, "namespace": namespace, "annotations": annotations },
            "spec": spec,
        });
        filled(&listener, namespace, services)
    }

    /// The other objects.
    pub(super) fn objects(&self, namespace: &str, services: &str) -> anyhow::Result<Vec<Value>> {
        let one = |object: &Value| {
            let mut object = filled(object, namespace, services)?;
            let cluster = matches!(
                object["kind"].as_str(),
                Some("ClusterTriggerBinding" | "ClusterInterceptor" | "Namespace")
            );
            if !cluster && object["metadata"]["namespace"].is_null() {
                object["metadata"]["namespace"] = namespace.into();
            }
            Ok(object)
        };
        self.objects.iter().map(one).collect()
    }

    /// The triggers that are written short.
    fn short(&self) -> Vec<Value> {
        let cel = |params: Value| json!([{ "ref": { "name": "cel", "kind": "ClusterInterceptor" }, "params": params }]);
        let overlay = |expression: &String| {
            let overlays = json!([{ "key": "out", "expression": expression }]);
            cel(json!([{ "name": "overlays", "value": overlays }]))
        };
        let (plain, quoted) = (json!({ "spec": echo() }), json!({ "ref": QUOTED }));
        let trigger = |name: &String, interceptors: Value, value: &str, template: &Value| {
            json!({
                "name": name, "interceptors": interceptors,
                "bindings": [{ "name": "out", "value": value }], "template": template,
            })
        };
        let seen = "$(extensions.out)";
        let mut triggers = Vec::new();
        triggers.extend(self.overlays.iter().map(|(name, text)| trigger(name, overlay(text), seen, &plain)));
        triggers.extend(
            self.json_overlays.iter().map(|(name, text)| trigger(name, overlay(text), seen, &quoted)),
        );
        triggers.extend(self.filters.iter().map(|(name, text)| {
            trigger(name, cel(json!([{ "name": "filter", "value": text }])), "passed", &plain)
        }));
        triggers.extend(self.bindings.iter().map(|(name, value)| trigger(name, json!([]), value, &plain)));
        triggers
            .extend(self.json_bindings.iter().map(|(name, value)| trigger(name, json!([]), value, &quoted)));
        triggers.extend(self.chains.iter().map(|(name, chain)| {
            let out = chain.out.as_deref().unwrap_or("passed");
            trigger(name, json!(chain.interceptors), out, &quoted)
        }));
        triggers
    }
}

/// A template for what is no string.
pub(super) fn quoted(namespace: &str) -> Value {
    json!({
        "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "TriggerTemplate",
        "metadata": {
            "name": QUOTED, "namespace": namespace,
            "annotations": { "triggers.tekton.dev/old-escape-quotes": "true" },
        },
        "spec": echo(),
    })
}

/// A template whose object holds the parameter `out`, as a string within JSON.
fn echo() -> Value {
    json!({
        "params": [{ "name": "out" }],
        "resourcetemplates": [{
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": "echo-" },
            "data": { "out": "$(tt.params.out)" },
        }],
    })
}

fn filled(object: &Value, namespace: &str, services: &str) -> anyhow::Result<Value> {
    let text = object.to_string().replace(NAMESPACE, namespace).replace(SERVICES, services);
    Ok(serde_json::from_str(&text)?)
}

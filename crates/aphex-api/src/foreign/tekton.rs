//! Tekton Pipelines (`tekton.dev/v1`, read at v1.6.0): the fields we read or write, the rest kept as found.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Fields that this program neither reads nor writes.
pub type Rest = Map<String, Value>;

/// A graph of tasks that runs can be started of.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "tekton.dev",
    version = "v1",
    kind = "Pipeline",
    namespaced,
    schema = "disabled",
    derive = "PartialEq",
    derive = "Default"
)]
#[serde(rename_all = "camelCase")]
pub struct PipelineSpec {
    /// The parameters it accepts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<ParamSpec>,
    /// The tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Value>,
    /// The workspaces it wants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<WorkspaceDeclaration>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A parameter that a pipeline or task accepts.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct ParamSpec {
    /// Its name.
    pub name: String,
    /// Its type; when absent, the default's type, else `string`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ParamType>,
    /// Its value when a run gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<ParamValue>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

impl ParamSpec {
    /// The type as Tekton's own defaulting decides it (`SetDefaults` in param_types.go).
    pub fn effective_type(&self) -> ParamType {
        if let Some(kind) = self.kind {
            return kind;
        }
        if self.rest.get("properties").is_some_and(Value::is_object) {
            return ParamType::Object;
        }
        self.default.as_ref().map_or(ParamType::String, ParamValue::kind)
    }
}

/// The type of a parameter.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum ParamType {
    /// One string.
    #[default]
    String,
    /// A list of strings.
    Array,
    /// Named strings.
    Object,
}

/// The value of a parameter: a string, a list of strings, or named strings.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(untagged)]
pub enum ParamValue {
    /// One string.
    String(String),
    /// A list of strings.
    Array(Vec<String>),
    /// Named strings.
    Object(BTreeMap<String, String>),
}

impl ParamValue {
    /// The type of the value.
    pub fn kind(&self) -> ParamType {
        match self {
            Self::String(_) => ParamType::String,
            Self::Array(_) => ParamType::Array,
            Self::Object(_) => ParamType::Object,
        }
    }
}

impl Default for ParamValue {
    fn default() -> Self {
        Self::String(String::new())
    }
}

impl From<&str> for ParamValue {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

/// Reads what Tekton reads: other scalars and mixed lists become their JSON text (`UnmarshalJSON` in param_types.go).
impl<'de> Deserialize<'de> for ParamValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Null => Self::default(),
            Value::String(text) => Self::String(text),
            Value::Array(items) => {
                match items.iter().map(|item| item.as_str().map(str::to_owned)).collect() {
                    Some(strings) => Self::Array(strings),
                    None => Self::String(Value::Array(items).to_string()),
                }
            }
            Value::Object(fields) => {
                match fields.iter().map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect() {
                    Some(strings) => Self::Object(strings),
                    None => Self::String(Value::Object(fields).to_string()),
                }
            }
            scalar => Self::String(scalar.to_string()),
        })
    }
}

/// A named value.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: ParamValue,
}

/// A workspace that a pipeline wants.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct WorkspaceDeclaration {
    /// Its name.
    pub name: String,
    /// Whether a run may leave it out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// `spec.status` of a run that does not begin until it is taken away.
pub const PENDING: &str = "PipelineRunPending";
/// `spec.status` of a run that is to end at once.
pub const CANCELLED: &str = "Cancelled";
/// `spec.status` of a run that is to end its tasks, and then run its `finally` tasks.
pub const CANCELLED_RUN_FINALLY: &str = "CancelledRunFinally";

/// One run of a pipeline.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "tekton.dev",
    version = "v1",
    kind = "PipelineRun",
    namespaced,
    schema = "disabled",
    status = "PipelineRunStatus",
    derive = "PartialEq",
    derive = "Default"
)]
#[serde(rename_all = "camelCase")]
pub struct PipelineRunSpec {
    /// The pipeline by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_ref: Option<PipelineRef>,
    /// Values for the pipeline's parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
    /// Volumes for the pipeline's workspaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<Value>,
    /// What is asked of the run besides running: to wait, to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// Refers to a pipeline.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct PipelineRef {
    /// Its name, in the run's namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// How a run stands.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PipelineRunStatus {
    /// `Succeeded` is Unknown while running, then True or False.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<RunCondition>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A condition as Knative writes it: reason, message and time may be missing.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RunCondition {
    /// Type of the condition.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: String,
    /// One word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// One sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When `status` last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameter_values_are_read_as_tekton_reads_them() {
        let cases = [
            (json!("a"), ParamValue::String("a".into())),
            (json!(["a", "b"]), ParamValue::Array(vec!["a".into(), "b".into()])),
            (json!({ "k": "v" }), ParamValue::Object([("k".to_owned(), "v".to_owned())].into())),
            (json!(7), ParamValue::String("7".into())),
            (json!(["a", 1]), ParamValue::String(r#"["a",1]"#.into())),
            (json!(null), ParamValue::String(String::new())),
        ];
        for (written, read) in cases {
            assert_eq!(serde_json::from_value::<ParamValue>(written).unwrap(), read);
        }
    }

    #[test]
    fn a_parameter_without_a_type_takes_the_type_of_its_default() {
        let spec: ParamSpec = serde_json::from_value(json!({ "name": "names", "default": ["x"] })).unwrap();
        assert_eq!(spec.effective_type(), ParamType::Array);
        let spec: ParamSpec = serde_json::from_value(json!({ "name": "names" })).unwrap();
        assert_eq!(spec.effective_type(), ParamType::String);
    }
}

//! Every field of a spec, changed and changed back: all comes to be as it was. The fields are those of the schema.
//!
//! A new field is covered as soon as the definition has it. Where no value can be guessed for it, the test fails and
//! asks for one in [`values`].

use std::collections::{BTreeMap, BTreeSet};

use aphex_api::organization::Organization;
use aphex_api::pipeline::Pipeline;
use aphex_api::repo_binding::RepoBinding;
use aphex_controllers::Settings;
use aphex_controllers::plan::{Health, Subject, SubjectKind, examine};
use aphex_testkit::eventually;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt as _};
use regex::Regex;
use serde_json::{Value, json};

use crate::engine::{self, Engine, GATEWAY, PLATFORM, pipeline};

/// Texts, one of which fits almost any pattern.
const TEXTS: [&str; 10] = [
    "other-value-1",
    "other",
    "other.example.com",
    "ann-other@acme.com",
    "https://example.com/other.git",
    "docs/**",
    "90s",
    "2",
    "a-text-of-sixteen-characters-and-more",
    "refs/heads/other",
];

/// What the server says when a field belongs to the other shape of a binding.
const OTHER_SHAPE: [&str; 4] =
    ["goes with tenantName", "go with aphexOrg", "set either aphexOrg", "are required with aphexOrg"];

/// Values that cannot be guessed: another one that the schema allows, by kind and field.
fn values(kind: &str, field: &str) -> Option<Value> {
    match (kind, field) {
        ("RepoBinding", "pipelineSpec") => {
            Some(json!(pipeline("edits-app", "  params: [{ name: git-url }, { name: git-revision }]")))
        }
        ("Pipeline", "pipeline") => Some(json!({
            "spec": { "tasks": [{ "name": "other", "taskRef": { "name": "other" } }] },
        })),
        _ => None,
    }
}

/// The schema of a kind's spec.
fn spec_schema(definition: &CustomResourceDefinition) -> Value {
    let schema = definition.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
    serde_json::to_value(schema.properties.as_ref().unwrap().get("spec").unwrap()).unwrap()
}

/// Values that a schema allows and that are not the given one; rules of the schema may still refuse some.
fn others(schema: &Value, current: &Value) -> Vec<Value> {
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().filter(|word| *word != current && !word.is_null()).cloned().collect();
    }
    match schema["type"].as_str() {
        Some("boolean") => {
            vec![json!(!current.as_bool().or(schema["default"].as_bool()).unwrap_or_default())]
        }
        Some("integer" | "number") => {
            #[expect(clippy::cast_possible_truncation, reason = "limits of integers are whole and small")]
            let limit = |name: &str, usual: i64| schema[name].as_f64().map_or(usual, |limit| limit as i64);
            let (least, most) = (limit("minimum", 0), limit("maximum", 1000));
            [least + 1, most, least].into_iter().map(Value::from).filter(|number| number != current).collect()
        }
        Some("string") => texts(schema, current),
        Some("array") => {
            others(&schema["items"], &current[0]).into_iter().map(|item| json!([item])).collect()
        }
        Some("object") => objects(schema, current),
        _ => Vec::new(),
    }
}

fn texts(schema: &Value, current: &Value) -> Vec<Value> {
    let least = schema["minLength"].as_u64().unwrap_or(0);
    let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
    let pattern = schema["pattern"].as_str().map(|pattern| Regex::new(pattern).unwrap());
    let fits = |text: &&str| {
        (least..=most).contains(&(text.len() as u64))
            && pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
            && current != text
    };
    TEXTS.into_iter().filter(fits).map(Value::from).collect()
}

/// Objects with all their properties: the first value of each, the second of each, and so on.
fn objects(schema: &Value, current: &Value) -> Vec<Value> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let choices: Vec<(&String, Vec<Value>)> =
        properties.map(|(name, schema)| (name, others(schema, &current[name]))).collect();
    if choices.iter().any(|(_, values)| values.is_empty()) {
        return Vec::new();
    }
    let most = choices.iter().map(|(_, values)| values.len()).max().unwrap_or_default();
    let object = |turn: usize| {
        choices.iter().map(|(name, values)| ((*name).clone(), values[turn % values.len()].clone())).collect()
    };
    (0..most).map(|turn| Value::Object(object(turn))).collect()
}

/// The fields of a spec that may not change, as its rules say.
fn immutable(schema: &Value) -> BTreeSet<String> {
    let own = schema["properties"].as_object().unwrap().values();
    let rules =
        own.chain([schema]).filter_map(|schema| schema["x-kubernetes-validations"].as_array()).flatten();
    rules
        .filter_map(|rule| Some(rule["message"].as_str()?.strip_suffix(" is immutable")?.to_owned()))
        .collect()
}

/// One object whose fields are edited.
struct Edited<'a> {
    engine: &'a Engine,
    api: Api<DynamicObject>,
    subject: Subject,
    /// Everything it owned in the beginning, and its phase.
    owned: BTreeMap<String, Value>,
    phase: String,
}

/// What became of one edit.
#[derive(Debug, PartialEq)]
enum Edit {
    Converged,
    /// Refused because the field may not change.
    Immutable,
    /// Refused because the field is another shape's.
    OtherShape,
}

impl<'a> Edited<'a> {
    async fn start(
        engine: &'a Engine,
        kind: SubjectKind,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<Self> {
        let resource = kind.kind().resource;
        let api = Api::namespaced_with(engine.client.clone(), namespace, &resource);
        let subject = Subject { kind, namespace: namespace.to_owned(), name: name.to_owned() };
        let mut edited = Self { engine, api, subject, owned: BTreeMap::new(), phase: String::new() };
        edited.phase = eventually("it was looked at", || async { edited.settled().await }).await?;
        edited.at_rest().await?;
        edited.owned = edited.owned().await?;
        Ok(edited)
    }

    /// The phase, once the status speaks of the newest spec and is not on its way to another.
    async fn settled(&self) -> anyhow::Result<Option<String>> {
        let object = self.api.get(&self.subject.name).await?;
        let status = &object.data["status"];
        let current = status["observedGeneration"].as_i64() == object.metadata.generation;
        let phase = status["phase"].as_str().unwrap_or_default();
        let done = current && matches!(phase, "Ready" | "Active" | "Failed");
        Ok(done.then(|| phase.to_owned()))
    }

    /// Waits until every object that it owns is as it is wanted.
    async fn at_rest(&self) -> anyhow::Result<()> {
        let client = &self.engine.client;
        eventually("everything is in place", || async {
            let found = examine(client, Settings::new(GATEWAY)?, &self.subject).await?.unwrap();
            let amiss: Vec<_> = found.owned.iter().filter(|one| one.health != Health::InPlace).collect();
            anyhow::ensure!(amiss.is_empty(), "{amiss:?}");
            Ok(Some(()))
        })
        .await
    }

    /// Everything it owns, without what the engine adds and without secrets, which are random.
    async fn owned(&self) -> anyhow::Result<BTreeMap<String, Value>> {
        let uid = self.api.get(&self.subject.name).await?.uid().unwrap_or_default();
        let mut owned = BTreeMap::new();
        for resource in engine::kinds() {
            let api: Api<DynamicObject> = Api::all_with(self.engine.client.clone(), &resource);
            let selector = format!("platform.aphex/owner-uid={uid}");
            for object in api.list(&ListParams::default().labels(&selector)).await?.items {
                let key = format!(
                    "{} {}/{}",
                    resource.kind,
                    object.namespace().unwrap_or_default(),
                    object.name_any()
                );
                owned.insert(key, bare(&resource, &object));
            }
        }
        Ok(owned)
    }

    async fn set(&self, field: &str, value: &Value) -> kube::Result<()> {
        loop {
            let mut object = self.api.get(&self.subject.name).await?;
            let spec = object.data["spec"].as_object_mut().unwrap();
            match value {
                Value::Null => spec.remove(field),
                value => spec.insert(field.to_owned(), value.clone()),
            };
            match self.api.replace(&self.subject.name, &PostParams::default(), &object).await {
                // A controller wrote meanwhile.
                Err(kube::Error::Api(status)) if status.reason == "Conflict" => {}
                other => return other.map(|_| ()),
            }
        }
    }

    /// Changes a field, and changes it back.
    async fn edit(&self, field: &str, schema: &Value) -> anyhow::Result<Edit> {
        let before = self.api.get(&self.subject.name).await?.data["spec"][field].clone();
        let kind = format!("{:?}", self.subject.kind);
        let known = values(&kind, field).map_or_else(|| others(schema, &before), |value| vec![value]);
        let mut refused = Err(format!("{kind}.spec.{field}: no other value is known; add one to `values`"));
        for value in known {
            refused = match self.set(field, &value).await {
                Ok(()) => Ok(()),
                Err(kube::Error::Api(status)) => Err(status.message.clone()),
                Err(error) => return Err(error.into()),
            };
            match &refused {
                Ok(()) => break,
                Err(message) if message.contains("is immutable") => return Ok(Edit::Immutable),
                Err(_) => {}
            }
        }
        match refused {
            Ok(()) => {}
            Err(message) if OTHER_SHAPE.iter().any(|text| message.contains(text)) => {
                return Ok(Edit::OtherShape);
            }
            Err(message) => anyhow::bail!("{kind}.spec.{field}: {message}; add a value to `values`"),
        }
        eventually("the new spec was looked at", || async { self.settled().await }).await?;
        self.at_rest().await?;
        self.set(field, &before).await?;
        let back = || async { Ok(self.settled().await?.filter(|phase| *phase == self.phase)) };
        eventually(&format!("{kind} is {} again after {field} was changed back", self.phase), back).await?;
        self.at_rest().await?;
        eventually(&format!("all is as it was before {field} was changed"), || async {
            let now = self.owned().await?;
            let differs: Vec<_> =
                self.owned.iter().filter(|(key, value)| now.get(*key) != Some(value)).collect();
            let more: Vec<_> = now.keys().filter(|key| !self.owned.contains_key(*key)).collect();
            anyhow::ensure!(
                differs.is_empty() && more.is_empty(),
                "{differs:?} differ, {more:?} are left over"
            );
            Ok(Some(()))
        })
        .await?;
        Ok(Edit::Converged)
    }
}

fn bare(resource: &ApiResource, object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap();
    value.as_object_mut().unwrap().remove("status");
    value["kind"] = json!(resource.kind);
    if resource.kind == "Secret" {
        value["data"] = json!(null);
    }
    let metadata = &value["metadata"];
    value["metadata"] = json!({ "labels": metadata["labels"], "annotations": metadata["annotations"] });
    value
}

/// Edits every field of a kind in each of its shapes: those that may change come back, the others are refused.
async fn every_field<K: Resource<DynamicType = ()>>(
    definition: &CustomResourceDefinition,
    shapes: &[Edited<'_>],
) -> anyhow::Result<()> {
    let schema = spec_schema(definition);
    let immutable = immutable(&schema);
    for (field, schema) in schema["properties"].as_object().unwrap() {
        let mut edits = Vec::new();
        for shape in shapes {
            edits.push(shape.edit(field, schema).await?);
        }
        let expected = if immutable.contains(field) { Edit::Immutable } else { Edit::Converged };
        assert!(edits.contains(&expected), "{}.spec.{field}: {edits:?}", K::kind(&()));
        let odd = edits.iter().find(|edit| **edit != expected && **edit != Edit::OtherShape);
        assert!(odd.is_none(), "{}.spec.{field}: {edits:?}", K::kind(&()));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_changed_and_changed_back_leaves_all_as_it_was() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("edits").await?;
    engine.organization_phase("edits", "Active").await?;
    // Some fields go with both events only.
    let events = json!(["push", "pull_request"]);
    let mut app = engine::binding_spec("edits-app", "edits");
    app["events"] = events.clone();
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", "edits-app", app).await?;
    engine.phase("edits-app", "Ready").await?;
    let mut alone = engine::standalone_spec("edits-alone", None);
    alone["events"] = events.clone();
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", "edits-alone", alone).await?;
    engine.ready_pipeline("team-edits", "edits-web", "edits").await?;
    let both = Patch::Merge(json!({ "spec": { "events": events } }));
    let pipelines = Api::<Pipeline>::namespaced(engine.client.clone(), "team-edits");
    pipelines.patch("edits-web", &PatchParams::default(), &both).await?;
    engine.pipeline_phase("team-edits", "edits-web", "Ready").await?;

    let organization = [Edited::start(&engine, SubjectKind::Organization, PLATFORM, "edits").await?];
    every_field::<Organization>(&Organization::definition(), &organization).await?;
    let bindings = [
        Edited::start(&engine, SubjectKind::RepoBinding, PLATFORM, "edits-app").await?,
        Edited::start(&engine, SubjectKind::RepoBinding, PLATFORM, "edits-alone").await?,
    ];
    every_field::<RepoBinding>(&RepoBinding::definition(), &bindings).await?;
    let pipelines = [Edited::start(&engine, SubjectKind::Pipeline, "team-edits", "edits-web").await?];
    every_field::<Pipeline>(&Pipeline::definition(), &pipelines).await?;
    engine.finish().await
}

/// The definition of a kind, as it is installed.
trait Defined {
    fn definition() -> CustomResourceDefinition;
}

impl<K: Resource<DynamicType = ()>> Defined for K {
    fn definition() -> CustomResourceDefinition {
        let kind = K::kind(&());
        let group = K::group(&());
        let all = aphex_api::crds::all();
        all.into_iter().find(|found| found.spec.names.kind == kind && found.spec.group == group).unwrap()
    }
}

#[test]
fn values_are_guessed_from_a_schema() {
    let none = Value::Null;
    let word = json!({ "type": "string", "enum": ["a", "b"] });
    assert_eq!(others(&word, &json!("a")), [json!("b")]);
    assert_eq!(others(&json!({ "type": "boolean" }), &json!(true)), [json!(false)]);
    let few = json!({ "type": "integer", "minimum": 1.0, "maximum": 5.0 });
    assert_eq!(others(&few, &json!(2)), [json!(5), json!(1)]);
    let list = json!({ "type": "array", "items": word });
    assert_eq!(others(&list, &none), [json!(["a"]), json!(["b"])]);
    assert_eq!(others(&list, &json!(["a", "b"])), [json!(["b"])]);
    let object = json!({ "type": "object", "properties": { "policy": word, "max": few } });
    let choices = others(&object, &json!({ "policy": "a" }));
    assert_eq!(choices[0], json!({ "policy": "b", "max": 2 }));
    assert_eq!(choices.len(), 3);
    assert!(others(&json!({ "type": "object" }), &none).is_empty());
}

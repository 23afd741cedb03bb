//! The same writes to a real API server and to this crate: objects and owners must come out the same.
//!
//! They run where `APHEX_TEST_KUBECONFIG` names a server and `kubectl` is on the path, and are listed as left out elsewhere.

#![allow(clippy::needless_pass_by_value)] // literals read better passed as they are

use std::io::Write;
use std::process::{Command, Stdio};

use aphex_merge::{Apply, FieldSet, OtherVersion, Update, apply, keep_times, strategic_merge, update};
use aphex_schema::{Definitions, Schema, Typed, builtin, structural};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// The server to compare with; without one the test is listed as left out.
fn server(test: &str) -> bool {
    let there = std::env::var_os("APHEX_TEST_KUBECONFIG").is_some();
    if !there {
        // Not `println!`: the harness would swallow it.
        let _ =
            writeln!(std::io::stdout().lock(), "left out: {test}: APHEX_TEST_KUBECONFIG names no API server");
    }
    there
}

fn kubectl(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new("kubectl")
        .args(arguments)
        .env("KUBECONFIG", std::env::var_os("APHEX_TEST_KUBECONFIG").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("kubectl reads");
    let output = child.wait_with_output().expect("kubectl ends");
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).expect("UTF-8"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// A write, as both sides get it.
enum Step {
    /// Manager, force, configuration.
    Apply(&'static str, bool, Value),
    /// Manager, merge patch.
    Merge(&'static str, Value),
    /// Manager, strategic merge patch.
    Strategic(&'static str, Value),
    /// Manager, merge patch of the status subresource.
    Status(&'static str, Value),
    /// Manager, object to create.
    Create(&'static str, Value),
}

struct Kind<'a> {
    resource: &'a str,
    name: &'a str,
    schema: Typed<'a>,
}

/// Runs the steps on both sides; ours continues from the server's object so that defaulting does not matter.
fn agree(kind: &Kind<'_>, steps: Vec<Step>) {
    let target = format!("{}/{}", kind.resource, kind.name);
    let _ = kubectl(&["delete", &target, "--ignore-not-found", "--wait=false"], "");
    let mut live: Option<Value> = None;
    for (position, step) in steps.into_iter().enumerate() {
        let before = live.clone();
        let (theirs, ours) = (real(kind, &target, &step), modelled(kind, before.as_ref(), &step));
        match (theirs, ours) {
            (Ok(()), Ok(ours)) => {
                let text =
                    kubectl(&["get", &target, "-o", "json", "--show-managed-fields"], "").expect("readable");
                let theirs: Value = serde_json::from_str(&text).expect("JSON");
                assert_eq!(
                    owners(&ours(&theirs)),
                    owners(&theirs),
                    "{target}, step {position}: managedFields"
                );
                live = Some(theirs);
            }
            (Err(theirs), Err(ours)) => assert!(
                theirs.contains(&ours),
                "{target}, step {position}: messages differ:\ntheirs: {theirs}\nours: {ours}"
            ),
            (Ok(()), Err(ours)) => panic!("{target}, step {position}: only we refuse: {ours}"),
            // Kubernetes leaves null where a container lost everything, and then refuses that.
            (Err(theirs), Ok(_)) if theirs.contains("Invalid value: \"null\"") => {}
            (Err(theirs), Ok(_)) => panic!("{target}, step {position}: only the server refuses: {theirs}"),
        }
    }
    let _ = kubectl(&["delete", &target, "--ignore-not-found", "--wait=false"], "");
}

fn real(kind: &Kind<'_>, target: &str, step: &Step) -> Result<(), String> {
    let manager = |name: &str| format!("--field-manager={name}");
    let patch = |name: &str, how: &str, patch: &Value, more: &[&str]| {
        let (manager, patch) = (manager(name), patch.to_string());
        let mut arguments = vec!["patch", target, how, &manager, "-p", &patch];
        arguments.extend(more);
        kubectl(&arguments, "").map(drop)
    };
    let _ = kind;
    match step {
        Step::Apply(name, force, config) => {
            let (manager, force) = (manager(name), format!("--force-conflicts={force}"));
            kubectl(&["apply", "--server-side", &manager, &force, "-f", "-"], &config.to_string()).map(drop)
        }
        Step::Create(name, object) => {
            kubectl(&["create", &manager(name), "-f", "-"], &object.to_string()).map(drop)
        }
        Step::Merge(name, change) => patch(name, "--type=merge", change, &[]),
        Step::Strategic(name, change) => patch(name, "--type=strategic", change, &[]),
        Step::Status(name, change) => patch(name, "--type=merge", change, &["--subresource=status"]),
    }
}

type Outcome<'s> = Box<dyn Fn(&Value) -> Value + 's>;

/// What this crate makes of the step, given the object the server ended up with.
fn modelled<'s>(kind: &'s Kind<'s>, live: Option<&'s Value>, step: &'s Step) -> Result<Outcome<'s>, String> {
    let status = FieldSet::of_fields(&[&["status"]]);
    let others: &[OtherVersion<'_>] = &[];
    match step {
        Step::Apply(manager, force, config) => {
            let request = Apply {
                live,
                applied: config,
                schema: Some(kind.schema),
                others,
                manager,
                force: *force,
                subresource: "",
                now: "2030-01-01T00:00:00Z",
                reset: &status,
            };
            let ours = apply(&request).map_err(|error| error.to_string())?;
            Ok(Box::new(move |theirs| {
                if kind.resource == "widget" {
                    let mut defaulted = ours.clone();
                    aphex_schema::default::apply(&mut defaulted, kind.schema);
                    assert_eq!(defaulted["spec"], theirs["spec"], "the object after {config}");
                }
                ours.clone()
            }))
        }
        Step::Strategic(manager, change) => {
            let live = live.expect("something to patch");
            let patched = strategic_merge(live, change, kind.schema).map_err(|error| error.to_string())?;
            Ok(Box::new(move |theirs| {
                let mut same = patched.clone();
                for name in ["resourceVersion", "generation", "managedFields"] {
                    if let Some(value) = theirs["metadata"].get(name) {
                        same["metadata"][name] = value.clone();
                    }
                }
                assert_eq!(same, *theirs, "the patched object");
                record(kind, Some(live), theirs, manager, "")
            }))
        }
        Step::Create(manager, _) => Ok(Box::new(move |theirs| record(kind, live, theirs, manager, ""))),
        Step::Merge(manager, change) => Ok(Box::new(move |theirs| {
            let mut theirs = theirs.clone();
            theirs["metadata"].as_object_mut().expect("metadata").remove("managedFields");
            if let Some(entries) = change.pointer("/metadata/managedFields") {
                theirs["metadata"]["managedFields"] = entries.clone();
            }
            record(kind, live, &theirs, manager, "")
        })),
        Step::Status(manager, _) => Ok(Box::new(move |theirs| record(kind, live, theirs, manager, "status"))),
    }
}

/// Ownership of the server's new object, as this crate sees the change from the old one.
fn record(kind: &Kind<'_>, live: Option<&Value>, theirs: &Value, manager: &str, subresource: &str) -> Value {
    let new = theirs.clone();
    let reset = match subresource {
        "" => FieldSet::of_fields(&[&["status"]]),
        _ => FieldSet::of_fields(&[&["spec"], &["metadata", "deletionTimestamp"]]),
    };
    let mut ours = update(Update {
        live,
        new,
        schema: Some(kind.schema),
        others: &[],
        manager,
        subresource,
        now: "2030-01-01T00:00:00Z",
        reset: &reset,
    });
    if let Some(live) = live {
        keep_times(live, &mut ours);
    }
    ours
}

/// The entries without times, which differ, in an order that does not depend on times.
fn owners(object: &Value) -> Vec<Value> {
    let mut entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    for entry in &mut entries {
        let timed = entry.as_object_mut().expect("an entry").remove("time").is_some();
        entry["timed"] = json!(timed);
    }
    entries.sort_by_key(ToString::to_string);
    entries
}

fn object(api_version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut object =
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "default"}});
    for (key, value) in rest.as_object().expect("fields") {
        if key == "metadata" {
            for (key, value) in value.as_object().expect("metadata") {
                object["metadata"][key] = value.clone();
            }
        } else {
            object[key] = value.clone();
        }
    }
    object
}

#[test]
fn config_maps_agree() {
    if !server("config_maps_agree") {
        return;
    }
    let schema = builtin::typed("", "v1", "ConfigMap").expect("a built-in");
    let kind = Kind { resource: "configmap", name: "agree", schema };
    let map = |rest| object("v1", "ConfigMap", "agree", rest);
    agree(
        &kind,
        vec![
            Step::Apply("a", false, map(json!({"data": {"x": "1", "y": "1"}}))),
            Step::Apply("a", false, map(json!({"data": {"x": "1", "y": "1"}}))),
            Step::Apply("b", false, map(json!({"data": {"x": "2"}}))),
            Step::Apply("b", false, map(json!({"data": {"x": "2", "y": "3"}}))),
            Step::Apply("b", false, map(json!({"data": {"x": "1"}}))),
            Step::Apply("b", false, map(json!({"data": {"x": "1"}}))),
            Step::Merge("c", json!({"data": {"z": "9"}, "metadata": {"labels": {"l": "1"}}})),
            Step::Apply("a", false, map(json!({"data": {"z": "1"}}))),
            Step::Apply("a", true, map(json!({"data": {"z": "1"}, "metadata": {"labels": {"m": "1"}}}))),
            Step::Apply("a", true, map(json!({}))),
            Step::Apply("b", true, map(json!({}))),
            Step::Merge("c", json!({"metadata": {"finalizers": ["a.b/c"]}})),
            Step::Apply("a", true, map(json!({"metadata": {"finalizers": ["a.b/d"]}}))),
            Step::Apply("a", true, map(json!({"metadata": {"finalizers": []}}))),
            Step::Strategic("c", json!({"metadata": {"finalizers": ["a.b/e", "a.b/c"]}})),
            Step::Strategic("c", json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.b/c"]}})),
            Step::Strategic(
                "c",
                json!({"metadata": {"$setElementOrder/finalizers": ["a.b/f", "a.b/e"], "finalizers": ["a.b/f"]}}),
            ),
            Step::Merge("c", json!({"metadata": {"finalizers": null}})),
            Step::Apply("a", true, map(json!({"data": {"x": 1}}))),
            Step::Apply("a", true, map(json!({"nonsense": 2}))),
        ],
    );
    agree(
        &kind,
        vec![
            Step::Create("kubectl-create", map(json!({"data": {"x": "1"}}))),
            Step::Apply("a", false, map(json!({"data": {"x": "2"}}))),
            Step::Apply("a", false, map(json!({"data": {"x": "1"}}))),
            Step::Merge("c", json!({"metadata": {"managedFields": [{}]}})),
            Step::Merge("c", json!({"data": {"q": "1"}})),
            Step::Apply("a", false, map(json!({"data": {"x": "3"}}))),
            Step::Apply("a", false, map(json!({"data": {"w": "3"}}))),
        ],
    );
}

fn container(name: &str, rest: Value) -> Value {
    let mut container = json!({"name": name, "image": "i"});
    container.as_object_mut().expect("fields").extend(rest.as_object().expect("fields").clone());
    container
}

#[test]
fn deployments_agree() {
    if !server("deployments_agree") {
        return;
    }
    let schema = builtin::typed("apps", "v1", "Deployment").expect("a built-in");
    let kind = Kind { resource: "deployment", name: "agree", schema };
    let deployment = |spec: Value, containers: Value| {
        let mut whole = json!({
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers}},
        });
        whole.as_object_mut().expect("fields").extend(spec.as_object().expect("fields").clone());
        object("apps/v1", "Deployment", "agree", json!({"spec": whole}))
    };
    let port = |rest| json!({"ports": [rest]});
    let partial = |spec: Value| object("apps/v1", "Deployment", "agree", json!({"spec": spec}));
    let sidecar = json!([{"name": "s", "image": "j"}]);
    agree(
        &kind,
        vec![
            Step::Create(
                "kubectl-create",
                deployment(json!({}), json!([container("c", port(json!({"containerPort": 80})))])),
            ),
            Step::Apply("a", false, deployment(json!({"replicas": 2}), json!([container("c", json!({}))]))),
            Step::Apply("a", true, deployment(json!({"replicas": 2}), json!([container("c", json!({}))]))),
            Step::Apply("b", false, partial(json!({"template": {"spec": {"containers": sidecar}}}))),
            Step::Apply(
                "b",
                false,
                partial(
                    json!({"template": {"spec": {"containers": [{"name": "s", "image": "k", "env": [{"name": "e", "value": "1"}]}, {"name": "r", "image": "x"}]}}}),
                ),
            ),
            Step::Apply(
                "a",
                false,
                deployment(
                    json!({}),
                    json!([container("c", json!({})), container("s", json!({"image": "k"}))]),
                ),
            ),
            Step::Apply(
                "b",
                false,
                partial(json!({"template": {"spec": {"containers": [{"name": "r", "image": "x"}]}}})),
            ),
            Step::Status(
                "kubelet",
                json!({"status": {"replicas": 1, "observedGeneration": 1, "conditions": [{"type": "Available", "status": "True"}]}}),
            ),
            Step::Status(
                "kubelet",
                json!({"status": {"conditions": [{"type": "Available", "status": "False"}]}}),
            ),
            Step::Strategic(
                "edit",
                json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "z"}], "$setElementOrder/containers": [{"name": "s"}, {"name": "c"}]}}}}),
            ),
            Step::Strategic(
                "edit",
                json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            ),
            Step::Strategic(
                "edit",
                json!({"spec": {"template": {"spec": {"containers": [{"name": "s", "$patch": "delete"}]}}}}),
            ),
            Step::Strategic(
                "edit",
                json!({"spec": {"template": {"spec": {"containers": [{"image": "z"}]}}}}),
            ),
            Step::Apply("b", true, partial(json!({"strategy": {"type": "RollingUpdate"}}))),
            Step::Apply("b", true, partial(json!({"strategy": {}}))),
            Step::Apply(
                "b",
                true,
                partial(json!({"template": {"spec": {"containers": [{"name": "x"}, {"name": "x"}]}}})),
            ),
            Step::Apply("b", true, partial(json!({"replicas": "two"}))),
        ],
    );
}

#[test]
fn services_agree() {
    if !server("services_agree") {
        return;
    }
    let schema = builtin::typed("", "v1", "Service").expect("a built-in");
    let kind = Kind { resource: "service", name: "agree", schema };
    let service = |ports: Value| object("v1", "Service", "agree", json!({"spec": {"ports": ports}}));
    agree(
        &kind,
        vec![
            Step::Apply(
                "a",
                false,
                service(json!([{"port": 80, "name": "x"}, {"port": 443, "name": "y", "protocol": "UDP"}])),
            ),
            Step::Apply("b", false, service(json!([{"port": 80, "name": "x", "protocol": "TCP"}]))),
            Step::Apply("b", false, service(json!([{"port": 80, "name": "z"}]))),
            Step::Apply(
                "a",
                false,
                service(json!([{"port": 8080, "name": "n"}, {"port": 443, "name": "y", "protocol": "UDP"}])),
            ),
            Step::Strategic("edit", json!({"spec": {"ports": [{"port": 80, "name": "w"}]}})),
            Step::Merge("edit", json!({"spec": {"selector": {"a": "b"}}})),
            Step::Apply("b", true, service(json!([]))),
        ],
    );
}

fn widget_schema() -> Value {
    json!({
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {
            "atoms": {"type": "array", "items": {"type": "string"}},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id", "zone"],
                "items": {"type": "object", "required": ["id"], "properties": {
                    "id": {"type": "integer"}, "zone": {"type": "string", "default": "z"}, "value": {"type": "string"},
                    "deep": {"type": "object", "properties": {"p": {"type": "string"}, "q": {"type": "string"}}}}}},
            "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"v": {"type": "string"}}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "either": {"x-kubernetes-int-or-string": true},
            "number": {"type": "number"}}},
          "status": {"type": "object", "properties": {"phase": {"type": "string"}}}}
    })
}

/// Runs with the kind that `widget_schema` describes.
fn with_widgets(name: &str, run: impl Fn(&Kind<'_>)) {
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.merge.example"},
        "spec": {"group": "merge.example", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": widget_schema()}}]}
    });
    kubectl(&["apply", "--server-side", "-f", "-"], &crd.to_string()).expect("the definition");
    kubectl(&["wait", "--for=condition=Established", "crd/widgets.merge.example"], "").expect("established");
    let schema: Schema = structural::parse(&widget_schema()).expect("a structural schema");
    let definitions = Definitions::default();
    run(&Kind { resource: "widget", name, schema: Typed::new(&schema, &definitions) });
}

fn spec() -> impl Strategy<Value = Value> {
    let text = || "[ab]".prop_map(Value::from);
    let set = proptest::sample::subsequence(vec!["a", "b", "c", "d"], 0..4)
        .prop_shuffle()
        .prop_map(|set| json!(set));
    let item = move |id: i64| {
        let zone = prop_oneof![Just(json!({})), Just(json!({"zone": "y"})), Just(json!({"zone": "z"}))];
        let rest = prop_oneof![
            Just(json!({})),
            text().prop_map(|v| json!({"value": v})),
            text().prop_map(|v| json!({"deep": {"p": v}})),
            text().prop_map(|v| json!({"deep": {"q": v}})),
        ];
        (zone, rest).prop_map(move |(zone, rest)| {
            let mut item = json!({"id": id});
            for part in [zone, rest] {
                item.as_object_mut().expect("fields").extend(part.as_object().expect("fields").clone());
            }
            item
        })
    };
    let list = proptest::sample::subsequence(vec![1, 2, 3], 0..4)
        .prop_shuffle()
        .prop_flat_map(move |ids| ids.into_iter().map(item).collect::<Vec<_>>())
        .prop_map(Value::from);
    let map = proptest::collection::btree_map("[a-c]", text().prop_map(|v| json!({"v": v})), 0..3);
    let field = prop_oneof![
        text().prop_map(|v| ("either", v)),
        set.prop_map(|v| ("set", v)),
        list.prop_map(|v| ("list", v)),
        map.prop_map(|v| ("map", json!(v))),
        text().prop_map(|v| ("atoms", json!([v]))),
        text().prop_map(|v| ("whole", json!({"k": v}))),
        text().prop_map(|v| ("free", json!({"x": {"y": v}}))),
        text().prop_map(|v| ("free", json!({"x": v}))),
    ];
    proptest::collection::vec(field, 1..5).prop_map(|fields| {
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Value>()
    })
}

#[test]
fn random_writes_agree() {
    if !server("random_writes_agree") {
        return;
    }
    with_widgets("random", |kind| {
        let step = (0..4usize, any::<bool>(), spec()).boxed();
        let mut runner = TestRunner::deterministic();
        for _ in 0..40 {
            let steps =
                proptest::collection::vec(step.clone(), 1..7).new_tree(&mut runner).expect("steps").current();
            let steps =
                steps.into_iter().enumerate().map(|(position, (who, force, spec))| match (who, position) {
                    (3, 1..) => Step::Merge("m", json!({"spec": spec})),
                    (who, _) => {
                        let manager = ["a", "b", "c", "a"][who];
                        Step::Apply(
                            manager,
                            force,
                            object("merge.example/v1", "Widget", "random", json!({"spec": spec})),
                        )
                    }
                });
            agree(kind, steps.collect());
        }
    });
}

#[test]
fn custom_resources_agree() {
    if !server("custom_resources_agree") {
        return;
    }
    let widget = |spec: Value| object("merge.example/v1", "Widget", "agree", json!({"spec": spec}));
    with_widgets("agree", |kind| {
        agree(
            kind,
            vec![
                Step::Create(
                    "c",
                    widget(
                        json!({"set": ["a", "b"], "list": [{"id": 1, "value": "x"}], "map": {"k": {"v": "1"}}}),
                    ),
                ),
                Step::Apply(
                    "a",
                    false,
                    widget(json!({"set": ["b", "z"], "list": [{"id": 2}, {"id": 1, "zone": "y"}]})),
                ),
                Step::Apply(
                    "b",
                    false,
                    widget(
                        json!({"list": [{"id": 2, "deep": {"p": "1"}}], "whole": {"a": "1"}, "free": {"x": {"y": [1, 2]}}}),
                    ),
                ),
                Step::Apply(
                    "a",
                    false,
                    widget(json!({"set": ["z"], "whole": {"a": "2"}, "free": {"x": {"y": [1]}}})),
                ),
                Step::Apply(
                    "a",
                    true,
                    widget(json!({"set": ["z"], "whole": {"a": "2"}, "free": {"x": {"y": [1]}}})),
                ),
                Step::Apply(
                    "b",
                    false,
                    widget(
                        json!({"list": [{"id": 2, "deep": {"q": "1"}}], "map": {"k": {}, "l": {"v": "2"}}}),
                    ),
                ),
                Step::Apply("b", false, widget(json!({"either": 1, "number": 1.5, "atoms": ["a"]}))),
                Step::Apply("a", false, widget(json!({"either": "1", "number": 1.5, "atoms": ["a", "b"]}))),
                Step::Status("s", json!({"status": {"phase": "up"}})),
                Step::Merge("m", json!({"spec": {"list": null, "set": ["q"], "map": {"l": null}}})),
                Step::Apply("a", true, widget(json!({}))),
                Step::Apply("b", true, widget(json!({"unknown": 1}))),
                Step::Apply("b", true, widget(json!({"set": ["a", "a"]}))),
                Step::Apply("b", true, widget(json!({"set": [null]}))),
                Step::Apply("b", true, widget(json!({"map": 3}))),
                Step::Apply("b", true, widget(json!({"list": "x"}))),
            ],
        );
    });
}

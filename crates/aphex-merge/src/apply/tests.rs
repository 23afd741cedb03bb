use aphex_schema::{Definitions, Typed, structural};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Apply, ApplyError, apply};
use crate::{FieldSet, OtherVersion, Update, update};

/// A schema with one field of each kind of ownership.
fn schema_text() -> Value {
    json!({"type": "object", "properties": {
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
        "spec": {"type": "object", "properties": {
            "number": {"type": "integer"},
            "nested": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
            "atoms": {"type": "array", "items": {"type": "string"}},
            "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id", "zone"],
                "items": {"type": "object", "required": ["id"], "properties": {
                    "id": {"type": "integer"}, "zone": {"type": "string", "default": "z"}, "value": {"type": "string"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"v": {"type": "string"}}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}})
}

/// Applies to an object in turn; each step has a manager, whether to force, a spec, and what to expect.
struct Bench {
    schema: aphex_schema::Schema,
    definitions: Definitions,
    live: Option<Value>,
    clock: u32,
}

impl Bench {
    fn new() -> Self {
        let schema = structural::parse(&schema_text()).expect("a structural schema");
        Self { schema, definitions: Definitions::default(), live: None, clock: 0 }
    }

    fn with(mut self, schema: &Value) -> Self {
        self.schema = structural::parse(schema).expect("a structural schema");
        self
    }

    fn typed(&self) -> Typed<'_> {
        Typed::new(&self.schema, &self.definitions)
    }

    fn config(spec: &Value) -> Value {
        json!({"apiVersion": "e.x/v1", "kind": "W", "metadata": {"name": "n", "namespace": "s"}, "spec": spec})
    }

    fn try_apply(&mut self, manager: &str, force: bool, config: &Value) -> Result<(), String> {
        self.clock += 1;
        let now = format!("2030-01-01T00:00:{:02}Z", self.clock);
        let merged = apply(&Apply {
            live: self.live.as_ref(),
            applied: config,
            schema: Some(self.typed()),
            others: &[],
            manager,
            force,
            subresource: "",
            now: &now,
            reset: &FieldSet::of_fields(&[&["status"]]),
        })
        .map_err(|error| error.to_string())?;
        self.live = Some(merged);
        Ok(())
    }

    fn apply(&mut self, manager: &str, spec: &Value) -> &mut Self {
        self.try_apply(manager, false, &Self::config(spec)).expect("applies");
        self
    }

    fn force(&mut self, manager: &str, spec: &Value) -> &mut Self {
        self.try_apply(manager, true, &Self::config(spec)).expect("applies");
        self
    }

    fn refused(&mut self, manager: &str, spec: &Value, message: &str) -> &mut Self {
        assert_eq!(self.try_apply(manager, false, &Self::config(spec)), Err(message.to_owned()));
        self
    }

    fn update(&mut self, manager: &str, spec: &Value) -> &mut Self {
        self.clock += 1;
        let mut new = self.live.clone().unwrap_or_else(|| Self::config(&json!({})));
        new["spec"] = spec.clone();
        let now = format!("2030-01-01T00:00:{:02}Z", self.clock);
        let reset = FieldSet::of_fields(&[&["status"]]);
        let request = Update {
            live: self.live.as_ref(),
            new,
            schema: Some(self.typed()),
            others: &[],
            manager,
            subresource: "",
            now: &now,
            reset: &reset,
        };
        self.live = Some(update(request));
        self
    }

    fn spec(&mut self, expected: &Value) -> &mut Self {
        let spec = self.live.as_ref().and_then(|live| live.get("spec")).cloned().unwrap_or_default();
        assert_eq!(spec, *expected);
        self
    }

    /// The owned paths below `.spec` of a manager; empty when it has no entry.
    fn owns(&mut self, manager: &str, paths: &[&str]) -> &mut Self {
        let live = self.live.as_ref().expect("an object");
        let entries = live["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        let entry = entries.iter().find(|entry| entry["manager"] == manager);
        let set = entry.map(|entry| FieldSet::from_value(&entry["fieldsV1"]).expect("fields"));
        let mut owned: Vec<String> =
            set.unwrap_or_default().paths().iter().map(ToString::to_string).collect();
        owned.sort();
        assert_eq!(owned, paths, "what {manager} owns");
        self
    }
}

#[test]
fn two_appliers_share_an_object_and_each_removes_only_its_own() {
    Bench::new()
        .apply("a", &json!({"number": 1, "nested": {"a": "x"}}))
        .apply("b", &json!({"nested": {"b": "y"}}))
        .spec(&json!({"number": 1, "nested": {"a": "x", "b": "y"}}))
        .apply("a", &json!({"number": 1}))
        .spec(&json!({"number": 1, "nested": {"b": "y"}}))
        .owns("a", &[".spec.number"])
        .apply("b", &json!({}))
        .spec(&json!({"number": 1}))
        .owns("b", &[".spec"]);
}

#[test]
fn a_value_applied_alike_has_two_owners_and_stays_while_one_is_left() {
    Bench::new()
        .apply("a", &json!({"number": 1}))
        .apply("b", &json!({"number": 1}))
        .owns("a", &[".spec.number"])
        .owns("b", &[".spec.number"])
        .apply("a", &json!({"nested": {"a": "x"}}))
        .spec(&json!({"number": 1, "nested": {"a": "x"}}))
        .apply("b", &json!({"nested": {"a": "x"}}))
        .spec(&json!({"nested": {"a": "x"}}));
}

#[test]
fn conflicts_name_managers_and_fields_and_force_takes_them() {
    Bench::new()
        .apply("a", &json!({"number": 1, "nested": {"a": "x"}}))
        .update("u", &json!({"number": 1, "nested": {"a": "x"}, "atoms": ["q"]}))
        .refused(
            "b",
            &json!({"number": 2}),
            "Apply failed with 1 conflict: conflict with \"a\": .spec.number",
        )
        .refused(
            "b",
            &json!({"atoms": []}),
            "Apply failed with 1 conflict: conflict with \"u\" using e.x/v1: .spec.atoms",
        )
        .refused(
            "b",
            &json!({"number": 2, "nested": {"a": "y"}, "atoms": []}),
            "Apply failed with 3 conflicts: conflicts with \"a\":\n- .spec.number\n- .spec.nested.a\n\
             conflicts with \"u\" using e.x/v1:\n- .spec.atoms",
        )
        .force("b", &json!({"number": 2}))
        .owns("a", &[".spec.nested.a"])
        .owns("b", &[".spec.number"])
        .spec(&json!({"number": 2, "nested": {"a": "x"}, "atoms": ["q"]}));
}

#[test]
fn elements_of_sets_and_keyed_lists_are_owned_one_by_one() {
    Bench::new()
        .apply("a", &json!({"set": ["x", "y"], "list": [{"id": 1, "value": "p"}, {"id": 2}]}))
        .apply("b", &json!({"set": ["y", "z"], "list": [{"id": 2, "zone": "z"}, {"id": 1, "zone": "w"}]}))
        .spec(&json!({
            "set": ["x", "y", "z"],
            "list": [{"id": 1, "value": "p"}, {"id": 2, "zone": "z"}, {"id": 1, "zone": "w"}]
        }))
        .apply("a", &json!({"set": ["x"]}))
        .spec(&json!({"set": ["x", "y", "z"], "list": [{"id": 2, "zone": "z"}, {"id": 1, "zone": "w"}]}))
        .apply("b", &json!({}))
        .spec(&json!({"set": ["x"]}))
        .owns("a", &[".spec.set[=\"x\"]"]);
}

#[test]
fn merged_lists_follow_the_applied_order_around_what_only_the_object_has() {
    let cases = [
        (json!(["a", "b", "c"]), json!(["c", "a"]), json!(["b", "c", "a"])),
        (json!(["a", "b", "c", "d"]), json!(["d", "b"]), json!(["a", "c", "d", "b"])),
        (json!(["1", "2", "3", "4"]), json!(["4", "2", "5"]), json!(["1", "3", "4", "2", "5"])),
        (json!(["a"]), json!(["b"]), json!(["a", "b"])),
        (json!(["a", "b"]), json!(["x", "b"]), json!(["a", "x", "b"])),
        (json!([]), json!(["b", "a"]), json!(["b", "a"])),
    ];
    for (live, applied, expected) in cases {
        Bench::new()
            .update("u", &json!({"set": live}))
            .apply("a", &json!({"set": applied}))
            .spec(&json!({"set": expected}));
    }
}

#[test]
fn atomic_values_are_replaced_and_fought_over_as_one() {
    Bench::new()
        .apply("a", &json!({"atoms": ["x"], "whole": {"k": "v"}}))
        .refused(
            "b",
            &json!({"whole": {"l": "w"}}),
            "Apply failed with 1 conflict: conflict with \"a\": .spec.whole",
        )
        .force("b", &json!({"atoms": ["y", "x"], "whole": {"l": "w"}}))
        .spec(&json!({"atoms": ["y", "x"], "whole": {"l": "w"}}))
        .owns("a", &[])
        .owns("b", &[".spec.atoms", ".spec.whole"]);
}

#[test]
fn maps_and_free_form_fields_are_owned_by_entry() {
    Bench::new()
        .apply("a", &json!({"map": {"k": {"v": "1"}}, "free": {"x": {"y": [1]}}}))
        .owns("a", &[".spec.free.x", ".spec.free.x.y", ".spec.map.k", ".spec.map.k.v"])
        .apply("b", &json!({"map": {"k": {}, "l": {"v": "2"}}}))
        .apply("a", &json!({"map": {}}))
        .spec(&json!({"map": {"k": {}, "l": {"v": "2"}}}))
        .owns("a", &[".spec.map"]);
}

#[test]
fn an_applier_does_not_remove_what_an_updater_owns() {
    Bench::new()
        .apply("a", &json!({"number": 1, "nested": {"a": "x"}}))
        .update("u", &json!({"number": 2, "nested": {"a": "x"}}))
        .owns("a", &[".spec.nested.a"])
        .apply("a", &json!({"nested": {"a": "x"}}))
        .spec(&json!({"number": 2, "nested": {"a": "x"}}));
}

#[test]
fn a_list_that_became_atomic_is_owned_as_a_whole() {
    let mut bench = Bench::new();
    bench.apply("a", &json!({"set": ["x"], "number": 1}));
    let mut schema = schema_text();
    schema["properties"]["spec"]["properties"]["set"]["x-kubernetes-list-type"] = json!("atomic");
    bench
        .with(&schema)
        .refused("b", &json!({"set": ["y"]}), "Apply failed with 1 conflict: conflict with \"a\": .spec.set")
        .force("b", &json!({"set": ["y"]}))
        .spec(&json!({"set": ["y"], "number": 1}))
        .owns("a", &[".spec.number"]);
}

#[test]
fn times_move_only_when_the_object_changes() {
    let time = |bench: &Bench, manager: &str| {
        let live = bench.live.as_ref().unwrap();
        let entries = live["metadata"]["managedFields"].as_array().unwrap().clone();
        let entry = entries.into_iter().find(|entry| entry["manager"] == manager).unwrap();
        entry.get("time").and_then(Value::as_str).map(str::to_owned)
    };
    let mut bench = Bench::new();
    bench.apply("a", &json!({"number": 1})).apply("a", &json!({"number": 1}));
    assert_eq!(time(&bench, "a").as_deref(), Some("2030-01-01T00:00:01Z"));
    // As the API server does: joining as owner without changing anything leaves the entry without a time.
    bench.apply("b", &json!({"number": 1}));
    assert_eq!(time(&bench, "b"), None);
    bench.force("b", &json!({"number": 2}));
    assert_eq!(time(&bench, "b").as_deref(), Some("2030-01-01T00:00:04Z"));
}

#[test]
fn configurations_that_do_not_fit_are_refused_with_the_api_servers_words() {
    let cases = [
        (json!({"unknown": 1}), ".spec.unknown: field not declared in schema"),
        (json!({"number": "x"}), ".spec.number: expected numeric (int or float), got string"),
        (
            json!({"nested": {"a": 1}}),
            ".spec.nested.a: expected string, got &value.valueUnstructured{Value:1}",
        ),
        (json!({"set": ["a", "a"]}), ".spec.set: duplicate entries for key [=\"a\"]"),
        (
            json!({"set": [null]}),
            ".spec.set: element 0: associative list without keys has an element that's an explicit null",
        ),
        (json!({"map": 3}), ".spec.map: expected map, got &{3}"),
        (
            json!({"nested": {"a": {"k": [true]}}, "number": "x"}),
            "errors:\n  .spec.nested.a: expected string, got &value.valueUnstructured{Value:map[string]interface {}{\"k\":[]interface {}{true}}}\n  .spec.number: expected numeric (int or float), got string",
        ),
    ];
    for (spec, reason) in cases {
        let message = format!("failed to create typed patch object (s/n; e.x/v1, Kind=W): {reason}");
        Bench::new().refused("a", &spec, &message);
    }
    let mut config = Bench::config(&json!({}));
    config["metadata"]["managedFields"] = json!([]);
    let refused = Bench::new().try_apply("a", false, &config);
    assert_eq!(refused, Err("metadata.managedFields must be nil".to_owned()));
}

#[test]
fn reset_fields_and_identifying_metadata_are_never_owned() {
    let mut bench = Bench::new();
    let mut config = Bench::config(&json!({"number": 1}));
    config["status"] = json!({"phase": "up"});
    config["metadata"]["labels"] = json!({"l": "1"});
    bench.try_apply("a", false, &config).unwrap();
    bench.owns("a", &[".metadata.labels.l", ".spec.number"]);
}

#[test]
fn an_untracked_object_gets_an_owner_before_its_first_apply() {
    let mut bench = Bench::new();
    bench.live = Some(Bench::config(&json!({"number": 1})));
    bench
        .refused(
            "a",
            &json!({"number": 2}),
            "Apply failed with 1 conflict: conflict with \"before-first-apply\" using e.x/v1: .spec.number",
        )
        .apply("a", &json!({"number": 1}))
        .owns("before-first-apply", &[".spec", ".spec.number"]);
}

#[test]
fn entries_of_versions_the_kind_does_not_have_are_dropped_and_others_compared() {
    let bench = Bench::new();
    let entry = |manager: &str, version: &str| {
        json!({"manager": manager, "operation": "Apply", "apiVersion": version, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:number": {}}}})
    };
    let mut live = Bench::config(&json!({"number": 1}));
    live["metadata"]["managedFields"] = json!([entry("old", "e.x/v0"), entry("gone", "e.x/v9")]);
    let (config, reset) = (Bench::config(&json!({"number": 2})), FieldSet::new());
    let others = [OtherVersion { api_version: "e.x/v0", schema: Some(bench.typed()) }];
    let request = |force| Apply {
        live: Some(&live),
        applied: &config,
        schema: Some(bench.typed()),
        others: &others,
        manager: "a",
        force,
        subresource: "",
        now: "2030-01-01T00:00:00Z",
        reset: &reset,
    };
    let Err(ApplyError::Conflicts(conflicts)) = apply(&request(false)) else { panic!("a conflict") };
    assert_eq!(conflicts.causes()[0].message, "conflict with \"old\"");
    assert_eq!(conflicts.causes()[0].field, ".spec.number");
    let merged = apply(&request(true)).unwrap();
    let entries = merged["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.iter().map(|entry| &entry["manager"]).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn kubectl_takes_over_what_client_side_apply_left_untouched() {
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let mut bench = Bench::new();
    let applied = Bench::config(&json!({"number": 1, "nested": {"a": "<"}}));
    let mut live = applied.clone();
    live["metadata"]["annotations"] = json!({annotation: applied.to_string()});
    let reset = FieldSet::new();
    let typed = bench.typed();
    let request = Update {
        live: None,
        new: live,
        schema: Some(typed),
        others: &[],
        manager: "kubectl-client-side-apply",
        subresource: "",
        now: "2030-01-01T00:00:00Z",
        reset: &reset,
    };
    bench.live = Some(update(request));
    bench
        .refused(
            "other",
            &json!({"number": 2}),
            "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using e.x/v1: .spec.number",
        )
        .apply("kubectl", &json!({"number": 2, "nested": {"a": "<"}}));
    let live = bench.live.clone().unwrap();
    assert_eq!(
        live["metadata"]["annotations"][annotation],
        "{\"apiVersion\":\"e.x/v1\",\"kind\":\"W\",\"metadata\":{\"name\":\"n\",\"namespace\":\"s\"},\
         \"spec\":{\"nested\":{\"a\":\"\\u003c\"},\"number\":2}}\n"
    );
    bench.update("edit", &json!({"number": 5, "nested": {"a": "<"}})).refused(
        "kubectl",
        &json!({"number": 6}),
        "Apply failed with 1 conflict: conflict with \"edit\" using e.x/v1: .spec.number",
    );
}

#[test]
fn without_a_schema_objects_are_granular_and_lists_atomic() {
    let reset = FieldSet::new();
    let first = json!({"apiVersion": "e.x/v1", "kind": "W", "spec": {"a": {"b": 1}, "l": [1]}});
    let second = json!({"apiVersion": "e.x/v1", "kind": "W", "spec": {"a": {"c": 2}, "l": [2]}});
    let request = |live, applied, manager, force| Apply {
        live,
        applied,
        schema: None,
        others: &[],
        manager,
        force,
        subresource: "",
        now: "2030-01-01T00:00:00Z",
        reset: &reset,
    };
    let live = apply(&request(None, &first, "a", false)).unwrap();
    let refused = apply(&request(Some(&live), &second, "b", false)).unwrap_err();
    assert_eq!(refused.to_string(), "Apply failed with 1 conflict: conflict with \"a\": .spec.l");
    let merged = apply(&request(Some(&live), &second, "b", true)).unwrap();
    assert_eq!(merged["spec"], json!({"a": {"b": 1, "c": 2}, "l": [2]}));
}

/// Lists are never empty: an empty one owns nothing, so that its applier may end up without an entry.
fn spec() -> impl Strategy<Value = Value> {
    let text = || "[ab]".prop_map(Value::from);
    let distinct = proptest::collection::btree_set("[a-d]", 1..4).prop_map(|items| json!(items));
    let list = proptest::collection::btree_map(0..4, text(), 1..4).prop_map(|items| {
        Value::from(
            items.into_iter().map(|(id, value)| json!({"id": id, "value": value})).collect::<Vec<_>>(),
        )
    });
    let map = proptest::collection::btree_map("[a-c]", text().prop_map(|v| json!({"v": v})), 0..3)
        .prop_map(|map| json!(map));
    let fields = prop_oneof![
        (0..3i64).prop_map(|n| ("number", json!(n))),
        text().prop_map(|v| ("nested", json!({"a": v}))),
        text().prop_map(|v| ("nested", json!({"b": v}))),
        distinct.prop_map(|v| ("set", v)),
        list.prop_map(|v| ("list", v)),
        map.prop_map(|v| ("map", v)),
        text().prop_map(|v| ("atoms", json!([v]))),
        text().prop_map(|v| ("free", json!({"x": {"y": v}}))),
    ];
    proptest::collection::vec(fields, 0..5).prop_map(|fields| {
        Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn applying_again_changes_nothing(steps in proptest::collection::vec((0..3usize, spec()), 1..6)) {
        let mut bench = Bench::new();
        for (who, spec) in steps {
            let (manager, config) = (["a", "b", "c"][who], Bench::config(&spec));
            bench.try_apply(manager, true, &config).unwrap();
            let once = bench.live.clone();
            bench.try_apply(manager, false, &config).unwrap();
            prop_assert_eq!(&bench.live, &once);
        }
    }

    #[test]
    fn what_is_applied_is_in_the_object(first in spec(), second in spec()) {
        let mut bench = Bench::new();
        bench.force("a", &first).force("b", &second);
        let typed = crate::node::Node::root(Some(bench.typed()));
        let wanted = Bench::config(&second);
        let change = crate::typed::compare(&wanted, bench.live.as_ref().unwrap(), typed).unwrap();
        prop_assert!(change.modified.is_empty(), "{}", change.modified);
        prop_assert!(change.removed.is_empty(), "{}", change.removed);
    }
}

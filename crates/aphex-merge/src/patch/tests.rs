#![allow(clippy::needless_pass_by_value)] // literals read better passed as they are

use aphex_schema::builtin;
use serde_json::{Value, json};

use super::{JsonPatchError, PatchError, json_patch, merge_patch, strategic_merge};

#[test]
fn merge_patches_follow_rfc_7396() {
    let live = json!({"a": {"b": 1, "c": 2}, "l": [1, 2]});
    assert_eq!(
        merge_patch(&live, &json!({"a": {"b": null, "d": {"e": null}}, "l": [3]})).unwrap(),
        json!({"a": {"c": 2, "d": {}}, "l": [3]})
    );
    let refused = merge_patch(&live, &json!([])).unwrap_err().to_string();
    assert_eq!(
        refused,
        "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
    );
}

#[test]
fn json_patches_do_what_the_api_servers_library_does() {
    let live = json!({"a": {"b": [1, 2, 3]}, "x/y": 1});
    let cases = [
        (json!([{"op": "add", "path": "/a/b/1", "value": 9}]), json!({"a": {"b": [1, 9, 2, 3]}, "x/y": 1})),
        (json!([{"op": "add", "path": "/a/b/-", "value": 9}]), json!({"a": {"b": [1, 2, 3, 9]}, "x/y": 1})),
        (
            json!([{"op": "replace", "path": "/a/new", "value": 9}]),
            json!({"a": {"b": [1, 2, 3], "new": 9}, "x/y": 1}),
        ),
        (json!([{"op": "remove", "path": "/a/b/-1"}]), json!({"a": {"b": [1, 2]}, "x/y": 1})),
        (
            json!([{"op": "test", "path": "/none", "value": null}, {"op": "remove", "path": "/x~1y"}]),
            json!({"a": {"b": [1, 2, 3]}}),
        ),
        (json!([{"op": "move", "from": "/x~1y", "path": "/a/z"}]), json!({"a": {"b": [1, 2, 3], "z": 1}})),
        (
            json!([{"op": "copy", "from": "/a", "path": "/c"}]),
            json!({"a": {"b": [1, 2, 3]}, "x/y": 1, "c": {"b": [1, 2, 3]}}),
        ),
        (json!([{"op": "replace", "path": "", "value": {}}]), json!({})),
    ];
    for (patch, expected) in cases {
        assert_eq!(json_patch(&live, &patch).unwrap(), expected, "{patch}");
    }
}

#[test]
fn failing_json_patches_say_why() {
    let live = json!({"a": {"b": [1]}, "s": "t"});
    let cases = [
        (json!({"op": "test", "path": "/s", "value": 1}), "testing value /s failed: test failed"),
        (
            json!({"op": "test", "path": "/q/r", "value": 1}),
            "test operation does not apply: is missing path: /q/r: missing value",
        ),
        (
            json!({"op": "add", "path": "/q/r", "value": 1}),
            "add operation does not apply: doc is missing path: \"/q/r\": missing value",
        ),
        (
            json!({"op": "add", "path": "/a/b/5", "value": 1}),
            "error in add for path: '/a/b/5': Unable to access invalid index: 5: invalid index referenced",
        ),
        (
            json!({"op": "remove", "path": "/q"}),
            "error in remove for path: '/q': Unable to remove nonexistent key: q: missing value",
        ),
        (
            json!({"op": "replace", "path": "/a/b/1", "value": 1}),
            "replace operation does not apply: doc is missing key: /a/b/1: missing value",
        ),
        (
            json!({"op": "move", "from": "/q", "path": "/r"}),
            "error in move for path: 'q': Unable to remove nonexistent key: q: missing value",
        ),
        (json!({"op": "guess", "path": "/q"}), "Unexpected kind: guess"),
    ];
    for (operation, message) in cases {
        match json_patch(&live, &json!([operation])) {
            Err(JsonPatchError::Failed(found)) => assert_eq!(found, message),
            other => panic!("{operation}: {other:?}"),
        }
    }
    let many = Value::from(vec![json!({"op": "add", "path": "/a", "value": 1}); 10_001]);
    let refused = json_patch(&live, &many).unwrap_err().to_string();
    assert_eq!(refused, "The allowed maximum operations in a JSON patch is 10000, got 10001");
    for (patch, target) in [(json!("x"), "[]handlers.jsonPatchOp"), (json!(["x"]), "handlers.jsonPatchOp")] {
        let refused = json_patch(&live, &patch).unwrap_err().to_string();
        let reason =
            format!("error decoding patch: json: cannot unmarshal string into Go value of type {target}");
        assert_eq!(refused, reason);
    }
}

fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "n", "finalizers": ["a", "b", "c"]}, "spec": spec})
}

fn strategic(live: &Value, patch: &Value) -> Result<Value, PatchError> {
    strategic_merge(live, patch, builtin::typed("", "v1", "Pod").expect("a built-in"))
}

fn names(pod: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    pod["spec"]["containers"].as_array().unwrap().iter().map(|c| text(&c["name"])).collect()
}

#[test]
fn keyed_lists_merge_and_keep_everyones_order() {
    let live = pod(
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}, {"name": "c", "image": "1"}]}),
    );
    let cases = [
        (json!({"containers": [{"name": "b", "image": "2"}]}), vec!["a", "b", "c"]),
        (json!({"containers": [{"name": "d"}]}), vec!["d", "a", "b", "c"]),
        (json!({"containers": [{"name": "c"}, {"name": "a"}]}), vec!["b", "c", "a"]),
        (json!({"containers": [{"name": "b", "$patch": "delete"}]}), vec!["a", "c"]),
        (json!({"containers": [{"$patch": "replace"}, {"name": "z"}]}), vec!["z"]),
        (
            json!({"$setElementOrder/containers": [{"name": "d"}, {"name": "a"}], "containers": [{"name": "d"}]}),
            vec!["d", "a", "b", "c"],
        ),
        (json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}), vec!["b", "c", "a"]),
    ];
    for (spec, expected) in cases {
        assert_eq!(names(&strategic(&live, &json!({"spec": spec})).unwrap()), expected, "{spec}");
    }
    let merged =
        strategic(&live, &json!({"spec": {"containers": [{"name": "b", "image": "2", "tty": null}]}}))
            .unwrap();
    assert_eq!(merged["spec"]["containers"][1], json!({"name": "b", "image": "2"}));
}

#[test]
fn sets_of_scalars_merge_and_have_a_parallel_list_of_deletions() {
    let live = pod(json!({}));
    let finalizers = |metadata: Value| {
        let merged = strategic(&live, &json!({"metadata": metadata})).unwrap();
        merged["metadata"]["finalizers"].clone()
    };
    assert_eq!(finalizers(json!({"finalizers": ["d", "a"]})), json!(["d", "a", "b", "c"]));
    assert_eq!(finalizers(json!({"$deleteFromPrimitiveList/finalizers": ["b"]})), json!(["a", "c"]));
    assert_eq!(
        finalizers(
            json!({"$setElementOrder/finalizers": ["c", "a"], "$deleteFromPrimitiveList/finalizers": ["b"]})
        ),
        json!(["c", "a"])
    );
}

#[test]
fn directives_replace_delete_and_retain() {
    let live = pod(json!({"nodeSelector": {"a": "1"}, "volumes": [{"name": "v", "emptyDir": {}}]}));
    let spec = |patch: Value| strategic(&live, &json!({"spec": patch})).unwrap()["spec"].clone();
    assert_eq!(
        spec(json!({"nodeSelector": {"$patch": "replace", "b": "2"}}))["nodeSelector"],
        json!({"b": "2"})
    );
    assert_eq!(spec(json!({"nodeSelector": {"$patch": "delete"}}))["nodeSelector"], json!({}));
    assert_eq!(spec(json!({"nodeSelector": null})).get("nodeSelector"), None);
    // Volumes retain only the listed keys: that is how one volume source replaces another.
    assert_eq!(
        spec(
            json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/p"}}]})
        )["volumes"],
        json!([{"name": "v", "hostPath": {"path": "/p"}}])
    );
    assert_eq!(
        spec(json!({"hostNetwork": true, "securityContext": {"runAsUser": null, "$patch": "merge"}}))["hostNetwork"],
        json!(true)
    );
}

#[test]
fn malformed_strategic_patches_say_why() {
    let live = pod(json!({"containers": [{"name": "a"}], "nodeSelector": {"a": "1"}}));
    let cases = [
        (
            json!({"containers": [{"image": "x"}]}),
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            json!({"containers": [{"name": "a", "$patch": "guess"}]}),
            "unknown patch type: guess in map: map[$patch:guess name:a]",
        ),
        (json!({"nodeSelector": {"$patch": "guess"}}), "unknown patch type: guess in map: map[$patch:guess]"),
        (json!({"$retainKeys": ["containers"], "hostname": "h"}), "invalid patch format of retainKeys"),
        (json!({"$setElementOrder/containers": "x"}), "expected a []interface {}, but received a string"),
        (json!({"containers": ["x"]}), "list element types are not identical: [[map[name:a]] [x]]"),
        (json!({"containers": [[1]]}), "list element types are not identical: [[map[name:a]] [[1]]]"),
        (
            json!({"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]}),
            "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
        ),
    ];
    for (spec, message) in cases {
        assert_eq!(strategic(&live, &json!({"spec": spec})).unwrap_err().to_string(), message, "{spec}");
    }
}

use aphex_api::foreign::triggers::{EventListenerSpec, InterceptorSpec, TriggerSpec};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;

fn trigger(spec: Value) -> Vec<String> {
    Trigger::new("web", serde_json::from_value::<TriggerSpec>(spec).unwrap()).problems()
}

fn interceptor(name: &str, params: &Value) -> Value {
    json!({ "template": { "ref": "x" }, "interceptors": [{ "ref": { "name": name }, "params": params }] })
}

#[test]
fn a_trigger_as_controllers_write_it_has_no_problem() {
    let spec = json!({
        "interceptors": [
            { "ref": { "name": "github" }, "params": [{ "name": "secretRef", "value": { "secretName": "a", "secretKey": "b" } }] },
            { "ref": { "name": "cel" }, "params": [{ "name": "filter", "value": "body.ref == 'x'" }] },
            { "ref": { "name": "own", "kind": "NamespacedInterceptor" } },
        ],
        "bindings": [{ "ref": "push" }, { "name": "a", "value": "$(body.list[*].x) and $(header.x-y)" }],
        "template": { "ref": "run" },
    });
    assert_eq!(trigger(spec), Vec::<String>::new());
}

#[test]
fn what_no_event_can_heal_is_told_with_its_place() {
    let filter = |text: &str| interceptor("cel", &json!([{ "name": "filter", "value": text }]));
    let resource = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "a": "$(tt.params.p)" } });
    let template = |spec: Value| json!({ "template": spec });
    let bindings = |bindings: Value| json!({ "bindings": bindings, "template": { "ref": "x" } });
    let cases = [
        (filter("body.ref =="), "spec.interceptors[0] has the filter body.ref ==, which cannot be read"),
        (filter("nobody == 1"), "spec.interceptors[0] has the filter nobody == 1"),
        (
            filter("body.commits.exists(c, c.added.all(f, f.matches('[z-a]')))"),
            "which cannot be read: the pattern '[z-a]' cannot be read: error parsing regexp: invalid character class range",
        ),
        (
            interceptor("cel", &json!([{ "name": "filter", "value": 1 }])),
            "spec.interceptors[0] cannot be read",
        ),
        (
            interceptor("github", &json!([{ "name": "secretRef", "value": { "secretName": "a" } }])),
            "without secretKey",
        ),
        (interceptor("", &json!([])), "names no interceptor"),
        (template(json!({})), "spec.template has neither ref nor spec"),
        (template(json!({ "ref": "a", "spec": {} })), "spec.template has both ref and spec"),
        (template(json!({ "spec": {} })), "spec.template.spec has no resourcetemplates"),
        (template(json!({ "spec": { "resourcetemplates": [{}] } })), "resourcetemplates[0] has no kind"),
        (
            template(
                json!({ "spec": { "resourcetemplates": [{ "metadata": { "annotations": { "y": true } } }] } }),
            ),
            "resourcetemplates[0].metadata.annotations has for y no string",
        ),
        (
            template(json!({ "spec": { "resourcetemplates": [resource] } })),
            "uses $(tt.params.p), which is not among",
        ),
        (bindings(json!([{ "name": "a" }])), "spec.bindings[0] has neither name and value nor ref"),
        (bindings(json!([{ "name": "a", "value": "" }, { "name": "a", "value": "" }])), "a second time"),
        (bindings(json!([{ "ref": "a", "kind": "Nothing" }])), "has the kind Nothing"),
        (
            bindings(json!([{ "name": "a", "value": "$(body[)" }])),
            "has the value $(body[), which cannot be read",
        ),
        (
            bindings(json!([{ "name": "a", "value": "$(body.l[?(@.n!='x' && @.n!='y')].v)" }])),
            "unrecognized character in action: U+0026 '&'",
        ),
    ];
    for (spec, expected) in cases {
        let found = trigger(spec.clone());
        assert!(found.iter().any(|problem| problem.contains(expected)), "{spec}: {found:?}");
    }
}

#[test]
fn a_listeners_entries_and_groups_are_looked_at() {
    let spec: EventListenerSpec = serde_json::from_value(json!({
        "triggers": [{ "name": "a" }, { "name": "b", "template": { "ref": "x" } }, { "triggerRef": "c" }],
        "triggerGroups": [{ "name": "g", "interceptors": [], "triggerSelector": {} }],
        "labelSelector": { "matchExpressions": [{ "key": "a", "operator": "Nothing" }] },
    }))
    .unwrap();
    let mut listener = EventListener::new("el", spec);
    let found = listener.problems();
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].starts_with("spec.triggers[0] has neither template nor triggerRef"));
    assert!(found[1].starts_with("spec.triggers[1] has no interceptor with a secretRef"));
    assert!(found[2].starts_with("spec.triggerGroups[0].triggerSelector selects nothing"));
    assert!(found[3].starts_with("spec.labelSelector cannot be read, so no trigger"));
    listener.metadata.annotations =
        Some([("platform.aphex/unsigned-events".to_owned(), "accept".to_owned())].into());
    assert_eq!(listener.problems().len(), 3);
}

#[test]
fn an_interceptor_that_cannot_be_called_is_told_with_its_place() {
    let config = |config: Value| {
        let spec: InterceptorSpec = serde_json::from_value(json!({ "clientConfig": config })).unwrap();
        Interceptor::new("own", spec).problems()
    };
    let bundle = |text: &str| json!({ "url": "https://own.example.com", "caBundle": STANDARD.encode(text) });
    let damaged = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let cases = [
        (json!({}), "neither clientConfig.url nor clientConfig.service"),
        (json!({ "url": "own.example.com:80" }), "spec.clientConfig leads to own.example.com:80"),
        (json!({ "url": "ftp://own.example.com" }), "spec.clientConfig leads to ftp://own.example.com"),
        (json!({ "url": "https://own.example.com", "caBundle": "!" }), "not PEM in base64"),
        (bundle("nothing of the kind"), "spec.clientConfig.caBundle has no certificate"),
        (bundle(damaged), "spec.clientConfig.caBundle has no certificate"),
    ];
    for (spec, expected) in cases {
        let found = config(spec.clone());
        assert!(found.len() == 1 && found[0].contains(expected), "{spec}: {found:?}");
    }
    let service = json!({ "service": { "name": "own", "namespace": "lab", "path": "x" } });
    for right in [service, json!({ "url": "http://own.example.com/x" })] {
        assert_eq!(config(right), Vec::<String>::new());
    }
}

#[test]
fn where_cloud_events_go_is_an_address() {
    let wrong = |uri: Value| told_at(Some(&uri)).is_some();
    assert!(wrong(json!("broker")) && wrong(json!("ftp://broker")) && wrong(json!(7)));
    assert!(!wrong(json!("http://broker.default.svc/")) && !wrong(json!("")) && !wrong(Value::Null));
    assert_eq!(told_at(None), None);
}

use aphex_api::foreign::triggers::{InterceptorParam, InterceptorRef};
use jiff::Timestamp;
use serde_json::json;

use super::*;

struct One;

impl Secrets for One {
    fn value(&self, secret: &SecretKeyRef) -> Option<Vec<u8>> {
        (*secret == reference("token", "key")).then(|| b"open sesame".to_vec())
    }
}

fn reference(name: &str, key: &str) -> SecretKeyRef {
    SecretKeyRef { namespace: "org-acme".into(), name: name.into(), key: key.into() }
}

fn interceptor(name: &str, params: Value) -> TriggerInterceptor {
    let Value::Object(params) = params else { panic!("parameters are an object") };
    TriggerInterceptor {
        reference: InterceptorRef { name: name.into(), ..InterceptorRef::default() },
        params: params.into_iter().map(|(name, value)| InterceptorParam { name, value }).collect(),
        ..TriggerInterceptor::default()
    }
}

fn outcome(kind: &str, body: Value, chain: &[TriggerInterceptor]) -> Outcome {
    let event = Event {
        id: "e1".into(),
        kind: kind.into(),
        headers: [
            ("X-Github-Event".to_owned(), kind.to_owned()),
            ("X-Token".to_owned(), "open sesame".to_owned()),
        ]
        .into(),
        body,
        url: "/acme?x=1".into(),
        received: Timestamp::UNIX_EPOCH,
    };
    let context = Context {
        event: &event,
        namespace: "org-acme",
        verified: &[reference("webhook-web", "secret")],
        secrets: Arc::new(One),
        cel: &cel::Programs::default(),
    };
    run(chain, &context, Map::from_iter([("given".to_owned(), json!("before"))]))
}

fn github(params: Value) -> End {
    outcome("push", json!({ "ref": "refs/heads/main" }), &[interceptor("github", params)]).end
}

fn stopped(message: &str, rejection: Rejection) -> End {
    End::Stopped { message: message.into(), rejection }
}

#[test]
fn github_lets_pass_what_its_parameters_allow() {
    assert_eq!(github(json!({})), End::Passed);
    assert_eq!(github(json!({ "eventTypes": ["pull_request", "push"] })), End::Passed);
    assert_eq!(github(json!({ "eventTypes": null })), End::Passed);
    assert_eq!(
        github(json!({ "secretRef": { "secretName": "webhook-web", "secretKey": "secret" } })),
        End::Passed
    );
    assert_eq!(
        github(json!({ "eventTypes": ["pull_request"] })),
        stopped("event type push is not allowed", Rejection::EventType)
    );
    assert_eq!(
        github(json!({ "secretRef": { "secretName": "webhook-other", "secretKey": "secret" } })),
        stopped("payload signature check failed", Rejection::Other)
    );
    let end = github(json!({ "secretRef": { "secretName": "webhook-web" } }));
    assert!(matches!(end, End::Failed { message } if message.contains("secretKey is empty")));
}

#[test]
fn github_adds_the_changed_files_of_a_push() {
    let body = json!({
        "repository": { "full_name": "acme/web" },
        "commits": [
            { "added": ["a"], "modified": ["b"], "removed": [] },
            { "added": [], "modified": [], "removed": ["c"] },
        ],
    });
    let chain = [
        interceptor("github", json!({ "addChangedFiles": { "enabled": true } })),
        interceptor("cel", json!({ "filter": "extensions.changed_files.split(',').exists(f, f == 'b')" })),
    ];
    let outcome = outcome("push", body, &chain);
    assert_eq!(outcome.end, End::Passed, "{outcome:?}");
    assert_eq!(outcome.extensions["changed_files"], "a,b,c");
}

#[test]
fn what_would_need_githubs_api_fails() {
    for params in
        [json!({ "addChangedFiles": { "enabled": true } }), json!({ "githubOwners": { "enabled": true } })]
    {
        let end = outcome("pull_request", json!({}), &[interceptor("github", params)]).end;
        assert!(matches!(end, End::Failed { message } if message.contains("GitHub's API")));
    }
}

/// Rows after pkg/interceptors/cel/cel_test.go.
#[test]
fn cel_filters_see_what_tektons_see() {
    let body = json!({
        "ref": "refs/heads/main", "number": 7, "sha": "ec26c3e5", "nested": { "list": ["a", "b"] },
        "json_body": "{\"testing\": \"value\"}", "b64value": "ZXhhbXBsZQ==", "upper": "Test",
    });
    let cases = [
        ("body.ref == 'refs/heads/main'", true),
        ("body.ref == 'refs/heads/other'", false),
        ("body.ref", false),
        ("body.number == 7", true),
        ("body.number > 6.5", true),
        ("header.match('X-Github-Event', 'push')", true),
        ("header.match('x-github-event', 'push')", true),
        ("header.canonical('X-Github-Event') == 'push'", true),
        ("header['X-Github-Event'][0] == 'push'", true),
        ("extensions.given == 'before'", true),
        ("requestURL.parseURL().path == '/acme'", true),
        ("has(body.missing)", false),
        ("body.ref.startsWith('refs/heads/') && !(body.sha in ['x'])", true),
        ("body.ref.split('/')[2] == 'main'", true),
        ("body.json_body.parseJSON().testing == 'value'", true),
        ("body.upper.lowerAscii() == 'test'", true),
        ("string(base64.decode(body.b64value)) == 'example'", true),
        ("body.nested.list.last() == 'b'", true),
        ("header.canonical('X-Token').compareSecret('key', 'token')", true),
        ("'wrong'.compareSecret('key', 'token')", false),
    ];
    for (filter, expected) in cases {
        let outcome = outcome("push", body.clone(), &[interceptor("cel", json!({ "filter": filter }))]);
        let expected = if expected {
            End::Passed
        } else {
            stopped(&format!("expression {filter} did not return true"), Rejection::Filter(filter.into()))
        };
        assert_eq!(outcome.end, expected, "{filter}: {outcome:?}");
    }
    for broken in ["body.ref ==", "body.missing == 'x'", "nobody == 1", "'x'.compareSecret('key', 'nobody')"]
    {
        let outcome = outcome("push", body.clone(), &[interceptor("cel", json!({ "filter": broken }))]);
        assert!(matches!(outcome.end, End::Failed { .. }), "{broken}: {outcome:?}");
        assert_eq!(outcome.results[0].expression.as_deref(), Some(broken));
    }
}

#[test]
fn a_filter_shows_the_values_it_saw() {
    let filter = "body.ref == 'refs/heads/main'";
    let outcome = outcome(
        "push",
        json!({ "ref": "refs/heads/topic" }),
        &[interceptor("cel", json!({ "filter": filter }))],
    );
    assert_eq!(outcome.results[0].expression.as_deref(), Some(filter));
    assert_eq!(outcome.results[0].values.get("body.ref").map(String::as_str), Some("refs/heads/topic"));
}

#[test]
fn overlays_become_extensions_for_those_after() {
    let chain = [
        interceptor(
            "cel",
            json!({ "overlays": [
                { "key": "short", "expression": "body.sha.substring(0, 3)" },
                { "key": "deep.number", "expression": "7" },
                { "key": "deep.list", "expression": "['a', 'b']" },
                { "key": "truth", "expression": "1 < 2" },
            ] }),
        ),
        interceptor(
            "cel",
            json!({ "filter": "extensions.short == 'ec2' && extensions.deep.list.size() == 2" }),
        ),
    ];
    let outcome = outcome("push", json!({ "sha": "ec26c3e5" }), &chain);
    assert_eq!(outcome.end, End::Passed, "{outcome:?}");
    let expected = json!({
        "given": "before", "short": "ec2", "deep": { "number": 7, "list": ["a", "b"] }, "truth": true,
    });
    assert_eq!(Value::Object(outcome.extensions), expected);
}

#[test]
fn the_chain_ends_where_it_is_stopped() {
    let chain =
        [interceptor("cel", json!({ "filter": "false" })), interceptor("cel", json!({ "filter": "true" }))];
    assert_eq!(outcome("push", json!({}), &chain).results.len(), 1);
    let end = outcome("push", json!({}), &[interceptor("bitbucket", json!({}))]).end;
    assert!(matches!(end, End::Failed { message } if message.starts_with("bitbucket is not one of")));
}

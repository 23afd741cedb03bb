use aphex_api::foreign::triggers::{InterceptorParam, InterceptorRef};
use jiff::Timestamp;
use serde_json::json;

use super::outside::{Endpoint, Question, Response};
use super::*;

/// A Secret, and what is asked: address to status, link to the next page, body.
#[derive(Default)]
struct World(Vec<(&'static str, (u16, String, Value))>);

impl Outside for World {
    fn secret(&self, secret: &SecretKeyRef) -> Option<secrecy::SecretSlice<u8>> {
        (*secret == reference("token", "key")).then(|| b"open sesame".to_vec().into())
    }

    fn answer(&self, question: &Question) -> Option<Result<Response, String>> {
        let (status, link, body) = self.0.iter().find(|(url, ..)| *url == question.url)?.1.clone();
        let headers = [("Link".to_owned(), link)].into();
        Some(Ok(Response { status, headers, body: body.to_string().into() }))
    }
}

/// Services that are known to be somewhere.
struct Known;

impl Interceptors for Known {
    fn cluster_interceptor(&self, name: &str) -> Option<Result<Endpoint, String>> {
        (name == "remote")
            .then(|| Ok(Endpoint { url: "https://remote.example.com/".into(), ca_bundle: None }))
    }

    fn interceptor(&self, namespace: &str, name: &str) -> Option<Result<Endpoint, String>> {
        ((namespace, name) == ("org-acme", "own")).then(|| Err("has no address".into()))
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
    outcome_in(World::default(), kind, body, chain)
}

fn outcome_in(world: World, kind: &str, body: Value, chain: &[TriggerInterceptor]) -> Outcome {
    let event = Event {
        id: "e1".into(),
        kind: kind.into(),
        headers: [
            ("X-Github-Event".to_owned(), kind.to_owned()),
            ("X-Token".to_owned(), "open sesame".to_owned()),
        ]
        .into(),
        raw: body.to_string().into(),
        body,
        url: "/acme?x=1".into(),
        received: Timestamp::UNIX_EPOCH,
    };
    let context = Context {
        namespace: "org-acme",
        listener_namespace: "org-acme",
        trigger_id: "namespaces/org-acme/triggers/web".into(),
        verified: &[reference("webhook-web", "secret")],
        outside: Arc::new(world),
        known: &Known,
        github_api: "https://api.github.com",
        cel: &cel::Programs::default(),
    };
    run(chain, &context, &event, Map::from_iter([("given".to_owned(), json!("before"))]))
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
    assert!(matches!(end, End::Failed { message, .. } if message.contains("secretKey is empty")));
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
fn a_pattern_that_is_none_fails_its_expression_whether_an_event_comes_to_it_or_not() {
    for filter in [
        // There is no file that it would be held against: one would match nothing, the other everything.
        "body.files.exists(f, f.matches('(docs'))",
        "body.files.all(f, f.matches('(docs'))",
        "body.ref == 'main' || body.ref.matches('(docs')",
        "body.ref != 'main' && !body.ref.matches('(docs')",
    ] {
        let chain = [interceptor("cel", json!({ "filter": filter }))];
        let outcome = outcome("push", json!({ "ref": "main", "files": [] }), &chain);
        let said = matches!(&outcome.end, End::Failed { message, may_pass: false }
            if message.contains("the pattern '(docs' cannot be read: error parsing regexp: missing closing )"));
        assert!(said, "{filter}: {outcome:?}");
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
    let end = outcome("push", json!({}), &[interceptor("nobody", json!({}))]).end;
    assert!(
        matches!(end, End::Failed { message, .. } if message == "ClusterInterceptor nobody does not exist")
    );
}

fn pull_request() -> Value {
    json!({
        "number": 7, "sender": { "login": "dev" }, "repository": { "full_name": "acme/web" },
        "issue": { "number": 7 }, "comment": { "body": "Fine.\n/ok-to-test" },
    })
}

const FILES: &str = "https://api.github.com/repos/acme/web/pulls/7/files?per_page=100";

#[test]
fn files_of_a_pull_request_are_read_page_by_page() {
    let chain = [interceptor("github", json!({ "addChangedFiles": { "enabled": true } }))];
    let second = "https://api.github.com/repos/acme/web/pulls/7/files?per_page=100&page=2";
    let asked = |second_page: &'static str| {
        let link = format!("<{second_page}>; rel=\"next\", <x>; rel=\"last\"");
        let world = World(vec![
            (FILES, (200, link, json!([{ "filename": "a" }, { "filename": "b" }]))),
            (second_page, (200, String::new(), json!([{ "filename": "c" }]))),
        ]);
        outcome_in(world, "pull_request", pull_request(), &chain)
    };
    assert_eq!(asked(second).extensions["changed_files"], "a,b,c");
    let end = asked("https://elsewhere.example.com/files").end;
    assert!(matches!(end, End::Failed { message, may_pass: false } if message.contains("another server")));
    let end = outcome("pull_request", pull_request(), &chain).end;
    assert!(matches!(end, End::Failed { may_pass: true, .. }));
    let refused = |status: u16| {
        let world = World(vec![(FILES, (status, String::new(), json!({ "message": "Bad credentials" })))]);
        outcome_in(world, "pull_request", pull_request(), &chain).end
    };
    assert!(
        matches!(refused(401), End::Failed { message, may_pass: false } if message.contains("Bad credentials"))
    );
    assert!(matches!(refused(502), End::Failed { may_pass: true, .. }));
}

#[test]
fn owners_are_members_or_in_the_file() {
    let token = json!({ "secretName": "token", "secretKey": "key" });
    let answer = |url: &'static str, body: Value| (url, (200, String::new(), body));
    let end = |kind: &str, check: &str, body: Value, world: Vec<(&'static str, (u16, String, Value))>| {
        let params =
            json!({ "githubOwners": { "enabled": true, "checkType": check, "personalAccessToken": token } });
        outcome_in(World(world), kind, body, &[interceptor("github", params)]).end
    };
    let members = "https://api.github.com/orgs/acme/public_members?per_page=100";
    let collaborators = "https://api.github.com/repos/acme/web/collaborators?per_page=100";
    let file = "https://api.github.com/repos/acme/web/contents/OWNERS";
    // "approvers: [someone]\nreviewers: [Dev]", in lines as GitHub writes base64.
    let owners = json!({ "content": "YXBwcm92ZXJzOiBbc29tZW9uZV0K\ncmV2aWV3ZXJzOiBbRGV2XQ==\n" });
    let nobody = (file, (404, String::new(), json!({})));
    let refused = stopped("owners check requirements not met", Rejection::Other);
    let dev = json!([{ "login": "other" }, { "login": "dev" }]);
    for kind in ["pull_request", "issue_comment"] {
        let asked = |check, world| end(kind, check, pull_request(), world);
        assert_eq!(asked("orgMembers", vec![answer(members, dev.clone())]), End::Passed);
        assert_eq!(asked("repoMembers", vec![answer(collaborators, dev.clone())]), End::Passed);
        assert_eq!(asked("none", vec![answer(file, owners.clone())]), End::Passed);
        assert_eq!(asked("none", vec![nobody.clone()]), refused);
        let none = vec![answer(members, json!([])), answer(collaborators, json!([])), nobody.clone()];
        assert_eq!(asked("all", none), refused);
    }
    let mut silent = pull_request();
    silent["comment"]["body"] = "Fine.".into();
    assert_eq!(end("issue_comment", "orgMembers", silent, vec![answer(members, dev)]), refused);
    assert_eq!(
        outcome("push", json!({}), &[interceptor("github", json!({ "githubOwners": { "enabled": true } }))])
            .end,
        End::Passed
    );
}

#[test]
fn a_service_decides_by_its_answer() {
    let asked = |status: u16, body: Value| {
        let world = World(vec![("https://remote.example.com/", (status, String::new(), body))]);
        outcome_in(world, "push", json!({ "a": 1 }), &[interceptor("remote", json!({ "x": 1 }))])
    };
    let passed = asked(200, json!({ "continue": true, "extensions": { "seen": true } }));
    assert_eq!((passed.end, &passed.extensions["seen"]), (End::Passed, &json!(true)));
    let refusal = json!({ "continue": false, "status": { "code": 9, "message": "not today" } });
    assert_eq!(asked(200, refusal).end, stopped("not today", Rejection::Other));
    assert!(matches!(asked(200, json!("no")).end, End::Failed { may_pass: false, .. }));
    assert!(matches!(asked(400, json!("no")).end, End::Failed { may_pass: false, .. }));
    assert!(matches!(asked(503, json!("no")).end, End::Failed { may_pass: true, .. }));
    let mut own = interceptor("own", json!({}));
    own.reference.kind = "NamespacedInterceptor".into();
    let end = outcome("push", json!({}), &[own]).end;
    assert!(matches!(end, End::Failed { message, .. } if message == "Interceptor own has no address"));
}

#[test]
fn a_webhook_interceptors_answer_takes_the_events_place() {
    let object = json!({ "kind": "Service", "apiVersion": "v1", "name": "hook" });
    let webhook =
        TriggerInterceptor { webhook: Some(json!({ "objectRef": object })), ..TriggerInterceptor::default() };
    let after = interceptor(
        "cel",
        json!({ "filter": "body.changed && !has(body.ref) && header['Link'][0] == 'kept'" }),
    );
    let world = World(vec![("http://hook.org-acme.svc/", (200, "kept".into(), json!({ "changed": true })))]);
    let outcome = outcome_in(world, "push", json!({ "ref": "x" }), &[webhook, after]);
    assert_eq!(outcome.end, End::Passed, "{outcome:?}");
    assert_eq!(outcome.replaced.unwrap().body, json!({ "changed": true }));
}

#[test]
fn gitlab_and_bitbucket_ask_for_their_own_headers() {
    let gitlab = |params: Value| outcome("push", json!({}), &[interceptor("gitlab", params)]).end;
    assert_eq!(
        gitlab(json!({ "eventTypes": ["Push Hook"] })),
        stopped("event type  is not allowed", Rejection::EventType)
    );
    assert_eq!(
        gitlab(json!({ "secretRef": { "secretName": "webhook-web", "secretKey": "secret" } })),
        End::Passed
    );
    assert_eq!(
        gitlab(json!({ "secretRef": { "secretName": "webhook-other", "secretKey": "secret" } })),
        stopped("Invalid X-GitLab-Token", Rejection::Other)
    );
    let end = outcome(
        "push",
        json!({}),
        &[interceptor("bitbucket", json!({ "secretRef": { "secretName": "x" } }))],
    )
    .end;
    assert!(
        matches!(end, End::Failed { message, .. } if message == "bitbucket interceptor secretRef.secretKey is empty")
    );
}

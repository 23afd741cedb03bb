//! Requests by all sorts of callers through a whole server; the sentences are those of kube-apiserver 1.35.4.

use std::time::Duration;

use aphex_store::Options;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::*;
use crate::server::Config;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const PODS: &str = "/api/v1/namespaces/default/pods";

struct Fixture {
    server: Arc<ApiServer>,
    _keys: tempfile::TempDir,
}

async fn start_on(store: Store) -> Fixture {
    let keys = tempfile::tempdir().unwrap();
    let signer = Signer::load_or_create(keys.path(), "https://kubernetes.default.svc").unwrap();
    let config = Config { signer: Some(Arc::new(signer)), ..Config::new(store) };
    Fixture { server: ApiServer::start(config).await.unwrap(), _keys: keys }
}

async fn start() -> Fixture {
    start_on(Store::memory(Options::default())).await
}

/// Who sends a request.
enum As<'a> {
    Nobody,
    User(&'a str),
    Admin,
    Token(&'a str),
}

impl Fixture {
    async fn send(
        &self,
        who: As<'_>,
        method: &str,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path).header(
            "content-type",
            match method {
                "PATCH" => "application/merge-patch+json",
                _ => "application/json",
            },
        );
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let As::Token(token) = who {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let bytes = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let mut request = request.body(Full::new(bytes)).unwrap();
        match who {
            As::User(name) => request.extensions_mut().insert(User::new(name, ["dev"])),
            As::Admin => request.extensions_mut().insert(User::new("root", ["system:masters"])),
            As::Nobody | As::Token(_) => None,
        };
        let response = self.server.handle(request).await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn get(&self, who: As<'_>, path: &str) -> (u16, Value) {
        self.send(who, "GET", path, Value::Null, &[]).await
    }

    async fn post(&self, who: As<'_>, path: &str, body: Value) -> (u16, Value) {
        self.send(who, "POST", path, body, &[]).await
    }

    /// Grants rules in the namespace default to a user.
    async fn grant(&self, user: &str, rules: Value) {
        let name = format!("{user}-{}", crate::uid::v4());
        let path = format!("{RBAC}/namespaces/default");
        let role = json!({"metadata": {"name": name}, "rules": rules});
        assert_eq!(self.post(As::Admin, &format!("{path}/roles"), role).await.0, 201);
        let binding = binding(&name, "Role", &name, user);
        assert_eq!(self.post(As::Admin, &format!("{path}/rolebindings"), binding).await.0, 201);
    }

    /// Makes a service account and a token for it, bound to an object if so wanted.
    async fn token(&self, account: &str, bound: Value) -> String {
        let path = "/api/v1/namespaces/default/serviceaccounts";
        self.post(As::Admin, path, json!({"metadata": {"name": account}})).await;
        let request = json!({"spec": {"boundObjectRef": bound}});
        let (code, answer) = self.post(As::Admin, &format!("{path}/{account}/token"), request).await;
        assert_eq!(code, 201, "{answer}");
        answer["status"]["token"].as_str().unwrap().to_owned()
    }
}

fn binding(name: &str, kind: &str, role: &str, user: &str) -> Value {
    json!({"metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "User", "name": user}]})
}

fn rule(verbs: &[&str], resources: &[&str]) -> Value {
    json!({"apiGroups": [""], "resources": resources, "verbs": verbs})
}

fn message(answer: &(u16, Value)) -> &str {
    answer.1["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn strangers_reach_health_and_version_only() {
    let server = start().await;
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        assert_eq!(server.get(As::Nobody, path).await.0, 200, "{path}");
    }
    let discovery = server.get(As::Nobody, "/apis").await;
    assert_eq!(discovery.0, 403);
    assert_eq!(message(&discovery), r#"forbidden: User "system:anonymous" cannot get path "/apis""#);
    for path in [PODS, "/metrics", "/openapi/v3", "/nope"] {
        let answer = server.get(As::Nobody, path).await;
        assert_eq!((answer.0, message(&answer)), (401, "Unauthorized"), "{path}");
    }
    assert_eq!(server.get(As::User("ann"), "/apis").await.0, 200);
    assert_eq!(server.get(As::Token("nonsense"), "/healthz").await.0, 401);
}

#[tokio::test]
async fn what_is_not_granted_is_forbidden_in_kubernetes_words() {
    let server = start().await;
    let answer = server.get(As::User("ann"), PODS).await;
    assert_eq!(answer.0, 403);
    assert_eq!(
        message(&answer),
        r#"pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "default""#
    );
    assert_eq!(answer.1["details"], json!({"kind": "pods"}));
    server.grant("ann", json!([rule(&["list"], &["pods"])])).await;
    assert_eq!(server.get(As::User("ann"), PODS).await.0, 200);
    assert_eq!(server.get(As::User("ann"), "/api/v1/pods").await.0, 403);
}

#[tokio::test]
async fn a_namespace_is_in_itself_and_a_pinned_name_counts_for_lists() {
    let server = start().await;
    let named =
        json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"], "resourceNames": ["mine"]});
    server.grant("ann", json!([rule(&["get"], &["namespaces"]), named])).await;
    assert_eq!(server.get(As::User("ann"), "/api/v1/namespaces/default").await.0, 200);
    assert_eq!(server.get(As::User("ann"), "/api/v1/namespaces/kube-system").await.0, 403);
    let list = "/api/v1/namespaces/default/configmaps";
    assert_eq!(server.get(As::User("ann"), list).await.0, 403);
    assert_eq!(
        server.get(As::User("ann"), &format!("{list}?fieldSelector=metadata.name%3Dmine")).await.0,
        200
    );
    assert_eq!(
        server.get(As::User("ann"), &format!("{list}?fieldSelector=metadata.name%3Dyours")).await.0,
        403
    );
}

#[tokio::test]
async fn a_token_works_until_its_account_or_its_secret_goes() {
    let server = start().await;
    server.post(As::Admin, "/api/v1/namespaces/default/secrets", json!({"metadata": {"name": "s"}})).await;
    let plain = server.token("bot", Value::Null).await;
    let bound = server.token("bot", json!({"kind": "Secret", "apiVersion": "v1", "name": "s"})).await;
    let bot = "system:serviceaccount:default:bot";
    let whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (code, answer) = server.post(As::Token(&plain), whoami, json!({})).await;
    assert_eq!(code, 201);
    let user = &answer["status"]["userInfo"];
    assert_eq!(user["username"], bot);
    let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    assert_eq!(user["groups"], json!(groups));
    server.grant(bot, json!([rule(&["list"], &["pods"])])).await;
    assert_eq!(server.get(As::Token(&plain), PODS).await.0, 200);
    assert_eq!(server.get(As::Token(&bound), PODS).await.0, 200);
    server.send(As::Admin, "DELETE", "/api/v1/namespaces/default/secrets/s", Value::Null, &[]).await;
    assert_eq!(server.get(As::Token(&bound), PODS).await.0, 401);
    assert_eq!(server.get(As::Token(&plain), PODS).await.0, 200);
    let account = "/api/v1/namespaces/default/serviceaccounts/bot";
    server.send(As::Admin, "DELETE", account, Value::Null, &[]).await;
    assert_eq!(server.get(As::Token(&plain), PODS).await.0, 401);
    // An account of the same name is another account.
    server.token("bot", Value::Null).await;
    assert_eq!(server.get(As::Token(&plain), PODS).await.0, 401);
}

#[tokio::test]
async fn token_requests_are_checked() {
    let server = start().await;
    server.token("bot", Value::Null).await;
    let path = "/api/v1/namespaces/default/serviceaccounts/bot/token";
    for (body, code, text) in [
        (
            json!({"spec": {"expirationSeconds": 60}}),
            422,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes",
        ),
        (
            json!({"metadata": {"name": "other"}}),
            422,
            "TokenRequest.authentication.k8s.io \"bot\" is invalid: metadata.name: Invalid value: \"other\": must match the service account name if specified",
        ),
        (
            json!({"metadata": {"namespace": "other"}}),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            json!({"spec": {"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "x"}}}),
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
        (
            json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "x"}}}),
            404,
            "pods \"x\" not found",
        ),
    ] {
        let answer = server.post(As::Admin, path, body).await;
        assert_eq!((answer.0, message(&answer)), (code, text));
    }
    assert_eq!(server.get(As::Admin, path).await.0, 405);
}

#[tokio::test]
async fn impersonation_is_checked_and_complete() {
    let server = start().await;
    let headers = [("impersonate-user", "bob"), ("impersonate-group", "ops")];
    let whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let denied = server.send(As::User("ann"), "POST", whoami, json!({}), &headers).await;
    assert_eq!(
        message(&denied),
        r#"users "bob" is forbidden: User "ann" cannot impersonate resource "users" in API group "" at the cluster scope"#
    );
    let (_, answer) = server.send(As::Admin, "POST", whoami, json!({}), &headers).await;
    assert_eq!(
        answer["status"]["userInfo"],
        json!({"username": "bob", "groups": ["ops", "system:authenticated"]})
    );
    // The rights are those of whom one acts as.
    assert_eq!(server.send(As::Admin, "GET", PODS, Value::Null, &headers).await.0, 403);
    let alone = server.send(As::Admin, "GET", "/api", Value::Null, &headers[1..]).await;
    assert_eq!(alone.0, 400);
    assert_eq!(message(&alone), "requested [{Group  ops    }] without impersonating a user");
}

#[tokio::test]
async fn reviews_answer_as_kubernetes_does() {
    let server = start().await;
    server.grant("ann", json!([rule(&["get"], &["pods"])])).await;
    let path = "/apis/authorization.k8s.io/v1";
    let asked = json!({"namespace": "default", "verb": "get", "resource": "pods"});
    let review = json!({"spec": {"user": "ann", "resourceAttributes": asked}});
    let (code, answer) = server.post(As::Admin, &format!("{path}/subjectaccessreviews"), review).await;
    assert_eq!((code, &answer["status"]["allowed"]), (201, &json!(true)));
    let reason = answer["status"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("RBAC: allowed by RoleBinding \"ann-"), "{reason}");
    let own = json!({"spec": {"resourceAttributes": {"namespace": "default", "verb": "get", "resource": "secrets"}}});
    let (_, answer) = server.post(As::User("ann"), &format!("{path}/selfsubjectaccessreviews"), own).await;
    assert_eq!(answer["status"], json!({"allowed": false}));
    let empty = server.post(As::Admin, &format!("{path}/subjectaccessreviews"), json!({})).await;
    assert_eq!(
        message(&empty),
        ".authorization.k8s.io \"\" is invalid: [spec.resourceAttributes: Invalid value: null: exactly one of \
         nonResourceAttributes or resourceAttributes must be specified, spec.user: Invalid value: \"\": at least one \
         of user or group must be specified]"
    );
    let local = format!("{path}/namespaces/default/localsubjectaccessreviews");
    let elsewhere = json!({"spec": {"user": "a", "resourceAttributes": {"namespace": "b", "verb": "get"}}});
    let answer = server.post(As::Admin, &local, elsewhere).await;
    assert!(message(&answer).ends_with("Invalid value: \"b\": must match metadata.namespace"), "{answer:?}");
    let rules = json!({"spec": {"namespace": "default"}});
    let (_, answer) = server.post(As::User("ann"), &format!("{path}/selfsubjectrulesreviews"), rules).await;
    let held = answer["status"]["resourceRules"].as_array().unwrap();
    assert!(held.contains(&json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]})), "{held:?}");
    assert_eq!(answer["status"]["incomplete"], false);
}

#[tokio::test]
async fn token_reviews_tell_good_tokens_from_bad() {
    let server = start().await;
    let token = server.token("bot", Value::Null).await;
    let ask = async |token: &str, audiences: Value| {
        let review = json!({"spec": {"token": token, "audiences": audiences}});
        server.post(As::Admin, "/apis/authentication.k8s.io/v1/tokenreviews", review).await.1["status"].take()
    };
    let status = ask(&token, Value::Null).await;
    assert_eq!(
        (&status["authenticated"], &status["audiences"][0]),
        (&json!(true), &json!("https://kubernetes.default.svc"))
    );
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:bot");
    assert_eq!(ask("nonsense", Value::Null).await, json!({"user": {}, "error": "invalid bearer token"}));
    assert_eq!(
        ask(&token, json!(["vault"])).await["error"],
        r#"[invalid bearer token, token audiences ["https://kubernetes.default.svc"] is invalid for the target audiences ["vault"]]"#
    );
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_hold() {
    let server = start().await;
    let write = ["get", "create", "update", "patch", "delete"];
    let roles = json!({"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": write});
    server.grant("rob", json!([roles, rule(&["get"], &["configmaps"])])).await;
    let path = format!("{RBAC}/namespaces/default/roles");
    let role = |name: &str, rules: Value| json!({"metadata": {"name": name}, "rules": rules});
    let held = role("held", json!([rule(&["get"], &["configmaps"])]));
    assert_eq!(server.post(As::User("rob"), &path, held).await.0, 201);
    let more = role("more", json!([rule(&["get", "list"], &["configmaps", "secrets"])]));
    let refused = server.post(As::User("rob"), &path, more.clone()).await;
    assert_eq!(refused.0, 403);
    assert_eq!(
        message(&refused),
        "roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"rob\" (groups=[\"dev\" \"system:authenticated\"]) \
         is attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"configmaps\"], Verbs:[\"list\"]}\n\
         {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}"
    );
    assert_eq!(server.post(As::Admin, &path, more.clone()).await.0, 201);
    // Every other way to the same end.
    let one = format!("{path}/more");
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    assert_eq!(server.send(As::User("rob"), "PATCH", &one, patch, &[]).await.0, 403);
    assert_eq!(server.send(As::User("rob"), "PUT", &one, more.clone(), &[]).await.0, 403);
    assert_eq!(
        server
            .send(As::User("rob"), "PUT", &format!("{path}/new"), role("new", more["rules"].clone()), &[])
            .await
            .0,
        403
    );
    let apply = [("content-type", "application/apply-patch+yaml")];
    let applied = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "new"}, "rules": more["rules"]});
    let request = Request::builder()
        .method("PATCH")
        .uri(format!("{path}/new?fieldManager=m"))
        .header(apply[0].0, apply[0].1);
    let mut request = request.body(Full::new(Bytes::from(applied.to_string()))).unwrap();
    request.extensions_mut().insert(User::new("rob", ["dev"]));
    assert_eq!(server.server.handle(request).await.status(), 403);
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    assert_eq!(server.post(As::User("rob"), &bindings, binding("b", "Role", "more", "rob")).await.0, 403);
    assert_eq!(server.post(As::User("rob"), &bindings, binding("b", "Role", "held", "rob")).await.0, 201);
    let gone = server.post(As::User("rob"), &bindings, binding("c", "Role", "gone", "rob")).await;
    assert_eq!(message(&gone), "rolebindings.rbac.authorization.k8s.io \"gone\" not found");
    // What a deletion needs is no grant.
    let finalizers = json!({"metadata": {"finalizers": ["a.io/b"]}});
    assert_eq!(server.send(As::User("rob"), "PATCH", &one, finalizers, &[]).await.0, 200);
}

#[tokio::test]
async fn the_verbs_bind_and_escalate_lift_the_check() {
    let server = start().await;
    let group = "rbac.authorization.k8s.io";
    let may = |verb: &str, resource: &str, name: &str| json!({"apiGroups": [group], "resources": [resource], "verbs": [verb], "resourceNames": [name]});
    let make = json!({"apiGroups": [group], "resources": ["roles", "rolebindings"], "verbs": ["get", "create", "patch"]});
    server.grant("rob", json!([make, may("bind", "roles", "big"), may("escalate", "roles", "small")])).await;
    let path = format!("{RBAC}/namespaces/default/roles");
    let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    for (name, rules) in [("big", everything.clone()), ("small", json!([])), ("other", json!([]))] {
        server.post(As::Admin, &path, json!({"metadata": {"name": name}, "rules": rules})).await;
    }
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    assert_eq!(server.post(As::User("rob"), &bindings, binding("b", "Role", "big", "x")).await.0, 201);
    let patch = json!({"rules": everything});
    assert_eq!(
        server.send(As::User("rob"), "PATCH", &format!("{path}/small"), patch.clone(), &[]).await.0,
        200
    );
    assert_eq!(server.send(As::User("rob"), "PATCH", &format!("{path}/other"), patch, &[]).await.0, 403);
}

#[tokio::test]
async fn roles_and_bindings_are_defaulted_and_validated() {
    let server = start().await;
    let path = format!("{RBAC}/namespaces/default");
    let (_, made) = server
        .post(As::Admin, &format!("{path}/rolebindings"), binding("b", "ClusterRole", "view", "u"))
        .await;
    assert_eq!(made["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io");
    let role = json!({"metadata": {"name": "bad"}, "rules": [{"verbs": []}, {"nonResourceURLs": ["/x"], "verbs": ["get"]}]});
    let refused = server.post(As::Admin, &format!("{path}/roles"), role).await;
    assert_eq!(
        message(&refused),
        "Role.rbac.authorization.k8s.io \"bad\" is invalid: [rules[0].verbs: Required value: verbs must contain at least \
         one value, rules[0].apiGroups: Required value: resource rules must supply at least one api group, \
         rules[0].resources: Required value: resource rules must supply at least one resource, \
         rules[1].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs]"
    );
    let other = json!({"roleRef": {"name": "edit"}});
    let refused = server.send(As::Admin, "PATCH", &format!("{path}/rolebindings/b"), other, &[]).await;
    assert!(message(&refused).ends_with("cannot change roleRef"), "{refused:?}");
}

#[tokio::test]
async fn defaults_are_written_once_and_repaired_at_the_next_start() {
    let store = Store::memory(Options::default());
    let first = start_on(store.clone()).await;
    let view = first.get(As::Admin, &format!("{RBAC}/clusterroles/view")).await.1;
    assert!(view["rules"].as_array().unwrap().len() > 5, "{view}");
    first.server.stop();
    let revision = store.revision();
    let second = start_on(store.clone()).await;
    assert_eq!(store.revision(), revision, "a settled store is left alone");
    let path = format!("{RBAC}/clusterrolebindings/cluster-admin");
    let none = json!({"subjects": null});
    assert_eq!(second.send(As::Admin, "PATCH", &path, none, &[]).await.0, 200);
    second.server.stop();
    let third = start_on(store).await;
    let repaired = third.get(As::Admin, &path).await.1;
    assert_eq!(repaired["subjects"][0]["name"], "system:masters");
}

#[tokio::test]
async fn aggregated_roles_take_up_new_rules() {
    let server = start().await;
    let mut role = json!({"metadata": {"name": "view-widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}});
    role["rules"] = json!([{"apiGroups": ["x.io"], "resources": ["widgets"], "verbs": ["get"]}]);
    assert_eq!(server.post(As::Admin, &format!("{RBAC}/clusterroles"), role).await.0, 201);
    until_aggregated(&server, true).await;
    // A role of a tenant is no part of them, and the next that is one is taken up.
    let other = json!({"metadata": {"name": "runner"}, "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]});
    assert_eq!(server.post(As::Admin, &format!("{RBAC}/clusterroles"), other).await.0, 201);
    let path = format!("{RBAC}/clusterroles/view-widgets");
    let no_label = json!({"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-view": null}}});
    assert_eq!(server.send(As::Admin, "PATCH", &path, no_label, &[]).await.0, 200);
    until_aggregated(&server, false).await;
}

/// Waits until the rule for widgets is in the aggregated roles, or in none of them.
async fn until_aggregated(server: &Fixture, wanted: bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    for name in ["view", "edit", "admin"] {
        loop {
            let role = server.get(As::Admin, &format!("{RBAC}/clusterroles/{name}")).await.1;
            if role["rules"].to_string().contains("widgets") == wanted {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{name} with a rule for widgets is not {wanted}");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn keys_are_published_to_those_who_may_read_them() {
    let server = start().await;
    let (code, keys) = server.get(As::Admin, "/openid/v1/jwks").await;
    assert_eq!((code, &keys["keys"][0]["alg"]), (200, &json!("RS256")));
    let document = server.get(As::Admin, "/.well-known/openid-configuration").await.1;
    assert_eq!(document["issuer"], "https://kubernetes.default.svc");
    assert_eq!(server.get(As::Nobody, "/openid/v1/jwks").await.0, 401);
}

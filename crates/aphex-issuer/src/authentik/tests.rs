use aphex_runtime::Clock;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::*;
use crate::audit::Audit;
use crate::directory::{Kind, NewToken, NewUser};
use crate::storage::Storage;

/// The interface with a token that may everything.
struct World {
    face: Authentik,
    token: String,
}

async fn world() -> World {
    let storage = Storage::memory().unwrap();
    let audit = Audit::traced(Clock::system());
    let directory = Directory::open(storage.clone(), Clock::system(), audit.clone()).await.unwrap();
    let providers = Providers::open(storage, audit, "https://dex.home.local").await.unwrap();
    let robot =
        NewUser { username: "robot".into(), active: true, kind: Kind::ServiceAccount, ..NewUser::default() };
    let robot = directory.create_user(robot, &Actor::system()).await.unwrap();
    let new = NewToken { identifier: "all".into(), scopes: Scope::ALL.into(), ..NewToken::default() };
    let (_, secret) = directory.create_token(&robot.uid, new, &Actor::system()).await.unwrap();
    World { face: Authentik::new(directory, providers), token: secret.expose_secret().to_owned() }
}

impl World {
    async fn send(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> (u16, Value) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut headers = HeaderMap::new();
        if !token.is_empty() {
            headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        let request = Request {
            method: method.parse().unwrap(),
            path: format!("/api/v3/{path}"),
            query: query.to_owned(),
            headers,
            body: body.map(|body| body.to_string().into()).unwrap_or_default(),
            source: [127, 0, 0, 1].into(),
        };
        let response = self.face.answer(&request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.send(method, path, &self.token, Some(body)).await
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send("GET", path, &self.token, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn user(&self, username: &str) -> Value {
        let body =
            json!({ "username": username, "name": username, "email": format!("{username}@example.com") });
        let (status, user) = self.call("POST", "core/users/", body).await;
        assert_eq!(status, 201, "{user}");
        user
    }
}

fn detail(text: &str) -> Value {
    json!({ "detail": text })
}

#[tokio::test]
async fn the_three_errors_are_those_of_the_platforms_documentation() {
    let world = world().await;
    let missing = detail("Authentication credentials were not provided.");
    for token in ["", "guess"] {
        assert_eq!(world.send("GET", "core/users/", token, None).await, (401, missing.clone()));
    }
    let not_found = (404, detail("Not found."));
    for path in ["core/users/99/", "core/users/x/", "core/groups/admins/", "providers/oauth2/7/", "core/x/"] {
        assert_eq!(world.send("GET", path, &world.token, None).await, not_found, "{path}");
    }
    let body = json!({ "name": "reader", "scopes": ["users:read"] });
    let (status, account) = world.call("POST", "core/users/service_account/", body).await;
    assert_eq!(status, 200);
    let token = account["token"].as_str().unwrap();
    let refused = (403, detail("You do not have permission to perform this action."));
    assert_eq!(world.send("GET", "core/users/", token, None).await.0, 200);
    for (method, path) in [
        ("POST", "core/users/"),
        ("DELETE", "core/users/1/"),
        ("POST", "core/users/1/set_password/"),
        ("GET", "core/groups/"),
        ("GET", "core/tokens/"),
        ("GET", "providers/oauth2/"),
        ("PATCH", "providers/oauth2/1/"),
    ] {
        assert_eq!(world.send(method, path, token, Some(json!({}))).await, refused, "{method} {path}");
    }
    let (status, body) = world.call("DELETE", "core/users/", json!({})).await;
    assert_eq!((status, body), (405, detail("Method \"DELETE\" not allowed.")));
}

#[tokio::test]
async fn anybody_may_ask_whether_it_is_there() {
    let world = world().await;
    let (status, body) = world.send("GET", "root/config/", "", None).await;
    assert_eq!((status, &body["branding_title"]), (200, &json!("authentik")));
    assert_eq!(body.as_object().unwrap().len(), 8);
}

#[tokio::test]
async fn users_live_from_creation_to_deletion() {
    let world = world().await;
    let user = world.user("ada").await;
    assert_eq!((&user["pk"], &user["is_active"], &user["groups"]), (&json!(2), &json!(true), &json!([])));
    let path = "core/users/2/";
    let change = json!({ "name": "Ada", "is_active": false, "groups": ["engineering"] });
    let (status, changed) = world.call("PATCH", path, change).await;
    assert_eq!((status, &changed["name"], &changed["groups"]), (200, &json!("Ada"), &json!(["engineering"])));
    assert_eq!(changed["username"], "ada", "what is left out stays");
    let (status, refused) =
        world.call("POST", "core/users/2/set_password/", json!({ "password": "short" })).await;
    assert!(status == 400 && refused["password"][0].as_str().unwrap().contains("12"), "{refused}");
    let (status, _) =
        world.call("POST", "core/users/2/set_password/", json!({ "password": "analytical engine" })).await;
    assert_eq!(status, 204);
    assert_eq!(world.get(path).await["has_password"], true);
    assert_eq!(world.call("DELETE", path, json!({})).await.0, 204);
    assert_eq!(world.send("GET", path, &world.token, None).await.0, 404);
}

#[tokio::test]
async fn what_breaks_a_rule_is_told_by_field_and_never_repeated() {
    let world = world().await;
    world.user("ada").await;
    let taken = json!({ "username": "eve", "email": "ADA@example.com" });
    let (status, body) = world.call("POST", "core/users/", taken).await;
    assert!(status == 400 && body["email"].is_array(), "{body}");
    assert_eq!(
        world.call("POST", "core/users/", json!({})).await,
        (400, json!({ "username": ["This field is required."] }))
    );
    let (_, body) =
        world.call("POST", "core/users/", json!({ "username": "x y", "email": "x@example.com" })).await;
    assert!(body["username"].is_array(), "{body}");
    let secret = json!({ "password": ["hunter2 in a list"] });
    let (status, body) = world.call("POST", "core/users/2/set_password/", secret).await;
    assert!(status == 400 && !body.to_string().contains("hunter2"), "{body}");
}

#[tokio::test]
async fn groups_live_from_creation_to_deletion() {
    let world = world().await;
    world.user("ada").await;
    let (status, group) = world.call("POST", "core/groups/", json!({ "name": "payments" })).await;
    assert_eq!(status, 201);
    let pk = group["pk"].as_str().unwrap();
    assert_eq!(
        group,
        json!({ "pk": pk, "name": "payments", "is_superuser": false, "parent": null, "users": [], "attributes": {} })
    );
    let path = format!("core/groups/{pk}/");
    assert_eq!(world.call("POST", &format!("{path}add_user/"), json!({ "pk": 2 })).await.0, 204);
    assert_eq!(world.get(&path).await["users"], json!([2]));
    assert_eq!(world.get("core/users/2/").await["groups"], json!(["payments"]));
    assert_eq!(world.call("POST", &format!("{path}add_user/"), json!({ "pk": 9 })).await.0, 404);
    assert_eq!(world.call("POST", &format!("{path}remove_user/"), json!({ "pk": 2 })).await.0, 204);
    let (_, group) = world.call("PATCH", &path, json!({ "users": [1, 2], "is_superuser": true })).await;
    assert_eq!(group["users"], json!([1, 2]));
    assert_eq!(world.get("core/users/2/").await["is_superuser"], true);
    assert_eq!(world.call("DELETE", &path, json!({})).await.0, 204);
    assert_eq!(world.get("core/users/2/").await["groups"], json!([]));
}

#[tokio::test]
async fn lists_are_filtered_by_what_authentik_filters_by() {
    let world = world().await;
    for username in ["ada", "grace", "barbara"] {
        world.user(username).await;
    }
    world.call("PATCH", "core/users/3/", json!({ "groups": ["admins"], "is_active": false })).await;
    let found = async |path: &str| {
        let list = world.get(path).await;
        let names = list["results"].as_array().unwrap().iter();
        names
            .map(|o| o["username"].as_str().or(o["name"].as_str()).unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(found("core/users/?page_size=2&page=2").await, "grace barbara");
    assert_eq!(found("core/users/?is_active=false").await, "grace");
    assert_eq!(found("core/users/?username=ada").await, "ada");
    assert_eq!(found("core/users/?groups_by_name=admins").await, "grace");
    assert_eq!(found("core/users/?type=service_account").await, "robot");
    assert_eq!(found("core/users/?search=AR&ordering=-username").await, "barbara");
    assert_eq!(found("core/groups/?name=admins").await, "admins");
    assert_eq!(found("core/groups/?members_by_pk=3").await, "admins");
    assert_eq!(
        found("core/groups/?search=platform&ordering=-name").await,
        "platform-operators platform-engineering platform-admins"
    );
    let (status, body) = world.send("GET", "core/users/?page=9", &world.token, None).await;
    assert_eq!((status, body), (404, detail("Invalid page.")));
}

#[tokio::test]
async fn providers_never_show_a_secret_again() {
    let world = world().await;
    let list = world.get("providers/oauth2/").await;
    let dex = &list["results"][0];
    assert_eq!(
        (
            &dex["pk"],
            &dex["name"],
            &dex["client_id"],
            &dex["client_secret"],
            &dex["redirect_uris"],
            &dex["client_type"]
        ),
        (
            &json!(1),
            &json!("Dex OIDC Provider"),
            &json!("dex-client"),
            &json!("***"),
            &json!("https://dex.home.local/callback"),
            &json!("confidential")
        )
    );
    let secret =
        async || world.face.providers.by_pk(1).unwrap().unwrap().client_secret.expose_secret().to_owned();
    let (status, body) =
        world.call("PATCH", "providers/oauth2/1/", json!({ "client_secret": "new-secret-value" })).await;
    assert_eq!((status, &body["client_secret"]), (200, &json!("***")));
    assert_eq!(secret().await, "new-secret-value");
    // Whoever edits what they were shown does not make `***` the secret.
    world.call("PUT", "providers/oauth2/1/", body).await;
    assert_eq!(secret().await, "new-secret-value");
    let new = json!({ "name": "Argo CD", "redirect_uris": [{ "matching_mode": "strict", "url": "https://argocd.home.local/auth/callback" }] });
    let (status, made) = world.call("POST", "providers/oauth2/", new).await;
    assert_eq!(
        (status, &made["pk"], &made["assigned_application_slug"]),
        (201, &json!(2), &json!("argo-cd"))
    );
    assert_eq!(made["client_secret"].as_str().unwrap().len(), 43, "shown this once");
    for (field, value) in [
        ("client_id", json!("dex-client")),
        ("redirect_uris", json!("javascript:alert(1)")),
        ("assigned_application_slug", json!("token")),
    ] {
        let (status, body) = world.call("PATCH", "providers/oauth2/2/", json!({ field: value })).await;
        assert!(status == 400 && body[field].is_array(), "{body}");
    }
    assert_eq!(world.call("DELETE", "providers/oauth2/2/", json!({})).await.0, 204);
}

#[tokio::test]
async fn nobody_makes_a_token_that_may_more_than_their_own() {
    let world = world().await;
    let body = json!({ "name": "minter", "scopes": ["tokens:write", "users:write"] });
    let (_, account) = world.call("POST", "core/users/service_account/", body).await;
    let token = account["token"].as_str().unwrap();
    let new = |scope: &str| json!({ "identifier": "next", "scopes": [scope] });
    assert_eq!(world.send("POST", "core/tokens/", token, Some(new("groups:write"))).await.0, 403);
    let with_group = json!({ "username": "eve", "email": "eve@example.com", "groups": ["admins"] });
    assert_eq!(world.send("POST", "core/users/", token, Some(with_group)).await.0, 403);
    let (status, made) = world.send("POST", "core/tokens/", token, Some(new("users:read"))).await;
    assert_eq!(status, 201);
    let key = made["key"].as_str().unwrap();
    assert_eq!(world.send("GET", "core/users/", key, None).await.0, 200);
    let shown = world.get("core/tokens/next/").await;
    assert_eq!((shown.get("key"), &shown["scopes"]), (None, &json!(["users:read"])));
    assert_eq!(world.send("DELETE", "core/tokens/next/", token, None).await.0, 204);
    assert_eq!(world.send("GET", "core/users/", key, None).await.0, 401);
}

#[tokio::test]
async fn nobody_takes_the_account_of_somebody_who_may_more() {
    let world = world().await;
    let body = json!({ "name": "hr", "scopes": ["users:write"] });
    let (_, account) = world.call("POST", "core/users/service_account/", body).await;
    let token = account["token"].as_str().unwrap();
    let path = |user: &Value| format!("core/users/{}/", user["pk"]);
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    assert_eq!(world.call("PATCH", &path(&ada), json!({ "groups": ["engineering"] })).await.0, 200);
    let password = json!({ "password": "correct horse battery" });
    let taking = [
        ("POST", "set_password/", password.clone()),
        ("PATCH", "", json!({ "email": "eve@example.com" })),
        ("PATCH", "", json!({ "username": "eve" })),
        ("PATCH", "", json!({ "email_verified": false })),
        ("PATCH", "", json!({ "is_active": false })),
        ("DELETE", "", json!({})),
    ];
    for (method, below, body) in taking {
        let answer = world.send(method, &(path(&ada) + below), token, Some(body)).await;
        assert_eq!(answer.0, 403, "{method} {below}: {}", answer.1);
    }
    let same = json!({ "name": "Ada L.", "email": "ada@example.com", "is_active": true });
    assert_eq!(world.send("PATCH", &path(&ada), token, Some(same)).await.0, 200, "that takes nothing");
    assert_eq!(
        world.send("POST", &(path(&bob) + "set_password/"), token, Some(password.clone())).await.0,
        204
    );
    assert_eq!(world.send("PATCH", &path(&bob), token, Some(json!({ "is_active": false }))).await.0, 200);
    assert_eq!(world.send("DELETE", &path(&bob), token, None).await.0, 204);
    assert_eq!(
        world.call("POST", &(path(&ada) + "set_password/"), password).await.0,
        204,
        "with groups:write too"
    );
}

//! What fuzzing begins with: inputs made of what the tests have, so that they never grow apart.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::run::root;

/// The byte between two texts of an input, as in `fuzz/src/lib.rs`.
const CUT: &str = "\0";
/// A payload for expressions to look at.
const BODY: &str = r#"{"ref":"refs/heads/main","after":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","list":[0,1,2],"a":"x","objects":[{"name":"one","value":1}],"repository":{"full_name":"acme/web"},"dotted.key":7}"#;
const RESOURCE: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"x-"},"data":{"given":"$(tt.params.given)","uid":"$(uid)"}}"#;
const CHALLENGE: &str =
    "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";
const FORM: &str = "application/x-www-form-urlencoded";

/// What the gateway's tests hold.
#[derive(Default)]
struct Found {
    texts: BTreeSet<String>,
    bodies: Vec<Value>,
    resources: Vec<Value>,
    triggers: Vec<Value>,
}

/// Writes the seeds of every target into a folder of its name.
pub(super) fn write(folder: &Path) -> anyhow::Result<()> {
    let found = read()?;
    for (target, seeds) in [gateway(&found)?, issuer()].concat() {
        let folder = folder.join(target);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (number, seed) in seeds.iter().enumerate() {
            let file = folder.join(format!("{number:03}"));
            fs::write(&file, seed).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(())
}

fn read() -> anyhow::Result<Found> {
    let tests = root().join("crates/aphex-gateway/tests");
    let mut found = Found::default();
    for entry in fs::read_dir(tests.join("corpus"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = fs::read_to_string(&path)?;
            let value: Value =
                serde_saphyr::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
            found.look_at(&value);
        }
    }
    for entry in fs::read_dir(tests.join("golden"))? {
        let event = fs::read_to_string(entry?.path().join("event.json")).unwrap_or_default();
        found.bodies.extend(serde_json::from_str::<Value>(&event).ok().map(|event| event["body"].clone()));
    }
    found.bodies.push(serde_json::from_str(BODY)?);
    found.bodies.retain(Value::is_object);
    Ok(found)
}

impl Found {
    fn look_at(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                self.texts.insert(text.clone());
            }
            Value::Array(items) => items.iter().for_each(|item| self.look_at(item)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match name.as_str() {
                        "body" => self.bodies.push(value.clone()),
                        "resourcetemplates" => self.resources.extend(value.as_array().into_iter().flatten().cloned()),
                        "interceptors" => self.triggers.push(json!({
                            "name": "t", "interceptors": value, "bindings": [{ "name": "given", "value": "$(body.a)" }],
                            "template": { "ref": "tt" },
                        })),
                        _ => {}
                    }
                    self.look_at(value);
                }
            }
            _ => {}
        }
    }
}

type Seeds = Vec<(&'static str, Vec<Vec<u8>>)>;

fn joined(parts: &[&str]) -> Vec<u8> {
    parts.join(CUT).into_bytes()
}

fn gateway(found: &Found) -> anyhow::Result<Seeds> {
    let (bound, plain): (Vec<&String>, Vec<&String>) =
        found.texts.iter().partition(|text| text.contains("$("));
    let path = |text: &str| {
        text.split("$(").nth(1).and_then(|rest| rest.rsplit_once(')')).map(|(path, _)| path.to_owned())
    };
    let paths = bound.iter().filter_map(|text| path(text)).map(|path| joined(&[&path, BODY]));
    let cel = plain.iter().map(|text| joined(&[text, BODY]));
    let resources = found.resources.iter().map(ToString::to_string).chain([RESOURCE.to_owned()]);
    let mut triggers: Vec<Vec<u8>> =
        resources.map(|made| joined(&["true", "body.ref", "$(body.a)", &made, BODY])).collect();
    triggers.extend(bound.iter().map(|text| joined(&["body.a == 'x'", "body.list", text, RESOURCE, BODY])));
    triggers.extend(plain.iter().map(|text| joined(&[text, text, "$(extensions.made)", RESOURCE, BODY])));
    let listeners =
        found.triggers.iter().map(|trigger| json!({ "triggers": [trigger] }).to_string().into_bytes());
    let selecting = json!({
        "namespaceSelector": { "matchNames": ["*"] },
        "labelSelector": { "matchLabels": { "a": "b" }, "matchExpressions": [{ "key": "c", "operator": "In", "values": ["d"] }] },
        "triggerGroups": [{ "name": "g", "interceptors": [], "triggerSelector": { "labelSelector": { "matchLabels": { "a": "b" } } } }],
        "triggers": [{ "triggerRef": "t" }],
    });
    let kinds = ["push", "pull_request", "ping", "merge_group"];
    let events =
        found.bodies.iter().zip(kinds.iter().cycle()).map(|(body, kind)| joined(&[kind, &body.to_string()]));
    let mut payloads: Vec<Vec<u8>> = found.bodies.iter().map(|body| body.to_string().into_bytes()).collect();
    for body in found.bodies.iter().take(8) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body.to_string().as_bytes())?;
        payloads.push(STANDARD.encode(encoder.finish()?).into_bytes());
    }
    let hex = "ab".repeat(32);
    let signed = joined(&[
        &format!("sha256={hex}"),
        &format!("sha1={}", "ab".repeat(20)),
        "open sesame",
        &format!("v0={hex}"),
        "1531420618",
        "open sesame",
        "{}",
    ]);
    let forms = [
        "payload=%7B%22a%22%3A+1%7D&x=1",
        "text=to%2Ball&command=%2Fdeploy&x",
        "application/json; charset=utf-8",
        FORM,
    ];
    Ok(vec![
        ("signature", vec![signed]),
        ("form", forms.map(|form| form.as_bytes().to_vec()).into()),
        ("jsonpath", paths.collect()),
        ("cel", cel.collect()),
        ("trigger", triggers),
        ("listener", listeners.chain([selecting.to_string().into_bytes()]).collect()),
        ("event", events.collect()),
        (
            "cloudevents",
            vec![joined(&["72d3162e", "X-Github-Event", "push", "application/cloudevents+json"])],
        ),
        ("payload", payloads),
        ("jwt", vec![token()]),
    ])
}

fn token() -> Vec<u8> {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encode(json!({ "alg": "ES256", "kid": "one", "typ": "JWT" }));
    let claims = encode(json!({
        "iss": "https://dex.home.local", "sub": "ada", "aud": ["kubernetes"], "exp": 4_000_000_000_u64, "nbf": 0,
        "email": "ada@example.com", "email_verified": true, "groups": ["engineering"],
    }));
    // The point of RFC 7515, appendix A.3.
    let keys = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "alg": "ES256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }] });
    joined(&[&format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode([7; 64])), &keys.to_string()])
}

fn issuer() -> Seeds {
    let wish = format!(
        "client_id=aphex&redirect_uri=http%3A%2F%2F127.0.0.1%3A43117%2Fcallback&response_type=code&scope=openid+email+groups+offline_access&state=s&nonce=n&prompt=login&max_age=10&login_hint=ada&{CHALLENGE}"
    );
    let sold = "client_id=aphex&grant_type=authorization_code&code=CODE&redirect_uri=http%3A%2F%2F127.0.0.1%3A8000%2Fcallback&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let refreshed = "client_id=aphex&grant_type=refresh_token&refresh_token=a.0.b&scope=openid";
    let basic = format!("Basic {}", STANDARD.encode("argocd:confidential%2Bsecret%2Fof+argocd"));
    let auth = format!("/auth?{wish}");
    let requests: [[&str; 6]; 17] = [
        ["GET", &auth, "", "", "", ""],
        ["POST", "/auth", "", "aphex-session-5556=x; aphex-form-5556=y", FORM, &wish],
        ["POST", "/token", &basic, "", FORM, "grant_type=authorization_code&code=x&redirect_uri=y"],
        ["POST", "/token", "", "", FORM, sold],
        ["POST", "/token", "", "", FORM, refreshed],
        [
            "POST",
            "/token",
            "",
            "",
            FORM,
            "client_id=aphex&grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code=x",
        ],
        ["POST", "/token/introspect", &basic, "", FORM, "token=x&token_type_hint=refresh_token"],
        ["POST", "/token/revoke", "", "", FORM, "client_id=aphex&token=a.0.b"],
        ["GET", "/userinfo", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.AAAA", "", "", ""],
        ["POST", "/device/code", "", "", FORM, "client_id=aphex&scope=openid+offline_access"],
        ["GET", "/device?user_code=BCDF-GHJK", "", "", "", ""],
        ["POST", "/device", "", "aphex-form-5556=y", FORM, "user_code=BCDF-GHJK&form=x&answer=allow"],
        ["POST", "/login", "", "aphex-form-5556=y", FORM, "form=x&login=ada&password=guess&next=%2Fdevice"],
        ["GET", "/setup?token=x", "", "", "", ""],
        ["POST", "/logout", "", "aphex-session-5556=x", FORM, "form=x"],
        ["GET", "/application/o/dex/.well-known/openid-configuration", "", "", "", ""],
        ["GET", "/api/v3/core/users/?page=1&page_size=2", "Bearer guess", "", "", ""],
    ];
    let rest: [[&str; 3]; 8] = [
        ["GET", "core/users/?search=ada&page=1&page_size=20&ordering=-username", ""],
        [
            "POST",
            "core/users/",
            r#"{"username":"x","name":"X","email":"x@example.com","is_active":true,"groups":[],"attributes":{}}"#,
        ],
        ["PATCH", "core/users/1/", r#"{"name":"Y"}"#],
        ["POST", "core/users/1/set_password/", r#"{"password":"eleven purple kettles"}"#],
        ["POST", "core/groups/", r#"{"name":"g","is_superuser":false,"users":[1],"attributes":{}}"#],
        ["GET", "providers/oauth2/", ""],
        [
            "PATCH",
            "providers/oauth2/1/",
            r#"{"redirect_uris":[{"matching_mode":"strict","url":"https://x.example.com/cb"}],"client_type":"confidential"}"#,
        ],
        ["POST", "core/tokens/", r#"{"identifier":"i","user":1,"intent":"api"}"#],
    ];
    vec![
        ("issuer", requests.iter().map(|parts| joined(parts)).collect()),
        ("login", vec![joined(&[&wish, sold]), joined(&[&wish, refreshed])]),
        ("rest", rest.iter().map(|parts| joined(parts)).collect()),
    ]
}

//! Configurations that are refused, and what claims become. Signatures are tried on a whole server.

use serde_json::{Value, json};

use super::*;

fn configuration(change: impl FnOnce(&mut Value)) -> Result<Vec<Issuer>, ConfigurationError> {
    let mut value = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": { "url": "https://issuer.example", "audiences": ["kubernetes"] },
            "claimMappings": { "username": { "claim": "email", "prefix": "" } },
        }],
    });
    change(&mut value);
    Configuration::from_value(value)?.issuers(&["https://own.example"])
}

#[test]
fn what_a_configuration_must_not_say_is_named_with_its_field() {
    let set = |path: &'static str, to: Value| {
        configuration(move |value| {
            let (parent, key) = path.rsplit_once('/').unwrap();
            value.pointer_mut(parent).unwrap()[key] = to;
        })
    };
    let cases = [
        ("/kind", json!("Configuration"), "AuthenticationConfiguration"),
        ("/apiVersion", json!("apiserver.config.k8s.io/v9"), "apiVersion"),
        ("/jwt/0/issuer/url", json!(""), "jwt[0].issuer.url: Required value: URL is required"),
        ("/jwt/0/issuer/url", json!("http://issuer.example"), "URL scheme must be https"),
        ("/jwt/0/issuer/url", json!("https://me:secret@issuer.example"), "username or password"),
        ("/jwt/0/issuer/url", json!("https://issuer.example?a=b"), "must not contain a query"),
        ("/jwt/0/issuer/url", json!("https://own.example"), "disallowed issuers"),
        ("/jwt/0/issuer/egressSelectorType", json!("vpn"), "must be either controlplane or cluster"),
        ("/jwt/0/issuer/egressSelectorType", json!("cluster"), "egress lookup required"),
        ("/jwt/0/issuer/discoveryURL", json!("https://issuer.example/"), "must be different"),
        ("/jwt/0/issuer/audiences", json!([]), "at least one"),
        ("/jwt/0/issuer/audiences", json!(["a", "b"]), "must be MatchAny"),
        ("/jwt/0/issuer/certificateAuthority", json!("none"), "no PEM certificates"),
        ("/jwt/0/issuer/audiance", json!("a"), "unknown field `audiance`"),
        ("/jwt/0/claimMappings/username", json!({}), "claim or expression is required"),
        ("/jwt/0/claimMappings/username", json!({ "claim": "sub" }), "username.prefix: Required value"),
        (
            "/jwt/0/claimMappings/username",
            json!({ "expression": "claims.email" }),
            "email_verified must be used",
        ),
        ("/jwt/0/claimMappings/username", json!({ "expression": "claims.sub +" }), "compilation failed"),
        (
            "/jwt/0/claimMappings/extra",
            json!([{ "key": "kubernetes.io/a", "valueExpression": "'b'" }]),
            "reserved",
        ),
        ("/jwt/0/claimValidationRules", json!([{}]), "claim or expression is required"),
        ("/jwt/0/userValidationRules", json!([{ "expression": "" }]), "expression is required"),
    ];
    for (path, to, problem) in cases {
        let error = set(path, to.clone()).map(drop).unwrap_err().to_string();
        assert!(error.contains(problem), "{path} = {to}: {error}");
    }
    let twice = configuration(|value| {
        let first = value["jwt"][0].clone();
        value["jwt"].as_array_mut().unwrap().push(first);
    });
    assert!(twice.unwrap_err().to_string().contains("Duplicate value"));
}

#[test]
fn only_https_and_this_machine_are_asked_for_keys() {
    for good in
        ["https://a.example/x", "http://127.0.0.1:5556", "http://[::1]:1/keys", "http://localhost/keys"]
    {
        assert!(fetchable(good), "{good}");
    }
    for bad in ["http://a.example", "http://127.0.0.1.evil.example", "file:///etc/passwd", "127.0.0.1", ""] {
        assert!(!fetchable(bad), "{bad}");
    }
}

#[test]
fn the_platform_s_own_issuer_makes_a_good_configuration() {
    let own = Configuration::of_platform("http://127.0.0.1:5556", &["aphex", "kubernetes"]);
    let issuers = own.issuers(&[]).unwrap();
    assert_eq!(issuers[0].discovery_url(), "http://127.0.0.1:5556/.well-known/openid-configuration");
}

#[test]
fn who_gets_in_without_credentials_is_configured_by_path() {
    let read = |anonymous: Value| {
        Configuration::from_value(json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "anonymous": anonymous,
        }))
    };
    let admits =
        |anonymous: Value, path: &str| read(anonymous).unwrap().anonymous().admits(path, || path == "/usual");
    assert!(admits(Value::Null, "/usual") && !admits(Value::Null, "/livez"));
    assert!(!admits(json!({}), "/usual") && !admits(json!({ "enabled": false }), "/livez"));
    assert!(admits(json!({ "enabled": true }), "/anything"));
    let only = json!({ "enabled": true, "conditions": [{ "path": "/livez" }] });
    assert!(
        admits(only.clone(), "/livez") && !admits(only.clone(), "/livez/etcd") && !admits(only, "/usual")
    );
    let odd = read(json!({ "enabled": false, "conditions": [{ "path": "/livez" }] })).unwrap();
    let said = odd.issuers(&[]).map(drop).unwrap_err().to_string();
    assert!(said.contains("enabled should be set to true"), "{said}");
    assert!(read(json!({ "enabled": true, "paths": [] })).is_err(), "what is not known is refused");
}

#[test]
fn a_token_is_not_printed() {
    let text = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJiIiwiZW1haWwiOiJzZWNyZXQifQ.c2lnbmF0dXJl";
    let token = Token::parse(text).unwrap();
    assert_eq!((token.issuer(), token.text("email")), ("b", Some("secret")));
    let printed = format!("{token:?}");
    assert!(!printed.contains("secret") && !printed.contains("c2ln"), "{printed}");
}

proptest::proptest! {
    /// Whatever a stranger sends, it is taken apart or refused, and without a known key never accepted.
    #[test]
    fn any_text_is_a_token_or_none(text in "[A-Za-z0-9_.=-]{0,200}", header in ".{0,60}", payload in ".{0,60}") {
        use base64::Engine as _;
        let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let own = Configuration::of_platform("https://issuer.example", &["kubernetes"]).issuers(&[]).unwrap();
        let framed = format!("{{\"alg\":\"RS256\",\"kid\":{}}}", Value::from(header.clone()));
        let claims = format!("{{\"iss\":\"https://issuer.example\",\"aud\":\"kubernetes\",\"exp\":9999999999,\"email\":{}}}", Value::from(payload.clone()));
        for text in [
            text,
            format!("{}.{}.c2ln", encode(&header), encode(&payload)),
            format!("{}.{}.c2ln", encode(&framed), encode(&claims)),
        ] {
            if let Some(token) = Token::parse(&text) {
                let accepted = own[0].accept(&token, &KeySet::default(), jiff::Timestamp::UNIX_EPOCH);
                proptest::prop_assert!(accepted.is_err());
            }
        }
    }

    /// Key sets are documents of strangers too.
    #[test]
    fn any_document_is_a_key_set_or_none(text in ".{0,200}", kty in "RSA|EC|oct|OKP", n in "[A-Za-z0-9_-]{0,40}") {
        let _ = KeySet::parse(text.as_bytes());
        let odd = json!({ "keys": [{ "kty": kty, "kid": "a", "n": n, "e": "AQAB", "k": n, "crv": "P-256", "x": n, "y": n }, text] });
        let keys = KeySet::parse(odd.to_string().as_bytes()).unwrap();
        proptest::prop_assert!(keys.len() <= 1);
        proptest::prop_assert!(kty != "oct" || keys.is_empty(), "a shared secret is no public key");
    }
}

use http::HeaderValue;

use super::*;
use crate::settings::IssuerUrl;
use crate::web::tests::get;

fn client(uris: &[&str], secret: Option<&str>) -> Client {
    Client {
        id: "one".to_owned(),
        name: "One".to_owned(),
        redirect_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
        post_logout_redirect_uris: Vec::new(),
        trusted_peers: Vec::new(),
        secret: secret.map(SecretString::from),
        issuer: "http://127.0.0.1:5556".to_owned(),
    }
}

#[test]
fn a_redirect_uri_matches_as_a_whole() {
    let confidential = client(&["https://argocd.home.local/auth/callback"], Some("s"));
    assert!(confidential.allows_redirect("https://argocd.home.local/auth/callback"));
    for wrong in [
        "https://argocd.home.local/auth/callback/",
        "https://argocd.home.local/auth/callback?x=1",
        "https://argocd.home.local/auth/callback#x",
        "https://argocd.home.local:8443/auth/callback",
        "https://ARGOCD.home.local/auth/callback",
        "http://argocd.home.local/auth/callback",
        "https://argocd.home.local@evil.example/auth/callback",
        "https://evil.example/auth/callback",
        "",
    ] {
        assert!(!confidential.allows_redirect(wrong), "{wrong}");
    }
}

#[test]
fn a_loopback_uri_of_a_public_client_may_have_any_port_and_differs_in_nothing_else() {
    let uris = ["http://localhost:8000/callback", "http://127.0.0.1/callback", "http://[::1]/callback"];
    let public = client(&uris, None);
    for good in [
        "http://localhost:8000/callback",
        "http://localhost:43127/callback",
        "http://127.0.0.1:5/callback",
        "http://[::1]:65535/callback",
    ] {
        assert!(public.allows_redirect(good), "{good}");
    }
    for wrong in [
        "http://localhost:43127/other",
        "http://localhost:43127/callback?x=1",
        "http://localhost.evil.example:8000/callback",
        "http://user@localhost:43127/callback",
        "https://localhost:43127/callback",
        "http://127.0.0.2:43127/callback",
        "http://localhost:99999/callback",
        // What a parser of URLs takes for the same: found by fuzzing.
        "http:/127.0.0.1:43117/callback",
        "http:127.0.0.1:43117/callback",
        "http:\\\\127.0.0.1:43117\\callback",
        "HTTP://127.0.0.1:43117/callback",
        " http://127.0.0.1:43117/callback",
        "http://127.0.0.1:43\t117/callback",
        "http://127.0.0.1:+5/callback",
        "http://127.0.0.1:/callback",
        "http://127.1:43117/callback",
        "http://127.0.0.1:43117/x/../callback",
    ] {
        assert!(!public.allows_redirect(wrong), "{wrong}");
    }
    assert!(!client(&uris, Some("s")).allows_redirect("http://localhost:43127/callback"));
}

#[test]
fn credentials_come_in_the_header_or_in_the_form_and_not_in_both() {
    let form = |text: &str| Parameters::parse(text.as_bytes()).unwrap();
    let basic = |text: &str| {
        let mut request = get("/token");
        let value = format!("Basic {}", STANDARD.encode(text));
        request.headers.insert(header::AUTHORIZATION, HeaderValue::try_from(value).unwrap());
        request
    };
    let known = client(&[], Some("s+ c:r%t"));
    let prove = |request: &Request, text: &str| {
        Credentials::read(request, &form(text)).is_ok_and(|found| found.id == "one" && found.prove(&known))
    };
    assert!(prove(&get("/token"), "client_id=one&client_secret=s%2B+c:r%25t"));
    assert!(prove(&basic("one:s%2B+c%3Ar%25t"), ""));
    assert!(prove(&basic("one:s%2B+c%3Ar%25t"), "client_id=one"));
    assert!(!prove(&basic("one:s%2B+c%3Ar%25t"), "client_id=two"));
    assert!(!prove(&basic("one:s%2B+c%3Ar%25t"), "client_id=one&client_secret=x"));
    assert!(!prove(&basic("one:"), ""));
    assert!(!prove(&get("/token"), "client_id=one"));
    assert!(!prove(&get("/token"), ""));
    let public = client(&[], None);
    let none = Credentials::read(&get("/token"), &form("client_id=one&client_secret=")).unwrap();
    assert!(none.prove(&public));
    let some = Credentials::read(&get("/token"), &form("client_id=one&client_secret=x")).unwrap();
    assert!(!some.prove(&public));
}

#[test]
fn the_usual_clients_are_made_once_with_secrets_of_their_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clients.yaml");
    let issuer = IssuerUrl::parse("http://127.0.0.1:5556").unwrap();
    let clients = Clients::read_or_create(&path, &issuer).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = |clients: &Clients, id: &str| {
        clients.get(id).unwrap().secret.as_ref().map(|secret| secret.expose_secret().to_owned())
    };
    assert_eq!((secret(&clients, "kubernetes"), secret(&clients, "aphex")), (None, None));
    assert_ne!(secret(&clients, "argocd"), secret(&clients, "tekton-dashboard"));
    let again = Clients::read_or_create(&path, &issuer).unwrap();
    assert_eq!(secret(&clients, "argocd"), secret(&again, "argocd"));
}

#[test]
fn a_file_that_is_wrong_says_which_client_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clients.yaml");
    let issuer = IssuerUrl::parse("http://127.0.0.1:5556").unwrap();
    for (text, part) in [
        ("- id: web\n", "secretEnv"),
        ("- id: web\n  public: true\n  secret: x\n", "public client has no secret"),
        ("- id: web\n  secret: ''\n", "empty"),
        ("- id: web\n  secretEnv: APHEX_NO_SUCH_VARIABLE\n", "APHEX_NO_SUCH_VARIABLE"),
        ("- id: web\n  public: true\n  redirectURIs: ['callback']\n", "callback"),
        ("- id: web\n  public: true\n  redirectURIs: ['javascript:alert(1)']\n", "javascript"),
        ("- id: web\n  public: true\n- id: web\n  public: true\n", "same id"),
        ("- id: web\n  publik: true\n", "cannot understand"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Clients::read(&path, &issuer).unwrap_err().to_string();
        assert!(error.contains(part), "{text} gave {error}");
    }
}

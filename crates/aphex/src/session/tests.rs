//! What a browser comes back with, and what is made of it.

use aphex_testkit::issuer::Issuer;

use super::*;

async fn attempt(issuer: &Issuer) -> (Provider, Attempt) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let provider = Provider::discover(issuer.url(), CLIENT, None).await.unwrap();
    (provider, Attempt::new("http://127.0.0.1:1/callback".to_owned()))
}

#[tokio::test]
async fn only_the_answer_to_this_very_login_counts() {
    let issuer = Issuer::start().await.unwrap();
    let (provider, attempt) = attempt(&issuer).await;
    let state = &attempt.state;
    let code = |query: &str| attempt.code(&provider, query);
    assert_eq!(code(&format!("code=c&state={state}")).unwrap(), "c");
    for other in ["", "code=c", "code=c&state=x", &format!("state={state}"), &format!("code=&state={state}")]
    {
        assert!(matches!(code(other), Err(ReturnError::Other)), "{other}");
    }
    let mixed = code(&format!("code=c&state={state}&iss=https%3A%2F%2Fevil.example"));
    assert!(matches!(mixed, Err(ReturnError::Mixed(_))));
    let refused =
        code(&format!("error=access_denied&error_description=not+today&state={state}")).unwrap_err();
    assert!(refused.to_string().contains("not today (access_denied)"), "{refused}");
}

#[tokio::test]
async fn an_issuer_must_be_who_it_says_and_keep_to_https() {
    let issuer = Issuer::start().await.unwrap();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let said = |url: String| async move {
        format!("{:#}", Provider::discover(&url, CLIENT, None).await.map(drop).unwrap_err())
    };
    assert!(said("http://issuer.example".to_owned()).await.contains("https://"));
    issuer.change_discovery("token_endpoint", "http://thief.example/token".into());
    assert!(said(issuer.url().to_owned()).await.contains("thief.example"));
    issuer.change_discovery("issuer", "https://other.example".into());
    assert!(said(issuer.url().to_owned()).await.contains("calls itself \"https://other.example\""));
    let gone = issuer.url().to_owned();
    drop(issuer);
    assert!(said(gone).await.contains("no issuer answers"));
}

#[tokio::test]
async fn an_address_asks_for_what_the_issuer_knows() {
    let issuer = Issuer::start().await.unwrap();
    issuer.change_discovery("scopes_supported", serde_json::json!(["openid", "email"]));
    let (provider, attempt) = attempt(&issuer).await;
    let address = attempt.address(&provider).unwrap();
    let query: std::collections::HashMap<_, _> = address.query_pairs().into_owned().collect();
    assert_eq!(query["scope"], "openid email");
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["code_challenge"], pkce::challenge(&attempt.verifier));
    assert!(!address.as_str().contains(&attempt.verifier), "the verifier stays here");
}

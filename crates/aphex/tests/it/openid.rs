//! Other people's OpenID clients against `aphex issuer`, and a real kube-apiserver that takes its tokens.
//!
//! Each session is a program in its own language below `tests/clients/oidc` (Go: `engines/oidc`), which ends with an error and
//! says which of its checks failed. The manifests of Authentik are judged by Authentik's own types.

mod provider;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use aphex_testkit::real::{Disk, Programs, Real};
use aphex_testkit::{apply, engine, eventually, left_out, platform};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::clients::packages;
use provider::{Over, Person, Provider};

/// In one of the groups, as every session wants it.
const ANN: Person = Person { email: "ann@acme.example", name: "ann", group: "platform-engineering" };
const OSCAR: Person = Person { email: "oscar@acme.example", name: "oscar", group: "platform-operators" };

fn sessions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Runs a session; what it printed is the error when it fails.
fn pass(session: &mut Command) -> anyhow::Result<()> {
    let output =
        session.output().with_context(|| format!("cannot run {}", session.get_program().display()))?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "the session ended with {}:\n{said}", output.status);
    // A session that checks nothing must not pass.
    anyhow::ensure!(said.lines().any(|line| line.starts_with("ok ")), "the session checked nothing:\n{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn go_oidc_and_oauth2_log_in() -> anyhow::Result<()> {
    let Some(program) = engine("oidc-session")? else {
        left_out("go-oidc and golang.org/x/oauth2", "oidc-session is not built");
        return Ok(());
    };
    let provider = Provider::start(Over::Http).await?;
    provider.person(&ANN)?;
    pass(provider.session(&ANN, Command::new(program)).env("OIDC_CLIENT_ID", "kubernetes"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openid_client_logs_in() -> anyhow::Result<()> {
    let folder = sessions().join("oidc/javascript");
    let Some(packages) = packages::javascript("openid-client", &folder)? else { return Ok(()) };
    let place = packages::beside(&folder.join("session.mjs"), &packages)?;
    let provider = Provider::start(Over::Http).await?;
    provider.person(&ANN)?;
    pass(provider.session(&ANN, Command::new("node")).arg(place.path().join("session.mjs")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authlib_passes_the_checks_of_the_openid_foundations_basic_profile() -> anyhow::Result<()> {
    let folder = sessions().join("oidc/python");
    let Some(packages) = packages::python("Authlib", &folder)? else { return Ok(()) };
    let provider = Provider::start(Over::Http).await?;
    provider.person(&ANN)?;
    let (secret, redirect) = provider.confidential("argocd")?;
    pass(
        provider
            .session(&ANN, Command::new("python3"))
            .arg("-B")
            .arg(folder.join("session.py"))
            .env("PYTHONPATH", packages)
            .env("OIDC_CONFIDENTIAL_ID", "argocd")
            .env("OIDC_CONFIDENTIAL_SECRET", secret)
            .env("OIDC_CONFIDENTIAL_REDIRECT_URI", redirect),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openidconnect_logs_in_whatever_signs_the_tokens() -> anyhow::Result<()> {
    let folder = sessions().join("oidc/rust");
    let Some(program) = packages::rust("openidconnect", &folder, "oidc-session")? else { return Ok(()) };
    for algorithm in ["RS256", "ES256"] {
        let provider = Provider::start_with(Over::Http, &["--signing-algorithm", algorithm]).await?;
        provider.person(&ANN)?;
        let (secret, redirect) = provider.confidential("argocd")?;
        let mut session = provider.session(&ANN, Command::new(&program));
        session
            .env("OIDC_ALGORITHM", algorithm)
            .env("OIDC_CONFIDENTIAL_ID", "argocd")
            .env("OIDC_CONFIDENTIAL_SECRET", secret)
            .env("OIDC_CONFIDENTIAL_REDIRECT_URI", redirect);
        pass(&mut session).context(algorithm)?;
    }
    Ok(())
}

#[test]
fn authentiks_own_types_take_the_blueprint() -> anyhow::Result<()> {
    let folder = sessions().join("authentik");
    let Some(packages) = packages::python("Authentik's types", &folder)? else { return Ok(()) };
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../platform/auth/authentik");
    let mut check = Command::new("python3");
    pass(check.arg("-B").arg(folder.join("blueprint.py")).arg(manifests).env("PYTHONPATH", packages))
}

/// The Kubernetes API as somebody with a token.
fn with_token(real: &Real, token: &str) -> anyhow::Result<Client> {
    let mut config = kube::Config::new(real.access.server.parse()?);
    let certificates = rustls_pki(&real.access.ca)?;
    config.root_cert = Some(certificates);
    config.auth_info.token = Some(token.to_owned().into());
    Ok(Client::try_from(config)?)
}

fn rustls_pki(pem: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    use base64::Engine as _;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Ok(vec![base64::engine::general_purpose::STANDARD.decode(body)?])
}

/// An ID token of somebody for a client, from a login with go-oidc.
fn token(provider: &Provider, person: &Person, program: &Path, client: &str) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    let mut session = provider.session(person, Command::new(program));
    session.env("OIDC_CLIENT_ID", client).env("OIDC_TOKEN_FILE", &file);
    if client != "kubernetes" {
        let (secret, redirect) = provider.confidential(client)?;
        session.env("OIDC_CLIENT_SECRET", secret).env("OIDC_REDIRECT_URI", redirect);
    }
    pass(&mut session)?;
    Ok(std::fs::read_to_string(file)?)
}

fn pipeline(name: &str) -> anyhow::Result<DynamicObject> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "platform.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": { "name": name, "namespace": "team-shop" },
        "spec": {
            "organization": "shop",
            "repository": { "org": "acme", "name": "shop" },
            "pipeline": { "spec": { "tasks": [{ "name": "build", "taskRef": { "name": "build" } }] } },
        },
    }))?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_api_server_takes_logins_and_the_rights_of_groups_decide() -> anyhow::Result<()> {
    let Some(program) = engine("oidc-session")? else {
        left_out("logins at a real kube-apiserver", "oidc-session is not built");
        return Ok(());
    };
    let programs = match Programs::find()? {
        Ok(programs) => programs,
        Err(missing) => {
            left_out("logins at a real kube-apiserver", &format!("{missing} is not built"));
            return Ok(());
        }
    };
    let provider = Provider::start(Over::Tls).await?;
    provider.person(&ANN)?;
    provider.person(&OSCAR)?;
    let flags = [
        format!("--oidc-issuer-url={}", provider.url),
        "--oidc-client-id=kubernetes".to_owned(),
        "--oidc-username-claim=email".to_owned(),
        "--oidc-groups-claim=groups".to_owned(),
        format!("--oidc-ca-file={}", provider.ca().display()),
    ];
    let real = Real::start_with(&programs, Disk::Quick, &flags).await?;
    let admin = {
        let kubeconfig = kube::config::Kubeconfig::read_from(real.kubeconfig())?;
        let options = kube::config::KubeConfigOptions::default();
        Client::try_from(kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?)?
    };
    for definition in platform::manifests("crds")?.iter().filter(|crd| crd["spec"]["group"] == "platform.dev")
    {
        apply(&admin, definition).await?;
    }
    for name in ["platform-system", "team-shop"] {
        apply(&admin, &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }))
            .await?;
    }
    platform::apply_rights(&admin, "rbac").await?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("platform.dev", "v1alpha1", "Pipeline"));
    let pipelines =
        |client: &Client| Api::<DynamicObject>::namespaced_with(client.clone(), "team-shop", &kind);

    let ann = with_token(&real, &token(&provider, &ANN, &program, "kubernetes")?)?;
    let oscar = with_token(&real, &token(&provider, &OSCAR, &program, "kubernetes")?)?;
    let object = pipeline("shop")?;
    // The API server asks the issuer for its keys in the background, and serves a new definition a moment later.
    eventually("a member of platform-engineering creates a Pipeline", || async {
        pipelines(&ann).create(&PostParams::default(), &object).await.map(Some).map_err(anyhow::Error::from)
    })
    .await?;
    assert_eq!(pipelines(&ann).get("shop").await?.name_any(), "shop");
    let refused = pipelines(&ann).delete("shop", &DeleteParams::default()).await.err().context("refused")?;
    let words = r#"User "ann@acme.example" cannot delete resource "pipelines" in API group "platform.dev""#;
    assert!(refused.to_string().contains(words), "{refused}");
    pipelines(&oscar).delete("shop", &DeleteParams::default()).await?;

    let review = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("content-type", "application/json")
        .body(br#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#.to_vec())?;
    let review: Value = ann.request(review).await?;
    let user = &review["status"]["userInfo"];
    assert_eq!(user["username"], ANN.email);
    assert_eq!(user["groups"], json!([ANN.group, "system:authenticated"]));

    // A login for somebody else's pages is no login here, and neither is one that was changed.
    let foreign = with_token(&real, &token(&provider, &ANN, &program, "argocd")?)?;
    let mut changed = token(&provider, &ANN, &program, "kubernetes")?;
    let end = changed.pop().context("a token has an end")?;
    changed.insert(changed.len() - 20, if end == 'A' { 'B' } else { 'A' });
    for (who, client) in [("another audience", foreign), ("a changed token", with_token(&real, &changed)?)] {
        let answer = pipelines(&client).get("shop").await;
        assert!(matches!(&answer, Err(kube::Error::Api(status)) if status.code == 401), "{who}: {answer:?}");
    }
    Ok(())
}

//! `aphex install auth`: into a folder, and onto an engine.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::program::{Up, aphex};

/// The Secrets of an installation, by part and name.
fn secrets(folder: &Path) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for part in ["auth", "argocd", "tekton-dashboard"] {
        let path = folder.join(part).join("secrets.yaml");
        let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
        for secret in serde_saphyr::from_multiple::<Value>(&std::fs::read_to_string(&path)?)? {
            let name = secret["metadata"]["name"].as_str().context("a name")?.to_owned();
            found.insert(name, secret["stringData"].clone());
        }
    }
    Ok(found)
}

fn values(secrets: &BTreeMap<String, Value>) -> Vec<String> {
    let all = secrets.values().filter_map(Value::as_object).flat_map(serde_json::Map::values);
    all.filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

#[test]
fn a_folder_can_be_written_again_and_keeps_its_secrets() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let folder = place.path().join("auth");
    let write = |domain: &str| -> anyhow::Result<String> {
        let output = aphex().args(["install", "auth", "--domain", domain, "--out"]).arg(&folder).output()?;
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        anyhow::ensure!(output.status.success(), "{said}");
        Ok(said)
    };
    let said = write("corp.example")?;
    for step in ["kubectl apply --server-side -k", "--oidc-issuer-url=https://dex.corp.example", "dex-tls"] {
        assert!(said.contains(step), "{step}: {said}");
    }
    let first = secrets(&folder)?;
    assert_eq!(values(&first).len(), 10);
    assert!(values(&first).iter().all(|value| !said.contains(value.as_str())), "no secret is printed");
    let manifests = std::fs::read_to_string(folder.join("auth/manifests.yaml"))?;
    assert!(values(&first).iter().all(|value| !manifests.contains(value.as_str())), "or is among manifests");
    let said = write("other.example")?;
    assert_eq!(secrets(&folder)?, first);
    assert!(values(&first).iter().all(|value| !said.contains(value.as_str())));
    let manifests = std::fs::read_to_string(folder.join("auth/manifests.yaml"))?;
    assert!(manifests.contains("https://dex.other.example") && !manifests.contains("corp.example"));
    let kind = std::fs::read_to_string(folder.join("kind-cluster-config.yaml"))?;
    assert!(kind.contains("oidc-issuer-url: https://dex.other.example"), "{kind}");

    // What cannot be read is not thrown away.
    std::fs::write(folder.join("auth/secrets.yaml"), "a: [")?;
    let error = write("corp.example").err().context("refused")?.to_string();
    assert!(error.contains("secrets.yaml is not readable as YAML"), "{error}");
    Ok(())
}

#[test]
fn wrong_usage_is_told_before_anything_is_done() -> anyhow::Result<()> {
    for (arguments, words) in [
        (&["install", "auth", "--domain", "corp.example"][..], "--out"),
        (&["install", "auth", "--domain", "https://corp.example", "--apply"], "such as example.com"),
        (&["install", "auth", "--apply"], "--domain"),
    ] {
        let output = aphex().args(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    Ok(())
}

/// A key of a Secret on an engine.
async fn key(client: &Client, namespace: &str, name: &str, key: &str) -> anyhow::Result<String> {
    let secret = Api::<Secret>::namespaced(client.clone(), namespace).get(name).await?;
    let value =
        secret.data.unwrap_or_default().remove(key).with_context(|| format!("{name} has no {key}"))?;
    Ok(String::from_utf8(value.0)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_gets_everything_once_and_a_lost_secret_again() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let place = tempfile::tempdir()?;
    let up = Up::start(place.path())?;
    let kubeconfig = Kubeconfig::read_from(&up.kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let engine = Client::try_from(config)?;
    let install = ["install", "auth", "--domain", "corp.example", "--apply"];
    let output = up.run(&install)?;
    let (said, noted) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert!(output.status.success(), "{noted}");
    // Local mode has no Tekton of its own.
    assert!(
        noted.contains("Tekton's Dashboard is left out: there is no namespace tekton-pipelines"),
        "{noted}"
    );
    assert!(
        said.contains("deployment.apps/dex serverside-applied") && said.contains("secret/dex created"),
        "{said}"
    );
    let client = key(&engine, "auth-system", "dex", "argocd-client-secret").await?;
    assert_eq!(key(&engine, "argocd", "argocd-secret", "oidc.dex.clientSecret").await?, client);
    assert!(!said.contains(&client) && !noted.contains(&client));

    let again = up.ok(&install)?;
    for name in ["dex", "authentik", "argocd-secret"] {
        assert!(again.contains(&format!("secret/{name} unchanged")), "{again}");
    }
    let lost = json!({ "data": { "argocd-client-secret": null } });
    let secrets = Api::<Secret>::namespaced(engine.clone(), "auth-system");
    secrets.patch("dex", &PatchParams::default(), &Patch::Merge(&lost)).await?;
    let mended = up.ok(&install)?;
    assert!(
        mended.contains("secret/argocd-secret configured: oidc.dex.clientSecret brought to what Dex has"),
        "{mended}"
    );
    let other = key(&engine, "auth-system", "dex", "argocd-client-secret").await?;
    assert!(other != client && !mended.contains(&other));
    assert_eq!(key(&engine, "argocd", "argocd-secret", "oidc.dex.clientSecret").await?, other);
    Ok(())
}

//! `aphex install auth` and `aphex install platform`: into a folder, and onto an engine.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use aphex_testkit::{engine, eventually, left_out};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::hooks::client;
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
        (&["install", "platform", "--apply"], "--image"),
        (&["install", "platform", "--image", "aphex:1"], "--out"),
        (&["install", "platform", "--image", "https://x/aphex", "--apply"], "a name with a tag"),
        (&["install", "platform", "--image", "aphex:1", "--set", "APHEX_LOG", "--apply"], "KEY=VALUE"),
        (
            &["install", "platform", "--image", "aphex:1", "--set", "APHEX_LOGS=x", "--out", "x"],
            "mean APHEX_LOG?",
        ),
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
    let place = tempfile::tempdir()?;
    let up = Up::start(place.path())?;
    let engine = client(&up.kubeconfig).await?;
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

/// The objects of YAML, by kind, namespace and name.
fn by_name(yaml: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let text = |object: &Value, pointer: &str| {
        object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let named = |object: Value| {
        let place = ["/apiVersion", "/kind", "/metadata/namespace", "/metadata/name"];
        (place.map(|pointer| text(&object, pointer)).join(" "), object)
    };
    Ok(serde_saphyr::from_multiple::<Value>(yaml)?.into_iter().map(named).collect())
}

#[test]
fn the_folder_of_the_platform_is_what_its_kustomization_makes() -> anyhow::Result<()> {
    let Some(kubectl) = engine("kubectl")? else {
        left_out("aphex install platform beside kubectl kustomize", "kubectl is not built");
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let folder = place.path().join("platform");
    let image = concat!("aphex:", env!("CARGO_PKG_VERSION"));
    let output = aphex().args(["install", "platform", "--image", image, "--out"]).arg(&folder).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8(output.stderr)?.contains("--gateway-url names a public address"));
    let made = |folder: &Path| -> anyhow::Result<BTreeMap<String, Value>> {
        let output = std::process::Command::new(&kubectl).arg("kustomize").arg(folder).output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        by_name(&String::from_utf8(output.stdout)?)
    };
    let (ours, theirs) =
        (made(&folder)?, made(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../platform"))?);
    assert!(ours.len() > 30 && ours.keys().eq(theirs.keys()), "{:?}", ours.keys());
    for (name, object) in ours {
        assert_eq!(object, theirs[&name], "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_gets_the_platform_and_keeps_its_configuration() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let up = Up::start(place.path())?;
    let engine = client(&up.kubeconfig).await?;
    let maps = Api::<ConfigMap>::namespaced(engine.clone(), "platform-system");
    let settings = async || anyhow::Ok(maps.get("aphex-config").await?.data.unwrap_or_default());
    let before = settings().await?;
    let install = |image: &str, more: &[&str]| {
        up.run(&[&["install", "platform", "--image", image, "--apply"], more].concat())
    };

    // Local mode has the same policies and rights, as their manager.
    let refused = install("registry.example.com/aphex:1", &[])?;
    let told = String::from_utf8(refused.stderr)?;
    assert!(refused.status.code() == Some(5) && told.contains("--force-conflicts"), "{told}");
    let first = install("registry.example.com/aphex:1", &["--set", "APHEX_LOG=debug", "--force-conflicts"])?;
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let said = String::from_utf8(first.stdout)?;
    assert!(said.contains("deployment.apps/aphex-gateway serverside-applied"), "{said}");
    let second = install("registry.example.com/aphex:2", &[])?;
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    let after = settings().await?;
    assert_eq!(
        (&after["APHEX_LOG"], &after["APHEX_GATEWAY_URL"]),
        (&"debug".into(), &before["APHEX_GATEWAY_URL"])
    );
    let deployments = Api::<Deployment>::namespaced(engine.clone(), "platform-system");
    for name in ["aphex-controller", "aphex-gateway"] {
        let spec = deployments.get(name).await?.spec.and_then(|spec| spec.template.spec).context("pods")?;
        assert_eq!(spec.containers[0].image.as_deref(), Some("registry.example.com/aphex:2"));
    }

    // What somebody else has written is theirs until the flag says otherwise.
    let given = ["--gateway-url", "https://hooks.example.com"];
    let refused = install("registry.example.com/aphex:2", &given)?;
    assert_eq!(refused.status.code(), Some(5), "{}", String::from_utf8_lossy(&refused.stderr));
    let forced = install("registry.example.com/aphex:2", &[&given[..], &["--force-conflicts"]].concat())?;
    assert!(forced.status.success(), "{}", String::from_utf8_lossy(&forced.stderr));
    assert_eq!(settings().await?["APHEX_GATEWAY_URL"], "https://hooks.example.com");

    // No pod runs here.
    let waited = install("registry.example.com/aphex:2", &["--wait", "1"])?;
    let told = String::from_utf8(waited.stderr)?;
    assert!(waited.status.code() == Some(7) && told.contains("kubectl describe pods"), "{told}");

    let definitions = Api::<CustomResourceDefinition>::all(engine);
    definitions.delete("appprojects.argoproj.io", &DeleteParams::default()).await?;
    eventually("the kind is gone", || async {
        Ok(definitions.get_opt("appprojects.argoproj.io").await?.is_none().then_some(()))
    })
    .await?;
    let lacking = install("registry.example.com/aphex:3", &[])?;
    let told = String::from_utf8(lacking.stderr)?;
    assert!(lacking.status.code() == Some(1) && told.contains("AppProject: install Argo CD first"), "{told}");
    let spec =
        deployments.get("aphex-gateway").await?.spec.and_then(|spec| spec.template.spec).context("pods")?;
    assert_eq!(
        spec.containers[0].image.as_deref(),
        Some("registry.example.com/aphex:2"),
        "nothing was written"
    );
    Ok(())
}

//! `aphex controller` behind Cloudflare, as it is started on a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;

use anyhow::Context as _;
use aphex_testkit::cloudflare::{Cloudflare, DOMAIN};
use aphex_testkit::{Cluster, eventually};
use serde_json::Value;

use super::program::{aphex, example};

/// A running controller; killed when dropped.
struct Controller(Child);

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command of the program against an engine.
fn run(kubeconfig: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = aphex().arg("--kubeconfig").arg(kubeconfig).args(arguments).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "aphex {arguments:?}: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Puts the definitions and namespaces on an engine that has nothing.
fn install(kubeconfig: &Path, folder: &Path) -> anyhow::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let namespaces = folder.join("namespaces.yaml");
    let text = ["platform-system", "argocd"]
        .map(|name| format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{ name: {name} }}\n"));
    std::fs::write(&namespaces, text.concat())?;
    let mut files: Vec<PathBuf> = vec![namespaces];
    for folder in ["foreign", "../../platform/crds"] {
        for entry in std::fs::read_dir(here.join(folder))? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name != "kustomization.yaml") {
                files.push(path);
            }
        }
    }
    for file in files {
        run(kubeconfig, &["apply", "-f", file.to_str().context("a path")?])?;
    }
    Ok(())
}

/// The arguments of a process and of everything that it started, as anybody on the machine reads them.
fn arguments(process: u32) -> anyhow::Result<BTreeSet<String>> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that ended meanwhile has no files any more.
        let Ok(status) = std::fs::read_to_string(format!("/proc/{id}/status")) else { continue };
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok());
        parents.extend(parent.map(|parent| (id, parent)));
    }
    let descends = |id: u32| {
        let up = std::iter::successors(Some(id), |id| parents.get(id).copied());
        up.take(parents.len()).any(|id| id == process)
    };
    let family = parents.keys().filter(|id| descends(**id));
    let read = |id: &u32| std::fs::read(format!("/proc/{id}/cmdline")).ok();
    Ok(family.filter_map(read).map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect())
}

#[test]
fn a_controller_that_is_asked_for_cloudflare_without_a_token_says_where_it_belongs() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    let cluster = runtime.block_on(Cluster::start())?;
    if !cluster.is_embedded() {
        return Ok(());
    }
    let kubeconfig = runtime.block_on(cluster.serve())?;
    let output = aphex()
        .arg("--kubeconfig")
        .arg(&kubeconfig)
        .args(["controller", "--admin", "127.0.0.1:0", "--gateway-url", "http://gateway"])
        .args(["--exposure", "cloudflare", "--domain", DOMAIN])
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("CLOUDFLARE_API_TOKEN") && said.contains("platform-system/aphex-cloudflare"),
        "{said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_with_a_token_makes_a_tunnel_for_an_organization() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    if !cluster.is_embedded() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let (kubeconfig, cloudflare) = (cluster.serve().await?, Cloudflare::start().await?);
    let (path, work) = (kubeconfig.clone(), folder.path().to_owned());
    tokio::task::spawn_blocking(move || install(&path, &work)).await??;
    let token = folder.path().join("token");
    std::fs::write(&token, cloudflare.token())?;
    let log = std::fs::File::create(folder.path().join("log"))?;
    let child = aphex()
        .arg("--kubeconfig")
        .arg(&kubeconfig)
        .args(["controller", "--admin", "127.0.0.1:0", "--gateway-url", "http://gateway", "--domain", DOMAIN])
        .args(["--cloudflare-url", &cloudflare.url(), "--cloudflare-token-file"])
        .arg(&token)
        .env("APHEX_LOG", "trace")
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?;
    let controller = Controller(child);
    let seen = Mutex::new(BTreeSet::new());
    let (path, file) = (kubeconfig.clone(), example("organization.yaml"));
    tokio::task::spawn_blocking(move || run(&path, &["apply", "-f", &file.to_string_lossy()])).await??;
    let record = eventually("the name leads to the tunnel", || async {
        seen.lock().unwrap().extend(arguments(controller.0.id())?);
        Ok(cloudflare.records_of("acme-corp.example.com").pop())
    })
    .await?;
    let tunnel = cloudflare.tunnel("webhooks-acme-corp").context("a tunnel")?;
    assert_eq!(record.content, format!("{}.cfargotunnel.com", tunnel.id));
    let organization = eventually("its status says what is waited for", || {
        let path = kubeconfig.clone();
        async move {
            let get = move || run(&path, &["org", "get", "acme-corp", "-o", "json"]);
            let text = tokio::task::spawn_blocking(get).await??;
            let object: Value = serde_json::from_str(&text)?;
            let waits =
                object["status"]["message"].as_str().is_some_and(|m| m.contains("cloudflared-acme-corp"));
            Ok(waits.then_some(object))
        }
    })
    .await?;
    assert_eq!(organization["status"]["webhookURL"], "https://acme-corp.example.com");
    let said = std::fs::read_to_string(folder.path().join("log"))?;
    assert!(said.contains("DNS record written"), "{said}");
    seen.lock().unwrap().extend(arguments(controller.0.id())?);
    let shown = seen.into_inner().unwrap().into_iter().collect::<Vec<String>>().join("\n");
    assert!(shown.contains("--cloudflare-token-file"), "arguments were looked at: {shown}");
    for (text, place) in [(said, "log"), (shown, "arguments")] {
        assert!(
            !text.contains(&cloudflare.token()) && !text.contains(&tunnel.secret),
            "a secret is in the {place}"
        );
    }
    Ok(())
}

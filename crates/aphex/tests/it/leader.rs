//! Several `aphex controller` against one engine: one works, another takes over.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aphex_testkit::eventually;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::DeleteParams;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::program::{Up, aphex};

/// A silent leader's Lease runs out after 15 s; candidates look every 2 to 4.4 s.
const PATIENCE: Duration = Duration::from_secs(40);

struct Replica {
    name: &'static str,
    child: Child,
    log: std::path::PathBuf,
}

impl Replica {
    fn start(up: &Up, name: &'static str, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let child = aphex()
            .arg("--kubeconfig")
            .arg(&up.kubeconfig)
            .args(["controller", "--admin", "127.0.0.1:0", "--gateway-url", "http://127.0.0.1:9"])
            .env("POD_NAME", name)
            .stderr(File::create(&log)?)
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { name, child, log })
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn leads(&self) -> bool {
        self.said().lines().any(|line| line.contains(" leads ") && line.contains(self.name))
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let status = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status()?;
        anyhow::ensure!(status.success(), "cannot send {signal}");
        Ok(())
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            anyhow::ensure!(
                Instant::now() < deadline,
                "{what}: in vain; {} said:\n{}",
                self.name,
                self.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "{} does not end; it said:\n{}",
                self.name,
                self.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn another_controller_takes_over_from_one_that_ends_and_from_one_that_was_paused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(&folder.path().join("data"))?;
    let mut first = Replica::start(&up, "first", folder.path())?;
    first.until("the first leads", Replica::leads)?;
    let mut second = Replica::start(&up, "second", folder.path())?;
    second.until("the second sees who leads", |replica| replica.said().contains("another process leads"))?;
    assert!(!second.leads());

    first.signal("-TERM")?;
    assert!(first.ended()?.success(), "SIGTERM is an orderly end: {}", first.said());
    let began = Instant::now();
    second.until("the second leads", Replica::leads)?;
    assert!(began.elapsed() < Duration::from_secs(10), "a lead given up took {:?}", began.elapsed());

    let third = Replica::start(&up, "third", folder.path())?;
    third.until("the third sees who leads", |replica| replica.said().contains("another process leads"))?;
    second.signal("-STOP")?;
    third.until("the third leads", Replica::leads)?;
    second.signal("-CONT")?;
    let status = second.ended()?;
    assert_eq!(status.code(), Some(1), "{}", second.said());
    let said = second.said();
    assert!(
        said.contains("does not lead any more") && said.contains("platform-system/aphex-controller"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_controller_without_its_kinds_says_what_to_install() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(&folder.path().join("data"))?;
    tokio::runtime::Runtime::new()?
        .block_on(forget(&up.kubeconfig, "appprojects.argoproj.io"))
        .context("cannot take a definition away")?;
    let replica = Replica::start(&up, "bare", folder.path())?;
    let missing = |replica: &Replica| {
        let said = replica.said();
        said.contains("AppProject (argoproj.io/v1alpha1)") && said.contains("install Argo CD")
    };
    replica.until("it says what is missing", missing)?;
    Ok(())
}

/// Takes a definition away.
pub(crate) async fn forget(kubeconfig: &Path, definition: &str) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(kube::Client::try_from(config)?);
    definitions.delete(definition, &DeleteParams::default()).await?;
    eventually("the definition is gone", || async {
        Ok(definitions.get_opt(definition).await?.is_none().then_some(()))
    })
    .await
}

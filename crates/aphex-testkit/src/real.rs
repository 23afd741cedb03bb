//! A real control plane: etcd, kube-apiserver, and kube-controller-manager with the loops that the embedded engine has.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use aphex_auth::pki::Authority;
use aphex_auth::tokens::Signer;
use http::StatusCode;
use kube::{Client, Config};

use crate::access::Access;
use crate::engines::engine;
use crate::wait::eventually_for;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Loops of kube-controller-manager that work on any kind of object; the others run workloads.
const LOOPS: &str = "namespace-controller,garbage-collector-controller,serviceaccount-controller,\
                     root-ca-certificate-publisher-controller,clusterrole-aggregation-controller,\
                     resourcequota-controller";
const PATIENCE: Duration = Duration::from_mins(2);

/// The programs of a control plane, as `cargo xtask engines` builds them.
#[derive(Clone, Debug)]
pub struct Programs {
    etcd: PathBuf,
    apiserver: PathBuf,
    manager: PathBuf,
    /// kubectl of the same version.
    pub kubectl: PathBuf,
}

impl Programs {
    /// All of them, or the name of one that is missing.
    pub fn find() -> anyhow::Result<Result<Self, &'static str>> {
        let Some(etcd) = engine("etcd")? else { return Ok(Err("etcd")) };
        let Some(apiserver) = engine("kube-apiserver")? else { return Ok(Err("kube-apiserver")) };
        let Some(kubectl) = engine("kubectl")? else { return Ok(Err("kubectl")) };
        let Some(manager) = engine("kube-controller-manager")? else {
            return Ok(Err("kube-controller-manager"));
        };
        Ok(Ok(Self { etcd, apiserver, manager, kubectl }))
    }
}

/// How etcd writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// An answered write is on disk, as in production.
    Durable,
    /// It may not be yet: quicker, for comparing answers.
    Quick,
}

/// The running control plane; gone when dropped.
#[derive(Debug)]
pub struct Real {
    /// How to get in.
    pub access: Access,
    children: Vec<Child>,
    folder: tempfile::TempDir,
}

impl Real {
    /// Starts it and waits until it is ready.
    pub async fn start(programs: &Programs, disk: Disk) -> anyhow::Result<Self> {
        Self::start_with(programs, disk, &[]).await
    }

    /// The same, with an `AuthenticationConfiguration` as JSON.
    pub async fn trusting(
        programs: &Programs,
        disk: Disk,
        configuration: &serde_json::Value,
    ) -> anyhow::Result<Self> {
        Self::begin(programs, disk, &[], Some(configuration)).await
    }

    /// The same, with more flags of kube-apiserver.
    pub async fn start_with(programs: &Programs, disk: Disk, more: &[String]) -> anyhow::Result<Self> {
        Self::begin(programs, disk, more, None).await
    }

    async fn begin(
        programs: &Programs,
        disk: Disk,
        more: &[String],
        authentication: Option<&serde_json::Value>,
    ) -> anyhow::Result<Self> {
        // The second one in the process finds it installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir()?;
        let ports = [free_port()?, free_port()?, free_port()?];
        let pki = folder.path().join("pki");
        let now = jiff::Timestamp::now();
        let authority = Authority::load_or_create(&pki, now)?;
        // Writes the server's certificate and key beside the authority's.
        authority.server_config(&["localhost".to_owned(), "127.0.0.1".to_owned()], now)?;
        Signer::load_or_create(&pki, ISSUER)?;
        let admin = authority.client_certificate("test-admin", &["system:masters"], now)?;
        let access = Access {
            server: format!("https://127.0.0.1:{}", ports[2]),
            ca: authority.ca_pem().to_owned(),
            certificate: admin.certificate,
            key: admin.key,
        };
        std::fs::write(folder.path().join("kubeconfig"), access.kubeconfig("default"))?;
        let mut real = Self { access, children: Vec::new(), folder };
        real.spawn(&programs.etcd, &etcd(disk, ports[0], ports[1]))?;
        let mut flags = [&apiserver(ports[0], ports[2])[..], more].concat();
        if let Some(configuration) = authentication {
            std::fs::write(real.folder.path().join("authentication.json"), configuration.to_string())?;
            flags.push("--authentication-config=authentication.json".to_owned());
        }
        real.spawn(&programs.apiserver, &flags)?;
        real.until_ready().await?;
        let manager = [
            "--kubeconfig=kubeconfig",
            "--leader-elect=false",
            "--root-ca-file=pki/ca.crt",
            "--service-account-private-key-file=pki/service-account.key",
            "--secure-port=0",
        ];
        let loops = format!("--controllers={LOOPS}");
        real.spawn(&programs.manager, &[&manager.map(str::to_owned)[..], &[loops]].concat())?;
        Ok(real)
    }

    fn spawn(&mut self, program: &Path, arguments: &[String]) -> anyhow::Result<()> {
        let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let log = std::fs::File::create(self.folder.path().join(format!("{name}.log")))?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {name}"))?;
        self.children.push(child);
        Ok(())
    }

    /// A file with the administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// The last lines of kube-apiserver's log.
    pub fn said(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("kube-apiserver.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(10).collect();
        tail.join("\n")
    }

    /// The process ids of etcd, kube-apiserver and kube-controller-manager.
    pub fn ids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    async fn until_ready(&self) -> anyhow::Result<()> {
        let kubeconfig = kube::config::Kubeconfig::read_from(self.kubeconfig())?;
        let options = kube::config::KubeConfigOptions::default();
        let client = Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &options).await?)?;
        let ask = || async {
            let request = http::Request::get("/readyz").body(kube::client::Body::empty())?;
            let answer = client.send(request).await?;
            Ok((answer.status() == StatusCode::OK).then_some(()))
        };
        eventually_for(PATIENCE, "kube-apiserver is ready", ask)
            .await
            .with_context(|| format!("kube-apiserver said last:\n{}", self.said()))
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn etcd(disk: Disk, clients: u16, peers: u16) -> Vec<String> {
    let (clients, peers) = (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{peers}"));
    let mut arguments = vec![
        "--data-dir=etcd".to_owned(),
        "--log-level=error".to_owned(),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
    ];
    if disk == Disk::Quick {
        arguments.push("--unsafe-no-fsync".to_owned());
    }
    arguments
}

fn apiserver(etcd: u16, port: u16) -> Vec<String> {
    let fixed = [
        "--tls-cert-file=pki/server.crt",
        "--tls-private-key-file=pki/server.key",
        "--client-ca-file=pki/ca.crt",
        "--cert-dir=pki",
        "--service-account-key-file=pki/service-account.key",
        "--service-account-signing-key-file=pki/service-account.key",
        "--authorization-mode=Node,RBAC",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--allow-privileged",
    ];
    let mut arguments = fixed.map(str::to_owned).to_vec();
    arguments.push(format!("--etcd-servers=http://127.0.0.1:{etcd}"));
    arguments.push(format!("--secure-port={port}"));
    arguments.push(format!("--service-account-issuer={ISSUER}"));
    arguments
}

/// A port that was free a moment ago: etcd and kube-apiserver cannot be asked which one they took.
///
/// None of those that systems give to connections going out, of which other tests make many: one of them may have it a moment
/// later. Those begin at 32768 on Linux, and at 49152 elsewhere (RFC 6335).
fn free_port() -> anyhow::Result<u16> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
    let mut tried = (0..1_000).map(|_| rand::random_range(10_240..32_768));
    tried.find(is_free).context("no port is free")
}

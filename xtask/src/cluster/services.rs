//! What runs in a cluster, and with which arguments.
//!
//! Every service works in the cluster's folder, so paths in arguments are relative. They are the same for a node, which
//! sees its folder elsewhere.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::node_files::{BRIDGE, CLUSTER_DNS, INSIDE, NODE, PODS};
use super::oidc::Oidc;
use super::pki::ISSUER;
use super::requirements::which;
use crate::engines;

/// Where services' addresses come from.
const SERVICES: &str = "10.96.0.0/16";
/// The first of them is the API's own service.
pub(super) const API_SERVICE: &str = "10.96.0.1";
/// The kubeconfig of a cluster's own parts.
pub(super) const OWN_KUBECONFIG: &str = "own.kubeconfig";

/// One process to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Service {
    /// Its name, for logs.
    pub(super) name: String,
    /// The program.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
}

impl Service {
    /// A program of an engine, built when needed. Its path is the real one, not that of a link.
    fn engine(name: &str, arguments: Vec<String>) -> anyhow::Result<Self> {
        Ok(Self { name: name.to_owned(), program: engines::program(name)?, arguments })
    }
}

/// The ports of the API's two processes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    /// kube-apiserver's.
    pub(super) api: u16,
    /// etcd's for clients.
    pub(super) etcd: u16,
    /// etcd's for other members, of which there are none.
    pub(super) peers: u16,
}

pub(super) fn etcd(ports: Ports) -> anyhow::Result<Service> {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let (clients, peers) = (url(ports.etcd), url(ports.peers));
    Service::engine(
        "etcd",
        vec![
            "--data-dir=etcd".into(),
            "--log-level=error".into(),
            // What is kept here need not survive the machine, and waiting for disks is most of a start.
            "--unsafe-no-fsync".into(),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
        ],
    )
}

/// kube-apiserver, bound to an address and telling pods another; it may take an OpenID provider's tokens.
pub(super) fn api_server(
    ports: Ports,
    bind: &str,
    advertise: &str,
    oidc: Option<&Oidc>,
) -> anyhow::Result<Service> {
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
        // Short, so that suites which wait for a compaction (expired list tokens) need not wait five minutes.
        "--etcd-compaction-interval=30s".into(),
        format!("--secure-port={}", ports.api),
        format!("--bind-address={bind}"),
        format!("--advertise-address={advertise}"),
        "--tls-cert-file=pki/server.crt".into(),
        "--tls-private-key-file=pki/server.key".into(),
        "--client-ca-file=pki/ca.crt".into(),
        "--cert-dir=pki".into(),
        "--kubelet-client-certificate=pki/admin.crt".into(),
        "--kubelet-client-key=pki/admin.key".into(),
        "--kubelet-preferred-address-types=InternalIP".into(),
        // Both read the public half out of a private key.
        "--service-account-key-file=pki/service-account.key".into(),
        "--service-account-signing-key-file=pki/service-account.key".into(),
        format!("--service-account-issuer={ISSUER}"),
        "--authorization-mode=Node,RBAC".into(),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--allow-privileged".into(),
    ];
    arguments.extend(oidc.into_iter().flat_map(Oidc::flags));
    Service::engine("kube-apiserver", arguments)
}

/// kube-controller-manager; without a node there are no heartbeats, so what looks for them stays off.
pub(super) fn controller_manager(node: bool) -> anyhow::Result<Service> {
    let controllers = if node { "*" } else { "*,-node-lifecycle-controller,-taint-eviction-controller" };
    Service::engine(
        "kube-controller-manager",
        vec![
            format!("--kubeconfig={OWN_KUBECONFIG}"),
            format!("--controllers={controllers}"),
            "--service-account-private-key-file=pki/service-account.key".into(),
            "--root-ca-file=pki/ca.crt".into(),
            "--cluster-signing-cert-file=pki/ca.crt".into(),
            "--cluster-signing-key-file=pki/ca.key".into(),
            "--use-service-account-credentials".into(),
            "--leader-elect=false".into(),
            // No port of its own, so that several clusters need no agreement.
            "--secure-port=0".into(),
        ],
    )
}

pub(super) fn scheduler() -> anyhow::Result<Service> {
    Service::engine(
        "kube-scheduler",
        vec![
            format!("--kubeconfig={OWN_KUBECONFIG}"),
            "--leader-elect=false".into(),
            "--secure-port=0".into(),
        ],
    )
}

pub(super) fn containerd() -> Service {
    Service {
        name: "containerd".into(),
        program: which("containerd").unwrap_or_else(|| "containerd".into()),
        arguments: vec![format!("--config={INSIDE}/containerd.toml")],
    }
}

pub(super) fn kubelet() -> anyhow::Result<Service> {
    Service::engine(
        "kubelet",
        vec![
            format!("--kubeconfig={INSIDE}/{OWN_KUBECONFIG}"),
            format!("--config={INSIDE}/kubelet.json"),
            format!("--root-dir={INSIDE}/kubelet"),
            format!("--cert-dir={INSIDE}/kubelet-pki"),
            format!("--hostname-override={NODE}"),
            format!("--node-ip={BRIDGE}"),
        ],
    )
}

pub(super) fn proxy() -> anyhow::Result<Service> {
    Service::engine(
        "kube-proxy",
        vec![
            format!("--kubeconfig={OWN_KUBECONFIG}"),
            format!("--hostname-override={NODE}"),
            format!("--cluster-cidr={PODS}"),
            "--proxy-mode=iptables".into(),
            // A pod that reaches another through a service gets its answers over the bridge, past the address
            // translation, unless they go to the node first.
            "--masquerade-all".into(),
            // These settings belong to the whole machine, and a container host may not change them.
            "--conntrack-max-per-core=0".into(),
            "--conntrack-tcp-timeout-established=0s".into(),
            "--conntrack-tcp-timeout-close-wait=0s".into(),
        ],
    )
}

pub(super) fn dns() -> anyhow::Result<Service> {
    Service::engine("coredns", vec!["-conf=Corefile".into()])
}

/// CoreDNS' configuration: names of services and pods, nothing else.
pub(super) fn corefile() -> String {
    format!(
        "cluster.local in-addr.arpa {{\n  bind {CLUSTER_DNS}\n  kubernetes cluster.local in-addr.arpa {{\n    kubeconfig {OWN_KUBECONFIG}\n    pods insecure\n  }}\n}}\n"
    )
}

/// The path of a program as a node sees it: engines lie elsewhere there.
pub(super) fn inside(program: &Path, engines: &Path) -> PathBuf {
    match program.strip_prefix(engines) {
        Ok(below) => Path::new(super::node_files::ENGINES_INSIDE).join(below),
        Err(_) => program.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_have_another_path_inside_of_a_node_and_system_programs_have_not() {
        let engines = Path::new("/c/engines");
        assert_eq!(
            inside(Path::new("/c/engines/etcd/1/etcd"), engines),
            Path::new("/run/engines/etcd/1/etcd")
        );
        assert_eq!(inside(Path::new("/usr/bin/containerd"), engines), Path::new("/usr/bin/containerd"));
    }
}

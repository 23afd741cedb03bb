//! The configuration files of a node.

use serde_json::json;

use super::images::PAUSE;
use super::services::{self, OWN_KUBECONFIG};
use super::state::State;
use super::{kubeconfig, pki};

/// Where a node sees its folder.
pub(super) const INSIDE: &str = "/run/aphex";
/// Where a node sees the engines.
pub(super) const ENGINES_INSIDE: &str = "/run/engines";
/// Where Debian puts the network plugins.
pub(super) const CNI_PLUGINS: &str = "/usr/lib/cni";
/// The node's name.
pub(super) const NODE: &str = "node";
/// The node's address: the bridge that pods hang on. It must not be a loopback address.
pub(super) const BRIDGE: &str = "10.88.0.1";
/// The network of pods, with the bridge.
pub(super) const PODS: &str = "10.88.0.0/16";
/// Where pods ask for names.
pub(super) const CLUSTER_DNS: &str = BRIDGE;

/// Writes them all.
pub(super) fn write(state: &State, pki: &pki::Pki, port: u16, snapshotter: &str) -> anyhow::Result<()> {
    let own = format!("https://127.0.0.1:{port}");
    state.write(OWN_KUBECONFIG, &kubeconfig::kubeconfig(state.name(), &own, pki))?;
    state.write("cni/10-bridge.conflist", &bridge())?;
    state.write_text("containerd.toml", &containerd(snapshotter))?;
    state.write("kubelet.json", &kubelet(state.name()))?;
    state.write_text("Corefile", &services::corefile())?;
    // Pods ask CoreDNS; the node's own names are of no use to them.
    state.write_text("resolv.conf", "")
}

/// The name of the node's control groups.
pub(super) fn control_group(name: &str) -> String {
    format!("aphex-{name}")
}

fn bridge() -> serde_json::Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "bridge",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "hairpinMode": true,
                // So that pods reach this machine, which knows no way to them.
                "ipMasq": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": format!("{INSIDE}/cni-addresses"),
                    "ranges": [[{ "subnet": PODS, "rangeStart": "10.88.1.1" }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}

fn containerd(snapshotter: &str) -> String {
    format!(
        r#"version = 2
root = "{INSIDE}/containerd/root"
state = "{INSIDE}/containerd/state"
[grpc]
  address = "{INSIDE}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{INSIDE}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  # Containers must not ask for a lower score than this machine may give; without this, runc fails where
  # CAP_SYS_RESOURCE is missing ("can't get final child's PID from pipe: EOF").
  restrict_oom_score_adj = true
  sandbox_image = "{PAUSE}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{INSIDE}/cni"
"#
    )
}

fn kubelet(name: &str) -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": format!("{INSIDE}/pki/ca.crt") },
        },
        "cgroupDriver": "cgroupfs",
        // A root of its own, so that two nodes do not end each other's pods.
        "cgroupRoot": format!("/{}", control_group(name)),
        "containerRuntimeEndpoint": format!("unix://{INSIDE}/containerd.sock"),
        "clusterDNS": [CLUSTER_DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": format!("{INSIDE}/resolv.conf"),
        // Nothing is set aside and nothing evicted: this node shares its machine.
        "enforceNodeAllocatable": [],
        "evictionHard": {},
        "failSwapOn": false,
        // Control groups of version 1 are still found on container hosts; the kubelet runs on them when asked to.
        "failCgroupV1": false,
        "localStorageCapacityIsolation": false,
    })
}

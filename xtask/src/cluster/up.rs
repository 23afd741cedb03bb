//! Raising a cluster.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::launch::{self, Place};
use super::oidc::Oidc;
use super::services::{self, Ports, Service};
use super::state::{Record, State};
use super::{
    Cluster, Kind, Options, down, images, kubeconfig, network, node_files, pki, requirements, sandbox,
    status, wait,
};
use crate::progress::Step;
use crate::run::note;

/// How long one part may take to work, on a busy machine as well.
const PATIENCE: Duration = Duration::from_mins(2);
/// The ports of a node, whose network is its own.
const NODE_PORTS: Ports = Ports { api: 6443, etcd: 2379, peers: 2380 };

/// See [`Cluster::up`].
pub(super) fn up(options: &Options) -> anyhow::Result<Cluster> {
    let state = State::of(&options.name)?;
    let _lock = state.lock()?;
    if let Some(record) = state.record()? {
        if record.complete && status::alive(&state, &record) {
            if record.kind != options.kind || record.oidc != options.oidc {
                bail!(
                    "the cluster {:?} is up and is another kind, or takes other logins: `cargo xtask cluster down --name {}` ends it",
                    options.name,
                    options.name
                );
            }
            note(&format!("the cluster {:?} is up already", options.name));
            return Ok(Cluster { state, record });
        }
        note(&format!("cleaning what is left of the cluster {:?}", options.name));
    }
    if options.kind == Kind::Node {
        requirements::check()?;
    }
    down::remove(&state)?;
    state.create()?;
    let since = Instant::now();
    let raised = match options.kind {
        Kind::Api { controllers } => api(&state, controllers, options),
        Kind::Node => node(&state, options.oidc.as_ref()),
    };
    match raised {
        Ok(cluster) => {
            let seconds = since.elapsed().as_secs_f32();
            note(&format!("the cluster {:?} works after {seconds:.1} s", options.name));
            Ok(cluster)
        }
        Err(error) => {
            // The logs stay for whoever reads the error.
            down::stop(&state).context("cannot end what was started")?;
            Err(error.context(format!("the cluster {:?} did not come up", options.name)))
        }
    }
}

fn api(state: &State, controllers: bool, options: &Options) -> anyhow::Result<Cluster> {
    let oidc = options.oidc.as_ref();
    let (ports, held) = free_ports(options.port)?;
    let server = format!("https://127.0.0.1:{}", ports.api);
    let mut record = Record {
        kind: Kind::Api { controllers },
        server: server.clone(),
        network: None,
        snapshotter: None,
        oidc: oidc.cloned(),
        complete: false,
    };
    state.keep(&record)?;
    let pki = pki::create(state, &names(&["127.0.0.1"]))?;
    oidc.map_or(Ok(()), |oidc| oidc.write(state))?;
    let config = kubeconfig::kubeconfig(state.name(), &server, &pki);
    state.write("kubeconfig", &config)?;
    state.write(services::OWN_KUBECONFIG, &config)?;
    let step = Step::start("start etcd and kube-apiserver");
    let (etcd, api) = (services::etcd(ports)?, services::api_server(ports, "127.0.0.1", "127.0.0.1", oidc)?);
    drop(held);
    let mut cluster = Cluster { state: state.clone(), record: record.clone() };
    launch::start(state, Place::Here, &etcd)?;
    launch::start(state, Place::Here, &api)?;
    api_ready(&cluster, Place::Here)?;
    step.done();
    if controllers {
        let step = Step::start("start kube-controller-manager");
        launch::start(state, Place::Here, &services::controller_manager(false)?)?;
        controllers_ready(&cluster, Place::Here)?;
        step.done();
    }
    record.complete = true;
    state.keep(&record)?;
    cluster.record = record;
    Ok(cluster)
}

fn node(state: &State, oidc: Option<&Oidc>) -> anyhow::Result<Cluster> {
    let network = network::choose()?;
    let server = format!("https://{}:{}", network.node, NODE_PORTS.api);
    let snapshotter = sandbox::snapshotter(&state.path("tmp/overlay"));
    let mut record = Record {
        kind: Kind::Node,
        server: server.clone(),
        network: Some(network.clone()),
        snapshotter: Some(snapshotter.to_owned()),
        oidc: oidc.cloned(),
        complete: false,
    };
    state.keep(&record)?;
    let own_names = ["127.0.0.1", node_files::BRIDGE, services::API_SERVICE, &network.node.to_string()];
    let pki = pki::create(state, &names(&own_names))?;
    oidc.map_or(Ok(()), |oidc| oidc.write(state))?;
    state.write("kubeconfig", &kubeconfig::kubeconfig(state.name(), &server, &pki))?;
    node_files::write(state, &pki, NODE_PORTS.api, snapshotter)?;
    let mut cluster = Cluster { state: state.clone(), record: record.clone() };
    // Built before anything runs, so that nothing waits for a compiler.
    let etcd = services::etcd(NODE_PORTS)?;
    let api = services::api_server(NODE_PORTS, "0.0.0.0", node_files::BRIDGE, oidc)?;
    let late = [
        services::controller_manager(true)?,
        services::scheduler()?,
        services::kubelet()?,
        services::proxy()?,
        services::dns()?,
    ];
    let step = Step::start("start containerd, etcd and kube-apiserver");
    sandbox::create(state, &network)?;
    for service in [&services::containerd(), &etcd, &api] {
        launch::start(state, Place::Node, service)?;
    }
    images::load_own(state, &record)?;
    api_ready(&cluster, Place::Node)?;
    step.done();
    let step = Step::start("start the node");
    for service in &late {
        launch::start(state, Place::Node, service)?;
    }
    node_ready(&cluster, &late)?;
    step.done();
    record.complete = true;
    state.keep(&record)?;
    cluster.record = record;
    Ok(cluster)
}

/// The names and addresses under which an API server is reached.
fn names(addresses: &[&str]) -> Vec<String> {
    [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]
    .iter()
    .chain(addresses)
    .map(|&name| name.to_owned())
    .collect()
}

/// Ports that no one uses, held until they are needed so that no other cluster takes them.
fn free_ports(api: Option<u16>) -> anyhow::Result<(Ports, Vec<TcpListener>)> {
    let hold = |port: u16| {
        TcpListener::bind(("127.0.0.1", port))
            .with_context(|| format!("port {port} is taken: choose another"))
    };
    let held = vec![hold(api.unwrap_or(0))?, hold(0)?, hold(0)?];
    let ports = held
        .iter()
        .map(|listener| Ok(listener.local_addr().context("a socket has an address")?.port()))
        .collect::<anyhow::Result<Vec<u16>>>()?;
    match ports.as_slice() {
        [api, etcd, peers] => Ok((Ports { api: *api, etcd: *etcd, peers: *peers }, held)),
        _ => bail!("three sockets have three ports"),
    }
}

fn api_ready(cluster: &Cluster, place: Place) -> anyhow::Result<()> {
    let log = cluster.state.log("kube-apiserver");
    wait::until("kube-apiserver to be ready", PATIENCE, || {
        launch::still_runs(&cluster.state, place, "etcd")?;
        launch::still_runs(&cluster.state, place, "kube-apiserver")?;
        kubectl(cluster, &["get", "--raw", "/readyz"])
    })
    .with_context(|| wait::tail(&log))
}

fn controllers_ready(cluster: &Cluster, place: Place) -> anyhow::Result<()> {
    let log = cluster.state.log("kube-controller-manager");
    wait::until("the default service account", PATIENCE, || {
        launch::still_runs(&cluster.state, place, "kube-controller-manager")?;
        kubectl(cluster, &["get", "serviceaccount", "default"])
    })
    .with_context(|| wait::tail(&log))
}

fn node_ready(cluster: &Cluster, services: &[Service]) -> anyhow::Result<()> {
    let log = cluster.state.log("kubelet");
    let node = format!("node/{}", node_files::NODE);
    wait::until("the node to be ready", PATIENCE, || {
        for service in services {
            launch::still_runs(&cluster.state, Place::Node, &service.name)?;
        }
        kubectl(cluster, &["wait", "--for=condition=Ready", &node, "--timeout=2s"])
    })
    .with_context(|| wait::tail(&log))?;
    controllers_ready(cluster, Place::Node)
}

/// Whether a question to the API gets an answer.
fn kubectl(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<Option<()>> {
    let mut command = cluster.kubectl()?;
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    Ok(command.status().context("cannot run kubectl")?.success().then_some(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_a_taken_one_is_named() {
        let (ports, held) = free_ports(None).unwrap();
        assert!(ports.api != ports.etcd && ports.etcd != ports.peers && ports.api != ports.peers);
        let error = free_ports(Some(ports.api)).unwrap_err().to_string();
        assert!(error.contains(&ports.api.to_string()), "{error}");
        drop(held);
        assert_eq!(free_ports(Some(ports.api)).unwrap().0.api, ports.api);
    }
}

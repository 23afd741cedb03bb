//! Real Kubernetes on this machine, from the engines: no Docker, no registry, no network.
//!
//! Two kinds:
//! - [`Kind::Api`]: etcd and kube-apiserver, on request kube-controller-manager, as plain processes on free ports.
//! - [`Kind::Node`]: a whole node, with containerd, kubelet, kube-proxy and CoreDNS. It lives in namespaces of its own
//!   (processes, mounts, network), so all it does to the machine ends with its first process.
//!
//! ```text
//! Cluster ── state      where a cluster's files are, and its lock
//!    │  ├─── services   what runs, with which arguments; files: pki, kubeconfig, configuration
//!    │  ├─── launch     starts services: here, or inside of the node (sandbox, init, network)
//!    │  ├─── images     pause and busybox;  tekton: Tekton's own, and its manifests
//!    │  └─── down       ends what was started, by process id and start time
//!    └─ process, wait, requirements
//! ```
//!
//! A cluster that was left half-way, by whatever end of the program, is cleaned by the next `up` or `down`.

mod control_groups;
mod down;
mod images;
mod init;
mod kubeconfig;
mod launch;
mod network;
mod node_files;
mod oidc;
mod pki;
mod process;
mod requirements;
mod sandbox;
mod services;
mod state;
mod status;
mod tekton;
mod up;
mod wait;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use crate::engines;
use crate::run::{note, say};
pub(crate) use oidc::Oidc;
use state::{Record, State};

/// What runs in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Kind {
    /// Only the API: etcd and kube-apiserver; needs no root.
    Api {
        /// And kube-controller-manager: namespaces, garbage collection, quotas, service accounts.
        controllers: bool,
    },
    /// A whole node that runs pods; needs root.
    Node,
}

/// What to raise.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The cluster's name.
    pub(crate) name: String,
    /// What runs in it.
    pub(crate) kind: Kind,
    /// The API's port, for [`Kind::Api`]; a free one when not given.
    pub(crate) port: Option<u16>,
    /// Whose ID tokens the API server takes.
    pub(crate) oidc: Option<Oidc>,
}

/// A cluster that is up.
#[derive(Debug)]
pub(crate) struct Cluster {
    state: State,
    record: Record,
}

impl Cluster {
    /// Raises a cluster and waits until it works; one that is up already is given as it is.
    pub(crate) fn up(options: &Options) -> anyhow::Result<Self> {
        up::up(options)
    }

    /// The cluster of that name, which must be up.
    pub(crate) fn open(name: &str) -> anyhow::Result<Self> {
        let state = State::of(name)?;
        match state.record()? {
            Some(record) if status::alive(&state, &record) => Ok(Self { state, record }),
            _ => bail!("there is no cluster {name:?}: `cargo xtask cluster up --name {name}` raises it"),
        }
    }

    /// A kubeconfig with every right, good on this machine.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.state.path("kubeconfig")
    }

    /// The pinned kubectl, talking to this cluster.
    pub(crate) fn kubectl(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(engines::program("kubectl")?);
        command.arg("--kubeconfig").arg(self.kubeconfig());
        Ok(command)
    }

    /// The node's address as this machine reaches it, so services' node ports as well; only a node has one.
    pub(crate) fn node_address(&self) -> Option<Ipv4Addr> {
        self.record.network.as_ref().map(|network| network.node)
    }

    /// This machine's address as pods reach it; only a node has one.
    #[expect(dead_code, reason = "for callers that serve something to pods")]
    pub(crate) fn host_address(&self) -> Option<Ipv4Addr> {
        self.record.network.as_ref().map(|network| network.host)
    }

    /// Loads the images of an archive into the node.
    pub(crate) fn load(&self, archive: &Path) -> anyhow::Result<()> {
        images::load(&self.state, &self.record, archive)
    }

    /// Installs Tekton Pipelines and Triggers, and waits until they work.
    pub(crate) fn tekton(&self) -> anyhow::Result<()> {
        tekton::install(self)
    }

    /// Ends everything of the cluster of that name and removes its files; nothing to do when there is none.
    pub(crate) fn down(name: &str) -> anyhow::Result<()> {
        let state = State::of(name)?;
        let _lock = state.lock()?;
        down::remove(&state)
    }
}

/// What `cargo xtask cluster` takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Args)]
struct Name {
    /// Which cluster
    #[arg(long, default_value = "default")]
    name: String,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Raise a cluster: a whole node, or only the API
    Up {
        #[command(flatten)]
        name: Name,
        /// Only etcd and kube-apiserver, without a node
        #[arg(long)]
        api_only: bool,
        /// With --api-only: and kube-controller-manager
        #[arg(long, requires = "api_only")]
        controllers: bool,
        /// With --api-only: the API's port instead of a free one
        #[arg(long, requires = "api_only")]
        port: Option<u16>,
        #[command(flatten)]
        login: oidc::Arguments,
    },
    /// Install Tekton Pipelines and Triggers into a node
    Tekton {
        #[command(flatten)]
        name: Name,
    },
    /// Load the images of an archive into a node
    Load {
        #[command(flatten)]
        name: Name,
        /// An OCI or Docker archive, such as `cargo xtask image` writes
        archive: PathBuf,
    },
    /// Show what runs
    Status {
        #[command(flatten)]
        name: Name,
    },
    /// Print the path of the kubeconfig
    Kubeconfig {
        #[command(flatten)]
        name: Name,
    },
    /// End everything and remove it
    Down {
        #[command(flatten)]
        name: Name,
    },
    /// The first process of a node
    #[command(hide = true)]
    Init(init::Arguments),
}

/// Runs one chore.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.chore {
        Chore::Up { name, api_only, controllers, port, login } => {
            let kind = if api_only { Kind::Api { controllers } } else { Kind::Node };
            let oidc = login.oidc()?;
            let cluster = Cluster::up(&Options { name: name.name, kind, port, oidc })?;
            note(&format!("export KUBECONFIG={}", cluster.kubeconfig().display()));
        }
        Chore::Tekton { name } => Cluster::open(&name.name)?.tekton()?,
        Chore::Load { name, archive } => Cluster::open(&name.name)?.load(&archive)?,
        Chore::Status { name } => status::show(&State::of(&name.name)?)?,
        Chore::Kubeconfig { name } => {
            say(&Cluster::open(&name.name)?.kubeconfig().display().to_string());
        }
        Chore::Down { name } => {
            Cluster::down(&name.name).with_context(|| format!("cannot end the cluster {:?}", name.name))?;
        }
        Chore::Init(arguments) => init::run(&arguments)?,
    }
    Ok(())
}

//! Where a cluster's files are.
//!
//! ```text
//! $XDG_STATE_HOME/aphex/clusters/
//!   .NAME.lock                held while a cluster is raised or ended
//!   NAME/cluster.json         what it is
//!   NAME/processes/etcd.json  one file a started process: its id and start time
//!   NAME/ended/etcd           how a process of a node ended
//!   NAME/log/etcd.log         what it said
//!   NAME/kubeconfig  NAME/pki  NAME/etcd ...
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Kind;
use super::network::Network;
use super::oidc::Oidc;
use crate::folders;
use crate::run::note;

/// Sockets lie in the folder, and the path of a socket has at most 107 bytes (unix(7)).
const LONGEST: usize = 107 - "/containerd.sock.ttrpc".len();

/// The folder of one cluster.
#[derive(Debug, Clone)]
pub(super) struct State {
    name: String,
    folder: PathBuf,
}

/// What is known of a cluster from its start on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// What runs.
    pub(super) kind: Kind,
    /// The API as this machine reaches it.
    pub(super) server: String,
    /// How a node and this machine reach each other.
    pub(super) network: Option<Network>,
    /// How a node's containerd keeps the file systems of containers.
    pub(super) snapshotter: Option<String>,
    /// Whose ID tokens the API server takes; clusters of earlier versions take nobody's.
    #[serde(default)]
    pub(super) oidc: Option<Oidc>,
    /// It came up; otherwise it was left half-way.
    pub(super) complete: bool,
}

impl State {
    /// The folder of the cluster of that name, which need not be there.
    pub(super) fn of(name: &str) -> anyhow::Result<Self> {
        if !is_name(name) {
            bail!("{name:?} cannot name a cluster: use up to 20 lower-case letters, digits and '-'");
        }
        let folder = folders::state()?.join("clusters").join(name);
        if folder.as_os_str().len() > LONGEST {
            bail!("{} is too long a path for sockets: set XDG_STATE_HOME to a shorter one", folder.display());
        }
        Ok(Self { name: name.to_owned(), folder })
    }

    /// The cluster's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What a service said.
    pub(super) fn log(&self, service: &str) -> PathBuf {
        self.folder.join("log").join(format!("{service}.log"))
    }

    /// Makes the folder and those below it that everything expects.
    pub(super) fn create(&self) -> anyhow::Result<()> {
        for folder in ["processes", "ended", "log", "tmp"] {
            let path = self.path(folder);
            fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        }
        Ok(())
    }

    /// Held while the cluster is raised or ended, so that two runs do not do it at once.
    pub(super) fn lock(&self) -> anyhow::Result<File> {
        let path = self.folder.with_file_name(format!(".{}.lock", self.name));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        if file.try_lock().is_err() {
            note(&format!("another run works on the cluster {:?}: waiting for it", self.name));
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(file)
    }

    /// What is known of the cluster; nothing when there is none.
    pub(super) fn record(&self) -> anyhow::Result<Option<Record>> {
        self.read("cluster.json")
    }

    /// Keeps what is known of the cluster.
    pub(super) fn keep(&self, record: &Record) -> anyhow::Result<()> {
        self.write("cluster.json", record)
    }

    /// Reads a JSON file of the folder.
    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let path = self.path(name);
        match fs::read(&path) {
            // A file that was cut off by a crash is as good as none: whoever reads it cleans up.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes a JSON file of the folder, whole or not at all.
    pub(super) fn write<T: Serialize>(&self, name: &str, value: &T) -> anyhow::Result<()> {
        self.write_text(name, &serde_json::to_string_pretty(value)?)
    }

    /// Writes a file of the folder, whole or not at all.
    pub(super) fn write_text(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let beside = path.with_added_extension("new");
        fs::write(&beside, text)
            .and_then(|()| fs::rename(&beside, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

fn is_name(name: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 20
        && name.starts_with(alphanumeric)
        && name.ends_with(alphanumeric)
        && name.chars().all(|c| alphanumeric(c) || c == '-')
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_good_for_paths_and_control_groups() {
        assert!(["default", "a", "e2e-1"].into_iter().all(is_name));
        assert!(
            !["", "A", "-a", "a-", "../a", "a b", "a_b", "aaaaaaaaaaaaaaaaaaaaa"].into_iter().any(is_name)
        );
    }
}

//! Kubeconfigs: which files there are, what they say, and how our entries are put into them.
//!
//! Other people's entries, comments, order and unknown fields stay as they are, to the byte: only the values that
//! change are written ([`edit`]). Files are replaced in one step.

mod edit;
mod files;
mod yaml;

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(crate) use edit::Step;
pub(crate) use files::Files;
pub(crate) use yaml::Yaml;

use Step::{Key, Named};

/// What local mode's own context needs; certificates and key as PEM.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) cluster: &'a str,
    /// Name of user and context.
    pub(crate) user: &'a str,
    pub(crate) server: &'a str,
    pub(crate) ca_pem: &'a str,
    pub(crate) certificate_pem: &'a str,
    pub(crate) key_pem: &'a str,
}

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Its owner alone: it holds secrets.
    Private,
    /// Whoever could before; a new one its owner alone.
    Kept,
}

/// A kubeconfig's text with what is to become of it.
#[derive(Debug)]
pub(crate) struct Draft {
    text: String,
    read: String,
}

impl Draft {
    /// What a file says; one that is missing is empty.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let read = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        edit::read(&read).with_context(|| format!("cannot use {}", path.display()))?;
        let mut draft = Self { text: read.clone(), read };
        if draft.text.trim().is_empty() {
            draft.set(&[Key("apiVersion")], &Yaml::text("v1"))?;
            draft.set(&[Key("kind")], &Yaml::text("Config"))?;
        }
        Ok(draft)
    }

    /// The file as a value.
    pub(crate) fn value(&self) -> anyhow::Result<serde_json::Value> {
        Ok(edit::read(&self.text)?)
    }

    /// Sets one value.
    pub(crate) fn set(&mut self, path: &[Step<'_>], value: &Yaml) -> anyhow::Result<()> {
        self.text = edit::set(&self.text, path, value)?;
        Ok(())
    }

    /// Takes one value away.
    pub(crate) fn remove(&mut self, path: &[Step<'_>]) -> anyhow::Result<()> {
        self.text = edit::remove(&self.text, path)?;
        Ok(())
    }

    /// Makes a cluster one with this address and certificate authority; gives up what contradicts them.
    pub(crate) fn set_cluster(
        &mut self,
        name: &str,
        server: &str,
        ca_data: Option<&str>,
    ) -> anyhow::Result<()> {
        let at = |key| [Key("clusters"), Named(name), Key("cluster"), Key(key)];
        self.set(&at("server"), &Yaml::text(server))?;
        self.remove(&at("insecure-skip-tls-verify"))?;
        self.remove(&at("certificate-authority"))?;
        match ca_data {
            Some(data) => self.set(&at("certificate-authority-data"), &Yaml::text(data)),
            None => self.remove(&at("certificate-authority-data")),
        }
    }

    /// Makes a context one of this cluster and user; its namespace stays.
    pub(crate) fn set_context(&mut self, name: &str, cluster: &str, user: &str) -> anyhow::Result<()> {
        let at = |key| [Key("contexts"), Named(name), Key("context"), Key(key)];
        self.set(&at("cluster"), &Yaml::text(cluster))?;
        self.set(&at("user"), &Yaml::text(user))
    }

    /// Writes the file where something changed.
    pub(crate) fn write(&self, path: &Path, mode: Mode) -> anyhow::Result<()> {
        if self.text == self.read && mode == Mode::Kept {
            return Ok(());
        }
        replace(path, self.text.as_bytes(), mode).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Puts local mode's own entry into the file, atomically, readable by its owner alone.
///
/// The current context becomes ours only when the file names none.
pub(crate) fn write(path: &Path, entry: &Entry<'_>) -> anyhow::Result<()> {
    let mut draft = Draft::open(path)?;
    put(&mut draft, entry).with_context(|| format!("cannot change {}", path.display()))?;
    draft.write(path, Mode::Private)
}

fn put(draft: &mut Draft, entry: &Entry<'_>) -> anyhow::Result<()> {
    let encode = |text: &str| STANDARD.encode(text);
    draft.set_cluster(entry.cluster, entry.server, Some(&encode(entry.ca_pem)))?;
    let user = Yaml::map([
        ("client-certificate-data", Yaml::text(encode(entry.certificate_pem))),
        ("client-key-data", Yaml::text(encode(entry.key_pem))),
    ]);
    draft.set(&[Key("users"), Named(entry.user), Key("user")], &user)?;
    draft.set_context(entry.user, entry.cluster, entry.user)?;
    if draft.value()?["current-context"].as_str().unwrap_or_default().is_empty() {
        draft.set(&[Key("current-context")], &Yaml::text(entry.user))?;
    }
    Ok(())
}

/// Writes beside the file and renames over it, so that a reader sees the old text or the new, never half.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: Mode) -> std::io::Result<()> {
    // A link is followed: dotfile managers keep ~/.kube/config elsewhere.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let kept = std::fs::metadata(&path).ok().map(|metadata| metadata.permissions().mode() & 0o777);
    let bits = if mode == Mode::Kept { kept.unwrap_or(0o600) } else { 0o600 };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.set_permissions(std::fs::Permissions::from_mode(bits))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Entry<'_> = Entry {
        cluster: "aphex",
        user: "aphex-admin",
        server: "https://127.0.0.1:7443",
        ca_pem: "ca",
        certificate_pem: "certificate",
        key_pem: "key",
    };

    #[test]
    fn other_contexts_and_unknown_keys_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, "current-context: prod\ncontexts:\n- name: prod\n  context: {cluster: prod, user: me}\nextra: 1\n").unwrap();
        write(&path, &ENTRY).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let document: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(document["current-context"], "prod");
        assert_eq!(document["extra"], 1);
        assert_eq!(document["contexts"].as_array().unwrap().len(), 2);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn writing_twice_changes_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/config");
        write(&path, &ENTRY).unwrap();
        let first = std::fs::read_to_string(&path).unwrap();
        write(&path, &ENTRY).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        let document: serde_json::Value = serde_saphyr::from_str(&first).unwrap();
        assert_eq!(document["current-context"], "aphex-admin");
    }

    #[test]
    fn a_file_that_is_no_kubeconfig_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, "- just\n- a list\n").unwrap();
        assert!(write(&path, &ENTRY).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "- just\n- a list\n");
    }
}

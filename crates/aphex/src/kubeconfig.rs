//! Writing a kubeconfig: our cluster, user and context are set, everything else in the file is kept.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What a context needs; certificates and key as PEM.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) server: &'a str,
    pub(crate) ca_pem: &'a str,
    pub(crate) certificate_pem: &'a str,
    pub(crate) key_pem: &'a str,
}

/// Puts the entry into the file, atomically, readable by its owner alone.
///
/// The current context becomes ours only when the file names none.
pub(crate) fn write(path: &Path, entry: &Entry<'_>) -> anyhow::Result<()> {
    let mut document = match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => serde_saphyr::from_str(&text)
            .with_context(|| format!("{} is not a kubeconfig", path.display()))?,
        Ok(_) => json!({}),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => json!({}),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    anyhow::ensure!(document.is_object(), "{} is not a kubeconfig: not a mapping", path.display());
    merge(&mut document, entry);
    let text = serde_saphyr::to_string(&document)?;
    replace(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

fn merge(document: &mut Value, entry: &Entry<'_>) {
    document["apiVersion"] = json!("v1");
    document["kind"] = json!("Config");
    let encode = |text: &str| STANDARD.encode(text);
    let cluster = json!({ "server": entry.server, "certificate-authority-data": encode(entry.ca_pem) });
    let user = json!({
        "client-certificate-data": encode(entry.certificate_pem),
        "client-key-data": encode(entry.key_pem),
    });
    let context = json!({ "cluster": entry.name, "user": entry.name });
    for (list, key, value) in
        [("clusters", "cluster", cluster), ("users", "user", user), ("contexts", "context", context)]
    {
        if !document[list].is_array() {
            document[list] = json!([]);
        }
        let named = json!({ "name": entry.name, key: value });
        let Some(items) = document[list].as_array_mut() else { continue };
        match items.iter_mut().find(|item| item["name"] == entry.name) {
            Some(item) => *item = named,
            None => items.push(named),
        }
    }
    if document["current-context"].as_str().unwrap_or_default().is_empty() {
        document["current-context"] = json!(entry.name);
    }
}

/// Writes beside the file and renames over it, so that a reader sees the old text or the new, never half.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // A link is followed: dotfile managers keep ~/.kube/config elsewhere.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
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
        name: "aphex",
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
        let document: Value = serde_saphyr::from_str(&text).unwrap();
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
        let document: Value = serde_saphyr::from_str(&first).unwrap();
        assert_eq!(document["current-context"], "aphex");
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

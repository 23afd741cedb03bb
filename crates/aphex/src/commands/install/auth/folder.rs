//! An installation as files: a folder a part, each a kustomization, its Secrets for its owner alone.

use std::path::Path;

use anyhow::Context as _;
use aphex_controllers::sensitive::Sensitive;
use serde_json::Value;

use super::Site;
use super::manifests::{self, Part};
use super::secrets::{self, Id, Known, Values};
use crate::commands::apply::parse;
use crate::commands::install::files::{documents, put};

const MANIFESTS: &str = "manifests.yaml";
const SECRETS: &str = "secrets.yaml";
const KUSTOMIZATION: &str = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- manifests.yaml\n- secrets.yaml\n";

/// Writes everything; Secrets that are there already are kept.
pub(super) fn write(folder: &Path, site: &Site, parts: &[Part]) -> anyhow::Result<()> {
    let all = secrets::fill(&read(folder, parts)?);
    for part in parts {
        let place = folder.join(part.name);
        std::fs::create_dir_all(&place).with_context(|| format!("cannot create {}", place.display()))?;
        let own: Vec<Value> = all
            .iter()
            .filter(|(id, _)| id.namespace == part.namespace)
            .map(|(id, values)| secrets::object(*id, values))
            .collect();
        put(&place.join(MANIFESTS), &documents(&part.objects)?, 0o644)?;
        put(&place.join(SECRETS), &documents(&own)?, 0o600)?;
        put(&place.join("kustomization.yaml"), KUSTOMIZATION, 0o644)?;
    }
    put(&folder.join("kind-cluster-config.yaml"), &manifests::kind(site), 0o644)?;
    if let Some(ca) = &site.ca {
        put(&folder.join("oidc-ca.crt"), ca, 0o644)?;
    }
    put(&folder.join(".gitignore"), &format!("{SECRETS}\n"), 0o644)
}

/// The Secrets of an earlier run.
fn read(folder: &Path, parts: &[Part]) -> anyhow::Result<Known> {
    let mut known = Known::new();
    for part in parts {
        let path = folder.join(part.name).join(SECRETS);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        // The parser's own message might repeat a value.
        let Ok(objects) = parse(&text) else {
            anyhow::bail!(
                "{} is not readable as YAML: mend it, or delete it to get new secrets",
                path.display()
            )
        };
        for id in secrets::ids().filter(|id| id.namespace == part.namespace) {
            if let Some(object) = objects.iter().find(|object| object["metadata"]["name"] == id.name) {
                known.insert(id, values(id, object));
            }
        }
    }
    Ok(known)
}

fn values(id: Id, object: &Value) -> Values {
    let value = |key| Some((key, Sensitive::new(object["stringData"][key].as_str()?)));
    secrets::keys(id).filter_map(value).collect()
}

//! The pinned versions of one engine, as its `go.mod` has them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::catalog::Engine;
use crate::digest;
use crate::run::root;

/// One engine's module: its files and what they pin.
#[derive(Debug)]
pub(super) struct Pins {
    /// The engine.
    pub(super) engine: &'static str,
    /// The module's folder.
    pub(super) folder: PathBuf,
    /// The text of `go.mod`.
    pub(super) manifest: String,
    /// Changes when any file of the module changes.
    pub(super) digest: String,
}

impl Pins {
    /// Reads an engine's module.
    pub(super) fn read(engine: &Engine) -> anyhow::Result<Self> {
        let folder = root().join("engines").join(engine.name);
        let manifest = text(&folder.join("go.mod"))?;
        let mut parts = vec![manifest.clone(), text(&folder.join("go.sum"))?];
        for source in sources(&folder)? {
            parts.push(text(&source)?);
        }
        let digest = digest::sha256(parts.join("\0").as_bytes());
        Ok(Self { engine: engine.name, folder, manifest, digest })
    }

    /// The required version of a module.
    pub(super) fn version(&self, module: &str) -> anyhow::Result<&str> {
        required(&self.manifest, module)
            .with_context(|| format!("{} requires no {module}", self.folder.join("go.mod").display()))
    }
}

/// The Go files of a module that is one package, sorted.
fn sources(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut found = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<PathBuf>>>()?;
    found.retain(|path| path.extension().is_some_and(|extension| extension == "go"));
    found.sort();
    Ok(found)
}

fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The required version of a module.
pub(super) fn required<'a>(manifest: &'a str, module: &str) -> Option<&'a str> {
    let lines = manifest.lines().map(|line| line.trim().trim_start_matches("require "));
    lines
        .filter(|line| !line.contains("=>"))
        .find_map(|line| line.strip_prefix(module)?.strip_prefix(' '))
        .and_then(|rest| rest.split_whitespace().next())
}

/// The modules of Kubernetes that are required at a version.
pub(super) fn at<'a>(manifest: &'a str, version: &str) -> impl Iterator<Item = &'a str> {
    manifest.lines().filter_map(move |line| {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        let module = words.next()?;
        (module.starts_with("k8s.io/") && words.next() == Some(version)).then_some(module)
    })
}

/// The modules that `replace` lines put at a version: module and version.
pub(super) fn replaced(manifest: &str) -> Vec<(&str, &str)> {
    manifest
        .lines()
        .filter_map(|line| {
            let (module, with) = line.trim().trim_start_matches("replace ").split_once(" => ")?;
            Some((module.split_whitespace().next()?, with.split_whitespace().nth(1)?))
        })
        .collect()
}

/// The version of Kubernetes' library modules for a version of Kubernetes, or the other way: `v1.35.4` and `v0.35.4`.
pub(super) fn counterpart(version: &str) -> Option<String> {
    match version.strip_prefix("v1.") {
        Some(rest) => Some(format!("v0.{rest}")),
        None => version.strip_prefix("v0.").map(|rest| format!("v1.{rest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog;
    use super::*;

    #[test]
    fn versions_are_read_from_both_forms_of_require() {
        assert_eq!(required("require k8s.io/kubernetes v1.35.4\n", "k8s.io/kubernetes"), Some("v1.35.4"));
        assert_eq!(
            required("require (\n\tk8s.io/kubernetes v1.2.3 // indirect\n)", "k8s.io/kubernetes"),
            Some("v1.2.3")
        );
        assert_eq!(required("require k8s.io/kubernetes-other v1\n", "k8s.io/kubernetes"), None);
        assert_eq!(required("replace k8s.io/api => k8s.io/api v0.1.0\n", "k8s.io/api"), None);
    }

    #[test]
    fn modules_that_are_released_together_are_found_by_their_version() {
        let manifest = "require (\n\tk8s.io/api v0.36.6 // indirect\n\tk8s.io/utils v0.0.0-1\n\tsigs.k8s.io/yaml v0.36.6\n)\n";
        assert_eq!(at(manifest, "v0.36.6").collect::<Vec<_>>(), ["k8s.io/api"]);
    }

    #[test]
    fn replacements_are_read_with_their_versions() {
        let manifest = "replace (\n\tk8s.io/api => k8s.io/api v0.35.4\n)\nreplace a.b/c v1 => a.b/d v2\n";
        assert_eq!(replaced(manifest), [("k8s.io/api", "v0.35.4"), ("a.b/c", "v2")]);
    }

    #[test]
    fn every_program_has_a_pinned_version() {
        for (engine, program) in catalog::all() {
            assert!(Pins::read(engine).unwrap().version(program.module).unwrap().starts_with('v'));
        }
    }

    #[test]
    fn libraries_of_kubernetes_follow_its_version() {
        for engine in catalog::ENGINES {
            let pins = Pins::read(engine).unwrap();
            let Ok(version) = pins.version("k8s.io/kubernetes") else { continue };
            let wanted = counterpart(version).unwrap();
            let replaced = replaced(&pins.manifest);
            assert!(!replaced.is_empty(), "{}", engine.name);
            for (module, version) in replaced {
                assert_eq!(version, wanted, "{module} in engines/{}; use `engines bump`", engine.name);
            }
        }
    }

    #[test]
    fn a_kubectl_is_of_the_minor_version_in_its_name() {
        for (engine, program) in catalog::all() {
            let Some(minor) = program.name.strip_prefix("kubectl-1.") else { continue };
            let pins = Pins::read(engine).unwrap();
            assert!(pins.version(program.module).unwrap().starts_with(&format!("v0.{minor}.")));
        }
    }
}

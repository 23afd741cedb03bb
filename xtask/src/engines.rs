//! The real engines that tests compare with, built from their pinned Go modules into a cache.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::run::{note, root, succeed};

/// Module folder below `engines/`, package, and name of the program.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("kubernetes", "k8s.io/kubernetes/cmd/kubectl", "kubectl"),
    ("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
    ("etcd", "go.etcd.io/etcd/server/v3", "etcd"),
];

/// The folder with the engines, built when needed; nothing when Go is not there.
pub(crate) fn available() -> anyhow::Result<Option<PathBuf>> {
    let folder = folder()?;
    if PROGRAMS.iter().all(|(_, _, name)| folder.join(name).exists()) {
        return Ok(Some(folder));
    }
    if Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return Ok(None);
    }
    build_all()?;
    Ok(Some(folder))
}

/// Builds every engine that is not in the cache.
pub(crate) fn build_all() -> anyhow::Result<()> {
    let folder = folder()?;
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (module, package, name) in PROGRAMS {
        let target = folder.join(name);
        if target.exists() {
            continue;
        }
        note(&format!("building {name} from {package} (minutes, once)"));
        // Written beside and renamed, so that an interrupted build leaves no half a program.
        let beside = folder.join(format!(".{name}"));
        let build = Command::new("go")
            .args([
                "build",
                "-mod=readonly",
                "-trimpath",
                "-buildvcs=false",
                "-ldflags",
                &flags(module)?,
                "-o",
            ])
            .arg(&beside)
            .arg(package)
            .current_dir(root().join("engines").join(module))
            .spawn();
        let mut build = build.context("cannot run go: install Go 1.25 or later")?;
        anyhow::ensure!(build.wait()?.success(), "building {name} failed");
        std::fs::rename(&beside, &target)?;
    }
    Ok(())
}

/// Linker flags: no symbols, and the version that Kubernetes programs tell.
fn flags(module: &str) -> anyhow::Result<String> {
    let manifest = std::fs::read_to_string(root().join("engines").join(module).join("go.mod"))?;
    let version = version_in(&manifest, "k8s.io/kubernetes");
    Ok(match version {
        Some(version) => {
            let minor = version.split('.').nth(1).unwrap_or_default();
            let set = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
            format!("-s -w{}{}{}", set("gitVersion", version), set("gitMajor", "1"), set("gitMinor", minor))
        }
        None => "-s -w".to_owned(),
    })
}

/// The required version of a module.
fn version_in<'a>(manifest: &'a str, module: &str) -> Option<&'a str> {
    manifest
        .lines()
        .map(|line| line.trim().trim_start_matches("require "))
        .find_map(|line| line.strip_prefix(module)?.strip_prefix(' '))
        .and_then(|rest| rest.split_whitespace().next())
}

/// Where engines are kept: one folder for each set of pinned versions.
fn folder() -> anyhow::Result<PathBuf> {
    let manifest = std::fs::read_to_string(root().join("engines/kubernetes/go.mod"))
        .context("cannot read engines/kubernetes/go.mod")?;
    let version = version_in(&manifest, "k8s.io/kubernetes")
        .context("engines/kubernetes/go.mod pins no k8s.io/kubernetes")?;
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("aphex/engines").join(version))
}

/// The folder of a Go module's source, downloaded when needed.
pub(crate) fn module_source(engine: &str, module: &str) -> anyhow::Result<PathBuf> {
    let folder = root().join("engines").join(engine);
    succeed(Command::new("go").args(["mod", "download", module]).current_dir(&folder))?;
    let output = Command::new("go")
        .args(["list", "-m", "-f", "{{.Dir}}", module])
        .current_dir(&folder)
        .output()
        .context("cannot run go")?;
    let text = String::from_utf8(output.stdout)?;
    anyhow::ensure!(
        output.status.success() && !text.trim().is_empty(),
        "go does not know the source of {module}"
    );
    Ok(PathBuf::from(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_are_read_from_both_forms_of_require() {
        assert_eq!(version_in("require k8s.io/kubernetes v1.35.4\n", "k8s.io/kubernetes"), Some("v1.35.4"));
        assert_eq!(
            version_in("require (\n\tk8s.io/kubernetes v1.2.3 // indirect\n)", "k8s.io/kubernetes"),
            Some("v1.2.3")
        );
        assert_eq!(version_in("require k8s.io/kubernetes-other v1\n", "k8s.io/kubernetes"), None);
    }
}

//! The manifests of `platform/` with plain kubectl.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::Context as _;
use aphex_testkit::{engine, left_out};

use super::program::Up;

struct Kubectl {
    program: PathBuf,
    up: Up,
}

impl Kubectl {
    fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let platform = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../platform");
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.up.kubeconfig).current_dir(platform).args(arguments);
        command.output().context("cannot run kubectl")
    }

    fn ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "kubectl {arguments:?}: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Kind, name and version of everything in the platform's namespace that an apply could write.
    fn versions(&self) -> anyhow::Result<String> {
        let path = "{range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
        self.ok(&["get", "-k", ".", "-o", &format!("jsonpath={path}")])
    }
}

#[test]
fn the_platform_applies_twice_with_plain_kubectl_and_then_differs_in_nothing() -> anyhow::Result<()> {
    let Some(program) = engine("kubectl")? else {
        left_out("manifests with plain kubectl", "kubectl is not built");
        return Ok(());
    };
    for how in [&["apply", "--server-side", "--force-conflicts"][..], &["apply"][..]] {
        let folder = tempfile::tempdir()?;
        let kubectl = Kubectl { program: program.clone(), up: Up::start(folder.path())? };
        let apply: Vec<&str> = how.iter().copied().chain(["-k", "."]).collect();
        kubectl.ok(&apply)?;
        let first = kubectl.versions()?;
        kubectl.ok(&apply)?;
        assert_eq!(first, kubectl.versions()?, "{apply:?} for the second time changes something");
        let mut diff = vec!["diff", "-k", "."];
        if how.contains(&"--server-side") {
            diff.extend(["--server-side", "--force-conflicts"]);
        }
        let difference = kubectl.run(&diff)?;
        assert!(difference.status.success(), "{}", String::from_utf8_lossy(&difference.stdout));
    }
    Ok(())
}

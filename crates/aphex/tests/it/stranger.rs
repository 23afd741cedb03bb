//! A stranger's session with nothing but kubectl, curl and openssl.

use std::process::Command;

use anyhow::Context as _;
use aphex_testkit::{engine, left_out};

use super::program::example;

const SESSION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stranger.sh");

#[test]
fn a_stranger_gets_from_two_files_to_a_run_and_back_to_nothing() -> anyhow::Result<()> {
    let Some(kubectl) = engine("kubectl")? else {
        left_out("a stranger's session", "kubectl is not built");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let output = Command::new("bash")
        .arg(SESSION)
        .arg(env!("CARGO_BIN_EXE_aphex"))
        .arg(kubectl)
        .arg(example(""))
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env_remove("KUBECONFIG")
        .output()
        .context("cannot run bash")?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "the session ended with {}:\n{said}", output.status);
    Ok(())
}

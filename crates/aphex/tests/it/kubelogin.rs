//! `kubectl oidc-login`, the real one, with the kubeconfig that `aphex login` writes for it.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use aphex_testkit::{engine, eventually, left_out};
use serde_json::Value;

use super::login::{Browser, Home, provide_tls};
use super::program::Up;

/// A browser that only notes where it is sent; kubelogin finds it as the system's own.
fn browser(path: &Path, asked: &Path) -> anyhow::Result<()> {
    let asked = asked.display();
    std::fs::write(path, format!("#!/bin/sh\necho \"$1\" > {asked}.new && mv {asked}.new {asked}\n"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kubelogin_logs_in_at_the_issuer_and_kubectl_works_as_that_person() -> anyhow::Result<()> {
    let (Some(kubectl), Some(kubelogin)) = (engine("kubectl")?, engine("kubelogin")?) else {
        left_out(
            "kubectl oidc-login with the kubeconfig of aphex login",
            "kubectl or kubelogin is not built",
        );
        return Ok(());
    };
    provide_tls();
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path())?;
    let (mut person, issuer) = Browser::of_the_administrator(&up).await?;

    let home = Home::new(&[&up.kubeconfig])?;
    let (bin, asked) = (home.folder.path().join("bin"), home.folder.path().join("asked"));
    symlink(&kubectl, bin.join("kubectl"))?;
    symlink(&kubelogin, bin.join("kubectl-oidc_login"))?;
    browser(&bin.join("xdg-open"), &asked)?;

    // It is found, and so it is who gives kubectl its tokens.
    let mut login = home.aphex(&["login", "--issuer", &issuer]);
    let login = login.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let sent = || async { Ok(std::fs::read_to_string(&asked).ok()) };
    let address = eventually("kubelogin opens a browser", sent).await?;
    let page = person.visit(address.trim()).await?;
    let output = login.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{said}\n{page}");
    let answer = String::from_utf8(output.stdout)?;
    ensure!(answer.contains("with kubectl oidc-login") && !answer.contains("eyJ"), "{answer}");

    std::fs::remove_file(&asked)?;
    let who = home.kubectl(&kubectl, &["--context", "aphex", "auth", "whoami", "-o", "json"])?;
    let said = String::from_utf8_lossy(&who.stderr).into_owned();
    let who: Value = serde_json::from_slice(&who.stdout).context(said)?;
    let user = &who["status"]["userInfo"];
    ensure!(user["username"] == "grace@example.com", "{who}");
    let groups = user["groups"].as_array().context("groups")?;
    ensure!(groups.iter().any(|group| group == "platform-admins"), "{who}");
    let organizations = home.kubectl(&kubectl, &["--context", "aphex", "get", "organizations", "-A"])?;
    ensure!(organizations.status.success(), "{}", String::from_utf8_lossy(&organizations.stderr));
    // Our own commands run the same plugin.
    let who: Value = serde_json::from_str(&home.ok(&["--context", "aphex", "whoami", "-o", "json"])?)?;
    ensure!(who["username"] == "grace@example.com", "{who}");
    ensure!(!asked.exists(), "one login is enough");
    Ok(())
}

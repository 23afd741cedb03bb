//! `git daemon`.

use std::process::Stdio;

use aphex_testkit::eventually;
use aphex_testkit::git::{GitServer, git};

use super::{ask, commits};

#[tokio::test]
async fn a_daemon_is_asked_and_says_why_not() -> anyhow::Result<()> {
    let server = GitServer::start().await?;
    let main = server.repository("app.git").await?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let base = format!("--base-path={}", server.root().display());
    // Itself and not by `git daemon`, whose end would not be its own.
    let program = std::path::PathBuf::from(git(server.root(), &["--exec-path"]).await?).join("git-daemon");
    let mut daemon = tokio::process::Command::new(program)
        .args(["--export-all", "--informative-errors", "--listen=127.0.0.1", "--reuseaddr"])
        .args([base.as_str(), &format!("--port={port}"), "--log-destination=none"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let url = |name: &str| format!("git://127.0.0.1:{port}/{name}");
    let found =
        eventually("the daemon answers", || async { Ok(ask(&url("app.git"), None, &["main"]).await.ok()) })
            .await?;
    assert_eq!(found, commits(&[("main", &main)]));
    let error = ask(&url("none.git"), None, &["main"]).await.unwrap_err();
    assert_eq!(error.to_string(), "git on the server says: no such repository: /none.git");
    daemon.kill().await?;
    Ok(())
}

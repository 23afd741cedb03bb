//! A knowledge base over a git repository of this machine.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::program::{Up, example};

fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
    let output = Command::new("git").current_dir(folder).args(identity).args(arguments).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A running `git daemon`; killed when dropped.
struct Daemon(Child);

impl Daemon {
    fn start(base: &Path, port: u16) -> anyhow::Result<Self> {
        // Itself and not by `git daemon`, whose end would not be its own.
        let program = Path::new(&git(base, &["--exec-path"])?).join("git-daemon");
        let child = Command::new(program)
            .args(["--export-all", "--reuseaddr", "--listen=127.0.0.1"])
            .arg(format!("--base-path={}", base.display()))
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let daemon = Self(child);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            anyhow::ensure!(std::time::Instant::now() < deadline, "git daemon does not answer");
            std::thread::yield_now();
        }
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_knowledge_base_tells_the_commit_of_each_branch() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("source");
    std::fs::create_dir(&source)?;
    git(&source, &["init", "--quiet", "--initial-branch=main", "hello"])?;
    git(&source.join("hello"), &["commit", "--quiet", "--allow-empty", "--message=one"])?;
    let commit = git(&source.join("hello"), &["rev-parse", "HEAD"])?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let _daemon = Daemon::start(&source, port)?;

    let mut up = Up::start(&folder.path().join("data"))?;
    let docs = format!(
        "{{apiVersion: aphex.io/v1alpha1, kind: KnowledgeBase, metadata: {{name: docs, namespace: default}}, \
         spec: {{displayName: Docs, repositories: [{{url: 'git://127.0.0.1:{port}/hello'}}, {{url: 'git://127.0.0.1:{port}/none'}}]}}}}"
    );
    let file = folder.path().join("docs.yaml");
    std::fs::write(&file, docs)?;
    let applied = up.ok(&["apply", "-f", &file.to_string_lossy(), "--wait", "60"])?;
    assert_eq!(applied, "knowledgebase.aphex.io/docs serverside-applied\n");
    let listed = up.ok(&["kb", "list"])?;
    let row: Vec<&str> = listed.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(row[..5], ["default", "docs", "Docs", "1/2", "Ready"], "{listed}");
    let docs: Value = serde_json::from_str(&up.ok(&["kb", "get", "docs", "-o", "json"])?)?;
    let repositories = &docs["status"]["repositories"];
    assert_eq!(repositories[0]["commit"], commit.as_str(), "{docs}");
    assert!(repositories[1]["error"].is_string(), "{docs}");

    // The example is one that the API server takes.
    let example = example("knowledge-base.yaml").to_string_lossy().into_owned();
    up.ok(&["apply", "-f", &example])?;
    let missing = up.run(&["kb", "get", "none"])?;
    assert_eq!(missing.status.code(), Some(4));
    assert!(String::from_utf8(missing.stderr)?.contains("`aphex kb list` shows what is there"));
    assert_eq!(up.terminate()?, Some(0));
    Ok(())
}

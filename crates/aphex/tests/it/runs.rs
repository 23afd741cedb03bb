//! `aphex run cancel|rerun|delete`, `aphex logs` and `aphex open`, on runs that pushes made.

use serde_json::Value;

use super::program::{Up, example};

/// A run that a push made.
struct Scene {
    up: Up,
    run: String,
    folder: tempfile::TempDir,
}

fn scene() -> anyhow::Result<Scene> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(folder.path())?;
    let paths = ["organization.yaml", "repo-binding.yaml", "github-push.json"]
        .map(|name| example(name).to_string_lossy().into_owned());
    up.ok(&["apply", "-f", &paths[0], "-f", &paths[1], "--wait", "60"])?;
    up.ok(&["push", "hello-world", "--payload", &paths[2]])?;
    let run = up.ok(&["run", "list", "-n", "hello-world", "-o", "jsonpath={.items[0].metadata.name}"])?;
    Ok(Scene { up, run: run.trim().to_owned(), folder })
}

impl Scene {
    fn spec_status(&self, run: &str) -> anyhow::Result<String> {
        self.up.ok(&["run", "get", run, "-o", "jsonpath={.spec.status}"])
    }
}

#[test]
fn a_run_is_cancelled_as_tekton_is_told_to() -> anyhow::Result<()> {
    let scene = scene()?;
    let Scene { up, run, .. } = &scene;
    let stopped = up.ok(&["run", "cancel", run, "--grace", "StoppedRunFinally"])?;
    assert!(stopped.starts_with(&format!("pipelinerun.tekton.dev/{run} stopped")), "{stopped}");
    assert_eq!(scene.spec_status(run)?, "StoppedRunFinally\n");
    up.ok(&["run", "cancel", run])?;
    assert_eq!(scene.spec_status(run)?, "Cancelled\n");
    assert_eq!(up.run(&["run", "cancel", run, "--grace", "Later"])?.status.code(), Some(2));
    assert_eq!(up.run(&["run", "cancel", "none"])?.status.code(), Some(4));
    Ok(())
}

#[test]
fn a_run_is_started_again_with_the_same_spec() -> anyhow::Result<()> {
    let scene = scene()?;
    let Scene { up, run, .. } = &scene;
    up.ok(&["run", "cancel", run])?;
    let new: Value = serde_json::from_str(&up.ok(&["run", "rerun", run, "-o", "json"])?)?;
    let old: Value = serde_json::from_str(&up.ok(&["run", "get", run, "-o", "json"])?)?;
    assert_ne!(new["metadata"]["name"], old["metadata"]["name"]);
    assert_eq!(new["spec"]["params"], old["spec"]["params"]);
    assert!(new["spec"]["status"].is_null(), "it is not cancelled: {new}");
    assert_eq!(new["metadata"]["annotations"]["platform.aphex/rerun-of"], run.as_str());
    for label in ["platform.aphex/triggered", "platform.aphex/event-type", "platform.aphex/pipeline"] {
        let of = |run: &Value| run["metadata"]["labels"][label].as_str().map(str::to_owned);
        assert_eq!(of(&new), of(&old), "it counts as the binding's");
        assert!(of(&new).is_some(), "{label}");
    }
    let named = new["metadata"]["name"].as_str().unwrap_or_default();
    assert_eq!(
        up.ok(&["run", "delete", named, run, "-n", "hello-world", "--yes", "--wait"])?,
        format!("pipelinerun.tekton.dev/{named} deleted\npipelinerun.tekton.dev/{run} deleted\n")
    );
    assert_eq!(up.ok(&["run", "list", "-o", "name"])?, "");
    Ok(())
}

#[test]
fn where_no_pods_run_logs_say_so() -> anyhow::Result<()> {
    let scene = scene()?;
    let Scene { up, run, .. } = &scene;
    for arguments in
        [&["logs", run][..], &["logs", "-f", run, "-n", "hello-world"], &["logs", "-f", "--last"]]
    {
        let output = up.run(arguments)?;
        let told = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {told}");
        assert!(told.contains("nothing ran") && told.contains(run), "{arguments:?}: {told}");
    }
    assert_eq!(up.run(&["logs"])?.status.code(), Some(2));
    let elsewhere = up.run(&["logs", "--last", "-n", "team-payments"])?;
    assert_eq!(elsewhere.status.code(), Some(4));
    assert!(String::from_utf8(elsewhere.stderr)?.contains("there is no run yet"));
    Ok(())
}

#[test]
fn pages_are_at_github_until_a_dashboard_is_configured() -> anyhow::Result<()> {
    let Scene { up, run, folder } = scene()?;
    let page = |words: &[&str]| up.ok(&[&["open", "--print"], words].concat());
    assert_eq!(page(&["repo", "hello-world"])?, "https://github.com/Codertocat/Hello-World\n");
    assert_eq!(page(&["org", "acme-corp"])?, "https://github.com/Codertocat\n");
    let commit = page(&["run", &run])?;
    assert!(commit.starts_with("https://github.com/Codertocat/Hello-World/commit/"), "{commit}");

    let file = folder.path().join("dashboard.yaml");
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aphex-config, namespace: platform-system}\ndata: {APHEX_DASHBOARD_URL: 'https://tekton.example.com/'}\n";
    std::fs::write(&file, text)?;
    up.ok(&["apply", "--force-conflicts", "-f", &file.to_string_lossy()])?;
    assert_eq!(
        page(&["run", &run])?,
        format!("https://tekton.example.com/#/namespaces/hello-world/pipelineruns/{run}\n")
    );
    let flag = page(&["org", "acme-corp", "--dashboard-url", "https://other.example.com"])?;
    assert_eq!(flag, "https://other.example.com/#/namespaces/org-acme-corp/eventlisteners/github-listener\n");
    assert_eq!(page(&["repo", "hello-world", "--github"])?, "https://github.com/Codertocat/Hello-World\n");
    Ok(())
}

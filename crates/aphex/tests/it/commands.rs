//! The main job with nothing but the program itself, and an orderly end.

use serde_json::Value;

use super::program::{Up, example};

fn json(text: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(text)?)
}

#[test]
fn a_newcomer_needs_only_the_program() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut up = Up::start(folder.path())?;
    let (organization, binding, payload) =
        (example("organization.yaml"), example("repo-binding.yaml"), example("github-push.json"));
    let paths = [&organization, &binding, &payload].map(|path| path.to_string_lossy().into_owned());
    let applied = up.ok(&["apply", "-f", &paths[0], "-f", &paths[1], "--wait", "60"])?;
    assert_eq!(
        applied,
        "organization.aphex.io/acme-corp serverside-applied\nrepobinding.aphex.io/hello-world serverside-applied\n"
    );
    assert!(up.ok(&["org", "list"])?.contains("acme-corp   ACME Corporation   Active"));
    assert_eq!(up.ok(&["repo", "list", "-o", "name"])?, "repobinding.aphex.io/hello-world\n");

    let pushed = up.ok(&["push", "hello-world", "--payload", &paths[2], "--delivery", "first"])?;
    assert!(
        pushed.starts_with("200 OK") && pushed.contains("created PipelineRun hello-world/hello-world-"),
        "{pushed}"
    );
    let again = up.ok(&["push", "hello-world", "--payload", &paths[2], "--delivery", "first"])?;
    let run = |text: &str| text.lines().last().map(str::to_owned);
    assert_eq!(run(&again), run(&pushed), "a redelivery makes no second run");

    let deliveries = json(&up.ok(&["delivery", "list", "-o", "json"])?)?;
    assert_eq!(deliveries["items"].as_array().map(Vec::len), Some(1));
    let delivery = json(&up.ok(&["delivery", "get", "first", "-o", "json"])?)?;
    assert_eq!(delivery["status"]["verdict"], "Created");
    assert_eq!(up.terminate()?, Some(0), "SIGTERM is an orderly end");
    Ok(())
}

#[test]
fn a_bad_spec_is_refused_by_the_server_and_told() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(folder.path())?;
    let file = folder.path().join("bad.yaml");
    let spec = "apiVersion: aphex.io/v1alpha1\nkind: Organization\nmetadata: {name: a, namespace: platform-system}\nspec: {displayName: A, adminUsers: []}\n";
    std::fs::write(&file, spec)?;
    let output = up.run(&["apply", "-f", &file.to_string_lossy()])?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("spec.adminUsers"), "{said}");
    Ok(())
}

//! The main job with nothing but the program itself, and an orderly end.

use aphex_testkit::eventually;
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
fn a_developer_sees_how_their_pipeline_fares() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut up = Up::start(folder.path())?;
    let paths = [example("organization.yaml"), example("pipeline.yaml")]
        .map(|path| path.to_string_lossy().into_owned());
    let applied = up.ok(&["apply", "-f", &paths[0], "-f", &paths[1], "--wait", "60"])?;
    assert_eq!(
        applied,
        "organization.aphex.io/acme-corp serverside-applied\nnamespace/team-payments serverside-applied\n\
         pipeline.platform.dev/checkout serverside-applied\n"
    );
    let listed = up.ok(&["pipeline", "list"])?;
    let row: Vec<&str> = listed.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    let expected = ["team-payments", "checkout", "acme-corp", "Codertocat/Hello-World", "Ready"];
    assert_eq!(row[..5], expected, "{listed}");
    let pipeline = json(&up.ok(&["pipeline", "get", "checkout", "-o", "json"])?)?;
    assert!(pipeline["status"]["webhookURL"].as_str().is_some_and(|url| url.ends_with("/acme-corp")));
    assert!(!pipeline["status"].to_string().contains("whsec_"), "{pipeline}");

    let payload = example("github-push.json").to_string_lossy().into_owned();
    let pushed = up.ok(&["push", "team-payments.checkout", "--payload", &payload])?;
    assert!(pushed.contains("created PipelineRun checkout/checkout-"), "{pushed}");
    let missing = up.run(&["pipeline", "get", "none"])?;
    assert_eq!(missing.status.code(), Some(4));
    assert!(String::from_utf8(missing.stderr)?.contains("`aphex pipeline list` shows what is there"));
    assert_eq!(up.terminate()?, Some(0));
    Ok(())
}

/// Sends a push that is signed with this secret; gives the answer's status.
async fn signed(url: &str, secret: &str, payload: &[u8]) -> anyhow::Result<u16> {
    let request = reqwest::Client::new()
        .post(url)
        .header("Content-Type", "application/json")
        .header("X-GitHub-Event", "push")
        .header("X-GitHub-Delivery", format!("signed-{:x}", rand::random::<u64>()))
        .header("X-Hub-Signature-256", aphex_gateway::sign(secret.as_bytes(), payload))
        .body(payload.to_vec());
    Ok(request.send().await?.status().as_u16())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_secret_is_shown_only_when_asked_for_and_the_old_one_verifies_for_its_grace()
-> anyhow::Result<()> {
    // Another test of the process may have done so.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let up = Up::start(folder.path())?;
    let paths = [example("organization.yaml"), example("repo-binding-options.yaml")]
        .map(|path| path.to_string_lossy().into_owned());
    up.ok(&["apply", "-f", &paths[0], "-f", &paths[1], "--wait", "60"])?;
    let status =
        || json(&up.ok(&["repo", "get", "hello-options", "-o", "json"])?).map(|o| o["status"].clone());
    let secret = |status: &Value| status["webhookSecret"].as_str().unwrap_or_default().to_owned();
    let first = status()?;
    let url = first["webhookURL"].as_str().unwrap_or_default().to_owned();
    let payload = std::fs::read(example("github-push.json"))?;

    let said = up.ok(&["repo", "rotate-secret", "hello-options", "--grace", "1h30m"])?;
    assert!(said.contains("has a new webhook secret; the one before verifies until 20"), "{said}");
    assert!(!said.contains("whsec_"), "{said}");
    let second = status()?;
    assert_ne!(secret(&first), secret(&second));
    for secret in [secret(&first), secret(&second)] {
        assert_eq!(signed(&url, &secret, &payload).await?, 200);
    }

    let said = up.ok(&["repo", "rotate-secret", "hello-options", "--grace", "0", "--show"])?;
    assert!(said.contains("verifies no longer"), "{said}");
    let third = status()?;
    assert_eq!(said.lines().last(), Some(secret(&third).as_str()));
    // The gateway may have read the secret within this second, and then does not read it again yet.
    let taken = || async {
        let taken = signed(&url, &secret(&third), &payload).await? == 200;
        Ok(taken.then_some(()))
    };
    eventually("the new secret verifies", taken).await?;
    for secret in [secret(&first), secret(&second)] {
        // 429 once so many signatures of this address have failed.
        let code = signed(&url, &secret, &payload).await?;
        assert!(matches!(code, 401 | 429), "{code}");
    }

    let said = up.ok(&["org", "rotate-secret", "acme-corp"])?;
    assert!(said.starts_with("organization acme-corp has a new webhook secret"), "{said}");
    for (arguments, code) in [
        (&["repo", "rotate-secret", "none"][..], 4),
        (&["repo", "rotate-secret", "hello-options", "--grace", "721h"][..], 2),
        (&["repo", "rotate-secret", "hello-options", "--grace", "soon"][..], 2),
    ] {
        assert_eq!(up.run(arguments)?.status.code(), Some(code), "{arguments:?}");
    }
    let refused = up.run(&["repo", "rotate-secret", "hello-options", "--grace", "5"])?;
    let told = String::from_utf8(refused.stderr)?;
    assert!(told.contains("'5' is no duration between 0 and 720h: write a number and its unit"), "{told}");
    Ok(())
}

#[test]
fn the_secret_of_a_binding_that_has_to_be_changed_first_is_not_waited_for() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(&folder.path().join("data"))?;
    let file = folder.path().join("evil.yaml");
    let evil = std::fs::read_to_string(example("repo-binding.yaml"))?.replace("hello-world", "kube-evil");
    std::fs::write(&file, evil)?;
    assert_eq!(up.run(&["apply", "-f", &file.to_string_lossy(), "--wait", "60"])?.status.code(), Some(5));
    let refused = up.run(&["repo", "rotate-secret", "kube-evil"])?;
    let told = String::from_utf8(refused.stderr)?;
    assert_eq!(refused.status.code(), Some(5), "{told}");
    assert!(
        told.contains("it is Failed (InvalidSpec): Cannot create namespace with privileged name"),
        "{told}"
    );
    assert!(told.contains("; change the spec as the message says"), "{told}");
    let binding = json(&up.ok(&["repo", "get", "kube-evil", "-o", "json"])?)?;
    assert!(
        !binding["metadata"].to_string().contains("rotate-webhook-secret"),
        "no request stands: {binding}"
    );
    Ok(())
}

#[test]
fn a_repository_without_an_organization_is_onboarded_too() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut up = Up::start(folder.path())?;
    let paths = ["standalone.yaml", "standalone-pipeline.yaml", "github-push.json"]
        .map(|name| example(name).to_string_lossy().into_owned());
    // The Pipeline first, in a namespace that only the binding makes.
    let both = ["-f", &paths[1], "-f", &paths[0]];
    let plan = up.run(&[&["plan"], &both[..]].concat())?;
    let planned = String::from_utf8(plan.stdout)?;
    assert_eq!(plan.status.code(), Some(2), "{planned}");
    assert!(planned.contains("create Pipeline archon/cdktf-deploy"), "{planned}");
    let applied = up.run(&[&["apply", "--wait", "60"], &both[..]].concat())?;
    let told = String::from_utf8(applied.stderr)?;
    assert!(applied.status.success(), "{told}");
    assert_eq!(
        String::from_utf8(applied.stdout)?,
        "repobinding.aphex.io/archon-binding serverside-applied\npipeline.tekton.dev/cdktf-deploy serverside-applied\n"
    );
    assert_eq!(told.matches(": Ready - ").count(), 1, "it was waited for already: {told}");
    let plan = up.run(&[&["plan"], &both[..]].concat())?;
    assert_eq!((plan.status.code(), String::from_utf8(plan.stdout)?.as_str()), (Some(0), "No changes.\n"));
    let alone = std::fs::read_to_string(&paths[1])?.replace("namespace: archon", "namespace: nobodys");
    let file = folder.path().join("alone.yaml");
    std::fs::write(&file, alone)?;
    let refused = up.run(&["apply", "-f", &file.to_string_lossy()])?;
    let told = String::from_utf8(refused.stderr)?;
    assert!(refused.status.code() == Some(4) && told.contains("once its RepoBinding is Ready"), "{told}");
    let binding = json(&up.ok(&["repo", "get", "archon-binding", "-o", "json"])?)?;
    assert!(
        binding["status"]["webhookURL"].as_str().is_some_and(|url| url.ends_with("/archon")),
        "{binding}"
    );
    let pushed = up.ok(&["push", "archon-binding", "--payload", &paths[2]])?;
    assert!(pushed.contains(r#""eventListener":"github-listener","namespace":"archon""#), "{pushed}");
    assert!(pushed.contains("created PipelineRun archon/cdktf-deploy-"), "{pushed}");
    assert_eq!(up.terminate()?, Some(0));
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

//! Why an event became what it became, and what triggers would make of one: `delivery`, `trigger` and `repo check`.

use std::path::Path;
use std::process::Output;

use base64::Engine as _;
use serde_json::Value;

use super::program::{Up, aphex, example};

fn json(text: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(text)?)
}

pub(crate) fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// An engine with the examples' organization and binding, where one push was delivered.
pub(crate) fn pushed(folder: &Path) -> anyhow::Result<Up> {
    let up = Up::start(folder)?;
    let paths = ["organization.yaml", "repo-binding.yaml", "github-push.json"]
        .map(|name| example(name).to_string_lossy().into_owned());
    up.ok(&["apply", "-f", &paths[0], "-f", &paths[1], "--wait", "60"])?;
    up.ok(&["push", "hello-world", "--payload", &paths[2], "--delivery", "first"])?;
    Ok(up)
}

fn runs(up: &Up) -> anyhow::Result<usize> {
    let list = json(&up.ok(&["run", "list", "-o", "json"])?)?;
    Ok(list["items"].as_array().map_or(0, Vec::len))
}

/// Everything that a command must leave as it is.
fn versions(up: &Up) -> anyhow::Result<Vec<String>> {
    let mut versions = Vec::new();
    for kind in ["delivery", "run"] {
        let list = json(&up.ok(&[kind, "list", "-o", "json"])?)?;
        for object in list["items"].as_array().into_iter().flatten() {
            let metadata = &object["metadata"];
            versions.push(format!("{kind} {} {}", metadata["name"], metadata["resourceVersion"]));
        }
    }
    Ok(versions)
}

#[test]
fn a_delivery_says_who_signed_it_and_what_each_trigger_made_of_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = pushed(folder.path())?;
    let told = up.ok(&["delivery", "get", "first"])?;
    for line in [
        "Delivery   hello-world/first",
        "Event      push of Codertocat/Hello-World, refs/heads/master at 6113728f27ae82c7b1a177c8d03f9e96e0adf246",
        "Listener   org-acme-corp/github-listener",
        "Signature  valid, by Secret org-acme-corp/webhook-hello-world, key secret",
        "Verdict    Created: created PipelineRun hello-world/hello-world-",
        "Trigger org-acme-corp/hello-world-trigger: Created",
        "  passed   branches",
        "             body.ref == 'refs/heads/master'",
        "               body.ref = refs/heads/master",
        "  created  PipelineRun hello-world/hello-world-",
    ] {
        assert!(told.lines().any(|there| there.starts_with(line)), "{line:?} is not said:\n{told}");
    }
    let payload = json(&up.ok(&["delivery", "get", "first", "--payload"])?)?;
    assert_eq!(payload, json(&std::fs::read_to_string(example("github-push.json"))?)?);
    let names = |more: &[&str]| up.ok(&[&["delivery", "list", "-o", "name"], more].concat());
    let first = "delivery.aphex.io/first\n";
    for kept in [
        &["--repo", "codertocat/hello-world", "--event", "push", "--verdict", "created", "--since", "1h"][..],
        &["-n", "hello-world", "--listener", "org-acme-corp/github-listener"],
        &["-A", "--until", "2999-01-01T00:00:00Z"],
    ] {
        assert_eq!(names(kept)?, first, "{kept:?}");
    }
    for left_out in [
        &["--repo", "codertocat/other"][..],
        &["--event", "pull_request"],
        &["--verdict", "not-wanted"],
        &["--until", "1h"],
        &["-n", "org-acme-corp"],
    ] {
        assert_eq!(names(left_out)?, "", "{left_out:?}");
    }
    let wrong = up.run(&["delivery", "list", "--since", "soon"])?;
    assert_eq!(wrong.status.code(), Some(2));
    Ok(())
}

#[test]
fn a_replay_creates_anew_and_a_dry_run_of_it_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = pushed(folder.path())?;
    let before = versions(&up)?;
    let told = up.ok(&["delivery", "replay", "first", "--dry-run"])?;
    assert!(told.starts_with("Created: would create PipelineRun hello-world/hello-world-"), "{told}");
    assert!(
        told.contains("as org-acme-corp/hello-world-trigger: the engine would take it"),
        "the engine checks it as the trigger's account: {told}"
    );
    let document = json(&up.ok(&["delivery", "replay", "first", "--dry-run", "-o", "json"])?)?;
    assert_eq!((&document["verdict"], &document["dryRun"]), (&"Created".into(), &true.into()));
    assert_eq!(document["triggers"][0]["resources"][0]["kind"], "PipelineRun");
    assert_eq!(versions(&up)?, before, "a dry run writes nothing");
    let told = up.ok(&["delivery", "replay", "first"])?;
    assert!(told.contains("Verdict    Created"), "{told}");
    assert_eq!(runs(&up)?, 2);
    assert!(told.lines().any(|line| line.starts_with("Replayed   20")), "{told}");
    // Who may see triggers and deliveries, and nothing else, learns what would become of it all the same.
    let operator = up.kubeconfig_as("ada", &["platform-engineering", "platform-operators"])?;
    let asked = Up::run_with(&operator, &["delivery", "replay", "first", "--dry-run", "-n", "hello-world"])?;
    let (told, errors) = text(&asked);
    assert_eq!(asked.status.code(), Some(0), "{told}{errors}");
    assert!(
        told.contains("not checked  PipelineRun hello-world/") && told.contains("nor create it yourself"),
        "{told}"
    );
    let nobody = up.run(&["delivery", "replay", "nobody"])?;
    assert_eq!(nobody.status.code(), Some(4));
    Ok(())
}

/// Runs `aphex trigger test` where there is no server.
fn test(files: &[&Path], more: &[&str]) -> anyhow::Result<Output> {
    let mut command = aphex();
    command.args(["trigger", "test", "--payload"]).arg(example("github-push.json")).args(more);
    for file in files {
        command.arg("-f").arg(file);
    }
    command.env("HOME", "/nonexistent").env("KUBECONFIG", "/nonexistent");
    Ok(command.output()?)
}

#[test]
fn triggers_in_files_are_tested_without_a_server() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let trigger = example("trigger.yaml");
    let done = test(&[&trigger], &[])?;
    let (told, errors) = text(&done);
    assert_eq!(done.status.code(), Some(0), "{told}{errors}");
    assert!(told.starts_with("Created: would create PipelineRun example/example-"), "{told}");
    assert!(told.contains("value: 6113728f27ae82c7b1a177c8d03f9e96e0adf246"), "the object is shown: {told}");
    let document = json(&text(&test(&[&trigger], &["-o", "json"])?).0)?;
    assert_eq!(document["triggers"][0]["serviceAccount"], "example/example-trigger");
    assert_eq!(document["triggers"][0]["params"]["repository"], "Codertocat/Hello-World");

    let other = test(&[&trigger], &["--event", "issues"])?;
    assert_eq!(other.status.code(), Some(3), "{:?}", text(&other));
    let secret = folder.path().join("secret");
    for (content, code) in [("a token\n", 0), ("another", 1)] {
        std::fs::write(&secret, content)?;
        let signed = test(&[&trigger], &["--secret-file", &secret.to_string_lossy()])?;
        assert_eq!(signed.status.code(), Some(code), "{:?}", text(&signed));
    }

    let broken = folder.path().join("broken.yaml");
    std::fs::write(&broken, std::fs::read_to_string(&trigger)?.replace("body.ref ==", "body.ref ==="))?;
    let told = test(&[&broken], &[])?;
    assert_eq!(told.status.code(), Some(1));
    let (_, errors) = text(&told);
    assert!(errors.contains("problem: Trigger example/example-trigger: "), "{errors}");

    // A pattern that is none; the event does not even come to it.
    let pattern = folder.path().join("pattern.yaml");
    let beside = "body.ref.matches('[z-a]') || body.ref ==";
    std::fs::write(&pattern, std::fs::read_to_string(&trigger)?.replace("body.ref ==", beside))?;
    let told = test(&[&pattern], &[])?;
    assert_eq!(told.status.code(), Some(1));
    let (answer, errors) = text(&told);
    for said in [&answer, &errors] {
        assert!(
            said.contains("the pattern '[z-a]' cannot be read: error parsing regexp"),
            "{answer}{errors}"
        );
    }

    let alone = folder.path().join("alone.yaml");
    let only: Vec<String> =
        std::fs::read_to_string(&trigger)?.split("\n---\n").skip(1).map(str::to_owned).collect();
    std::fs::write(&alone, only.join("\n---\n"))?;
    let assumed = test(&[&alone], &[])?;
    assert_eq!(assumed.status.code(), Some(0), "{:?}", text(&assumed));
    assert!(text(&assumed).1.contains("is assumed"));

    let open = folder.path().join("open.yaml");
    let template = "{spec: {resourcetemplates: [{apiVersion: v1, kind: ConfigMap, metadata: {name: made}}]}}";
    let metadata = "{name: open, namespace: example}";
    let version = "triggers.tekton.dev/v1beta1";
    std::fs::write(
        &open,
        format!(
            "apiVersion: {version}\nkind: Trigger\nmetadata: {metadata}\nspec: {{template: {template}}}\n"
        ),
    )?;
    let never = test(&[&open], &[])?;
    assert_eq!(never.status.code(), Some(1), "{:?}", text(&never));
    let why = "it offers events to Trigger example/open, which has no interceptor with a secretRef";
    assert!(text(&never).1.contains(why), "{:?}", text(&never));
    Ok(())
}

#[tokio::test]
async fn a_delivery_says_that_its_run_waits_for_its_turn_or_is_there_no_more() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = pushed(&folder.path().join("data"))?;
    let mut binding: Value = serde_saphyr::from_str(&std::fs::read_to_string(example("repo-binding.yaml"))?)?;
    binding["spec"]["concurrency"] = serde_json::json!({ "policy": "Queue", "max": 1 });
    let file = folder.path().join("queueing.json");
    std::fs::write(&file, binding.to_string())?;
    up.ok(&["apply", "-f", &file.to_string_lossy(), "--wait", "60"])?;
    let payload = example("github-push.json").to_string_lossy().into_owned();
    let waiting = aphex_testkit::eventually("a run waits for its turn", || async {
        let id = format!("waiting-{:08x}", rand::random::<u32>());
        up.ok(&["push", "hello-world", "--payload", &payload, "--delivery", &id])?;
        let told = up.ok(&["delivery", "get", &id])?;
        let line = told.lines().last().unwrap_or_default();
        anyhow::ensure!(line.starts_with("  created  PipelineRun hello-world/hello-world-"), "{told}");
        Ok(line.ends_with(", which waits for its turn").then_some(id))
    })
    .await?;
    let one = json(&up.ok(&["delivery", "get", &waiting, "-o", "json"])?)?;
    let run = &one["status"]["created"][0];
    assert_eq!(run["concurrency"], serde_json::json!({ "verdict": "Waiting" }));
    let run = run["name"].as_str().unwrap_or_default().to_owned();
    let listed = up.ok(&["delivery", "list"])?;
    assert!(listed.contains(&format!("hello-world/{run} (waiting)")), "{listed}");
    up.ok(&["run", "delete", &run, "-n", "hello-world", "--yes"])?;
    let told = up.ok(&["delivery", "get", &waiting])?;
    assert!(told.contains(&format!("{run}, which waited for its turn, and is there no more")), "{told}");
    let list = json(&up.ok(&["delivery", "get", "first", "-o", "json"])?)?;
    let name = list["status"]["created"][0]["name"].as_str().unwrap_or_default().to_owned();
    up.ok(&["run", "delete", &name, "-n", "hello-world", "--yes"])?;
    let told = up.ok(&["delivery", "get", "first"])?;
    assert!(told.contains(&format!("PipelineRun hello-world/{name}, which is there no more")), "{told}");
    Ok(())
}

/// The binding's trigger with another condition on branches.
pub(crate) fn changed(branch: &str) -> String {
    format!(
        "apiVersion: triggers.tekton.dev/v1beta1\nkind: Trigger\n\
         metadata: {{name: hello-world-trigger, namespace: org-acme-corp, labels: {{platform.aphex/organization: acme-corp}}}}\n\
         spec:\n  serviceAccountName: hello-world-trigger\n  interceptors:\n  \
         - ref: {{name: github, kind: ClusterInterceptor}}\n    params:\n    \
         - {{name: secretRef, value: {{secretName: webhook-hello-world, secretKey: secret}}}}\n  \
         - name: branches\n    ref: {{name: cel, kind: ClusterInterceptor}}\n    params:\n    \
         - {{name: filter, value: \"body.ref == 'refs/heads/{branch}'\"}}\n  \
         template: {{spec: {{resourcetemplates: [{{apiVersion: v1, kind: ConfigMap, metadata: {{name: made}}}}]}}}}\n"
    )
}

#[test]
fn a_changed_trigger_is_tried_on_what_came_before_it_is_applied() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = pushed(&folder.path().join("data"))?;
    let file = folder.path().join("changed.yaml");
    let path = file.to_string_lossy().into_owned();
    let before = versions(&up)?;
    std::fs::write(&file, changed("other"))?;
    let differs = up.run(&["trigger", "backtest", "-f", &path, "--since", "7d"])?;
    let (told, errors) = text(&differs);
    assert_eq!(differs.status.code(), Some(2), "{told}{errors}");
    for line in ["hello-world/first: push of", "  now      Created: ", "  changed  NotWanted: "] {
        assert!(told.lines().any(|there| there.starts_with(line)), "{line:?} is not said:\n{told}");
    }
    assert!(told.ends_with("1 evaluated, 1 would be decided otherwise.\n"), "{told}");
    std::fs::write(&file, changed("master"))?;
    let document = up.run(&["trigger", "backtest", "-f", &path, "-o", "json"])?;
    let document = json(&text(&document).0)?;
    let different = &document["different"][0];
    assert_eq!(different["changed"]["triggers"][0]["resources"][0]["kind"], "ConfigMap", "{document}");
    assert!(different["diff"].as_str().unwrap_or_default().contains("+      kind: ConfigMap"), "{different}");
    let none = up.run(&["trigger", "backtest", "-f", &path, "--repo", "codertocat/other"])?;
    assert_eq!(none.status.code(), Some(0));
    let same = up.run(&["trigger", "backtest", "-f", &example("trigger.yaml").to_string_lossy()])?;
    assert_eq!(same.status.code(), Some(0), "{:?}", text(&same));
    assert_eq!(versions(&up)?, before, "a backtest writes nothing");
    Ok(())
}

#[test]
fn people_of_a_tenant_see_a_large_delivery_and_are_told_where_its_payload_is() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = pushed(folder.path())?;
    let mut event = json(&std::fs::read_to_string(example("github-push.json"))?)?;
    let mut noise = vec![0; 720_000];
    rand::fill(&mut noise[..]);
    event["noise"] = base64::engine::general_purpose::STANDARD.encode(noise).into();
    let file = folder.path().join("large.json");
    std::fs::write(&file, event.to_string())?;
    up.ok(&["push", "hello-world", "--payload", &file.to_string_lossy(), "--delivery", "large"])?;
    assert_eq!(json(&up.ok(&["delivery", "get", "large", "--payload"])?)?, event);
    let told = up.ok(&["delivery", "replay", "large"])?;
    assert!(told.contains("Payload    too large for one object: 2 Secrets in org-acme-corp"), "{told}");
    assert_eq!(runs(&up)?, 3);

    let binding = folder.path().join("viewer.yaml");
    std::fs::write(
        &binding,
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: ann, namespace: hello-world}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}\n\
         subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: ann}]\n",
    )?;
    up.ok(&["apply", "-f", &binding.to_string_lossy()])?;
    let ann = up.kubeconfig_as("ann", &["system:authenticated"])?;
    let listed = text(&Up::run_with(&ann, &["delivery", "list", "-n", "hello-world", "-o", "name"])?).0;
    assert_eq!(listed, "delivery.aphex.io/first\ndelivery.aphex.io/large\n");
    let (told, errors) = text(&Up::run_with(&ann, &["delivery", "get", "large", "-n", "hello-world"])?);
    assert!(told.contains("Verdict    Created: created PipelineRun hello-world/"), "{told}{errors}");
    for asked in
        [&["delivery", "get", "large", "--payload"][..], &["delivery", "replay", "large", "--dry-run"]]
    {
        let refused = Up::run_with(&ann, &[asked, &["-n", "hello-world"]].concat())?;
        let (told, errors) = text(&refused);
        assert_eq!((refused.status.code(), told.as_str()), (Some(5), ""), "{errors}");
        assert!(
            errors.contains("kept in Secrets of namespace org-acme-corp, and you may not read them"),
            "{errors}"
        );
    }

    // A watch that is refused says so once, and ends.
    let refused = Up::run_with(&ann, &["delivery", "watch"])?;
    let errors = text(&refused).1;
    assert_eq!(
        (refused.status.code(), errors.matches("cannot list resource").count()),
        (Some(5), 1),
        "{errors}"
    );

    // Who sees the triggers and not the Secrets is told what a backtest leaves out.
    let administrator = up.kubeconfig_as("admin@acme-corp.com", &["system:authenticated"])?;
    let same = example("trigger.yaml").to_string_lossy().into_owned();
    let backtest = ["trigger", "backtest", "-f", &same, "-n", "hello-world"];
    let tested = Up::run_with(&administrator, &backtest)?;
    let (told, errors) = text(&tested);
    assert_eq!(tested.status.code(), Some(0), "{told}{errors}");
    assert!(told.starts_with("1 evaluated, 0 would be decided otherwise. 1 left out: too large"), "{told}");
    assert!(up.ok(&backtest)?.starts_with("2 evaluated, 0 would be decided otherwise.\n"));
    Ok(())
}

#[test]
fn a_binding_is_checked_from_the_network_to_the_run_without_starting_one() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = pushed(folder.path())?;
    let before = versions(&up)?;
    let report = json(&up.ok(&["repo", "check", "hello-world", "-o", "json"])?)?;
    let state = |report: &Value, step: &str| {
        let checks = report["checks"].as_array().into_iter().flatten();
        checks.filter(|check| check["check"] == step).map(|check| check["state"].clone()).next()
    };
    assert_eq!(report["ok"], true, "{report}");
    for step in
        ["binding", "tcp", "gateway", "signature", "trigger", "account", "listener", "secret", "pipeline"]
    {
        assert_eq!(state(&report, step), Some("ok".into()), "{step}: {report}");
    }
    assert_eq!(versions(&up)?, before, "a check writes nothing");
    // Nobody listens on a port that was free a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let url = format!("http://{closed}/acme-corp");
    let failed = up.run(&["repo", "check", "hello-world", "--url", &url, "-o", "json"])?;
    let (told, errors) = text(&failed);
    assert_eq!(failed.status.code(), Some(1), "{told}{errors}");
    let report = json(&told)?;
    assert_eq!(
        (state(&report, "tcp"), state(&report, "signature")),
        (Some("fail".into()), Some("skip".into()))
    );
    // The engine's own server answers, and is not the gateway.
    let somebody = std::fs::read_to_string(&up.kubeconfig)?;
    let server = somebody.split_whitespace().find(|word| word.starts_with("https://")).unwrap_or_default();
    let other = up.run(&["repo", "check", "hello-world", "--url", server.trim_matches('"')])?;
    assert_eq!(other.status.code(), Some(1));
    assert_eq!(up.run(&["repo", "check", "nobody"])?.status.code(), Some(4));

    let bad = folder.path().join("bad.yaml");
    let binding = std::fs::read_to_string(example("repo-binding.yaml"))?;
    std::fs::write(&bad, binding.replacen("\nspec:\n", "\nspec:\n  paths: ['[z-a]']\n", 1))?;
    up.ok(&["apply", "-f", &bad.to_string_lossy()])?;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let (told, errors) = text(&up.run(&["repo", "check", "hello-world"])?);
        if told
            .contains("hello-world is Failed: spec.paths[0]: '[z-a]' has the range z-a, which goes backwards")
        {
            return Ok(());
        }
        anyhow::ensure!(std::time::Instant::now() < deadline, "{told}{errors}");
    }
}

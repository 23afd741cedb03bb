//! `aphex plan` and `aphex describe`, as people and programs use them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use super::program::{Up, aphex, example};

fn answer(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn examples() -> [String; 3] {
    ["organization.yaml", "repo-binding.yaml", "pipeline.yaml"]
        .map(|name| example(name).to_string_lossy().into_owned())
}

#[test]
fn a_plan_is_told_apart_by_its_exit_code_and_comes_true() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut up = Up::start(folder.path())?;
    let [organization, binding, pipeline] = examples();
    let files = ["plan", "-f", &organization, "-f", &binding, "-f", &pipeline];

    let first = up.run(&files)?;
    let text = answer(&first);
    assert_eq!(first.status.code(), Some(2), "{text}");
    assert!(text.contains("create Namespace hello-world, of RepoBinding hello-world"), "{text}");
    assert!(text.contains("+++ planned/platform-system/organization.aphex.io/acme-corp"), "{text}");
    assert!(text.contains(" to create, 0 to change, 0 to prune."), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains("whsec_"), "neither colours nor secrets: {text}");
    assert_eq!(up.ok(&["org", "list", "-o", "name"])?, "", "nothing was made");
    assert_eq!(answer(&up.run(&files)?), text, "the same again");

    up.ok(&["apply", "-f", &organization, "-f", &binding, "-f", &pipeline, "--wait", "60"])?;
    let second = up.run(&files)?;
    assert_eq!((second.status.code(), answer(&second).as_str()), (Some(0), "No changes.\n"));

    let edit = folder.path().join("edit.yaml");
    std::fs::write(&edit, std::fs::read_to_string(&binding)?.replace("branch: master", "branch: main"))?;
    let third = up.run(&["plan", "-f", &edit.to_string_lossy(), "-o", "json"])?;
    let plan: Value = serde_json::from_str(&answer(&third))?;
    assert_eq!(third.status.code(), Some(2));
    assert_eq!(plan["summary"], json!({ "create": 0, "change": 2, "prune": 0 }));
    let trigger =
        plan["changes"].as_array().and_then(|all| all.iter().find(|change| change["kind"] == "Trigger"));
    let diff = trigger.and_then(|change| change["diff"].as_str()).unwrap_or_default();
    let has = |sign: char, text: &str| diff.lines().any(|line| line.starts_with(sign) && line.contains(text));
    assert!(has('-', "refs/heads/master") && has('+', "refs/heads/main"), "{plan}");
    assert_eq!(up.terminate()?, Some(0));
    Ok(())
}

#[test]
fn what_cannot_be_is_told_and_is_an_error() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut up = Up::start(folder.path())?;
    let evil = std::fs::read_to_string(example("repo-binding.yaml"))?.replace("hello-world", "kube-evil");
    let mut child = aphex()
        .arg("--kubeconfig")
        .arg(&up.kubeconfig)
        .args(["plan", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().map_or(Ok(()), |mut input| input.write_all(evil.as_bytes()))?;
    let output = child.wait_with_output()?;
    let text = answer(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let told = "RepoBinding platform-system/kube-evil would be rejected: Cannot create namespace with privileged name";
    assert!(text.contains(told), "{text}");

    let file = folder.path().join("bad.yaml");
    let spec = "apiVersion: aphex.io/v1alpha1\nkind: Organization\nmetadata: {name: a, namespace: platform-system}\nspec: {displayName: A, adminUsers: []}\n";
    std::fs::write(&file, spec)?;
    let output = up.run(&["plan", "-f", &file.to_string_lossy()])?;
    let text = answer(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("Organization platform-system/a would be refused: ")
            && text.contains("spec.adminUsers"),
        "{text}"
    );
    assert!(!text.contains("No changes") && !text.contains("ApiError"), "{text}");

    let usage = up.run(&["plan", "--no-such-flag"])?;
    assert_eq!(usage.status.code(), Some(1), "2 says that something would change");
    assert_eq!(up.run(&["org", "--no-such-flag"])?.status.code(), Some(2));
    up.kill();
    let unreachable = up.run(&["plan", "-f", &examples()[0]])?;
    assert_eq!(unreachable.status.code(), Some(1));
    Ok(())
}

#[test]
fn an_object_is_described_with_all_that_belongs_to_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut up = Up::start(folder.path())?;
    let [organization, binding, pipeline] = examples();
    up.ok(&["apply", "-f", &organization, "-f", &binding, "-f", &pipeline, "--wait", "60"])?;
    let quiet = up.ok(&["describe", "repo", "hello-world"])?;
    assert!(
        quiet.contains("no webhook has come yet") && quiet.contains("`aphex push hello-world`"),
        "{quiet}"
    );

    let payload = example("github-push.json").to_string_lossy().into_owned();
    up.ok(&["push", "hello-world", "--payload", &payload, "--delivery", "seen"])?;
    let text = up.ok(&["describe", "repo", "hello-world"])?;
    for part in [
        "RepoBinding platform-system/hello-world   Ready",
        "│  ├─ NamespaceReady       True   Provisioned",
        "├─ Owns 21, all in place",
        "NetworkPolicy hello-world/tenant-isolation                   in place",
        "seen   push   refs/heads/master   Created",
        "└─ Last runs\n   └─ hello-world/hello-world-",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains("whsec_") && !text.contains("Next"), "{text}");

    let document: Value = serde_json::from_str(&up.ok(&["describe", "pipeline", "checkout", "-o", "json"])?)?;
    assert_eq!(document["object"]["phase"], "Ready");
    assert_eq!(document["examination"]["owned"][0]["kind"], "RepoBinding");
    assert_eq!(document["examination"]["owned"][0]["health"], "inPlace");
    assert!(document["binding"]["owned"].as_array().is_some_and(|owned| owned.len() == 21), "{document}");
    assert!(!document.to_string().contains("whsec_"));

    let text = up.ok(&["describe", "org", "acme-corp"])?;
    assert!(
        text.contains("├─ Bindings\n│  ├─ hello-world") && text.contains("team-payments.checkout"),
        "{text}"
    );
    let runs = up.ok(&["run", "list", "-n", "hello-world"])?;
    assert!(runs.starts_with("NAMESPACE") && runs.contains("push    Pending"), "{runs}");
    let missing = up.run(&["describe", "kb", "none"])?;
    assert_eq!(missing.status.code(), Some(4));
    assert_eq!(up.terminate()?, Some(0));
    Ok(())
}

#[test]
fn what_is_wrong_is_shown_with_what_to_do() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(folder.path())?;
    let binding = examples()[1].clone();
    up.ok(&["apply", "-f", &binding])?;
    let described = || up.ok(&["describe", "repo", "hello-world"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let mut text = described()?;
    while !text.contains("Waiting for Organization acme-corp to be created") {
        anyhow::ensure!(std::time::Instant::now() < deadline, "{text}");
        text = described()?;
    }
    assert!(text.contains("RepoBinding platform-system/hello-world   Pending"), "{text}");
    assert!(text.contains("Owns nothing"), "{text}");
    assert!(text.contains("└─ WaitingFor: create what it waits for"), "{text}");
    Ok(())
}

#[test]
fn a_developer_plans_what_is_theirs_and_is_told_what_they_may_not_see() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(folder.path())?;
    let [organization, _, pipeline] = examples();
    up.ok(&["apply", "-f", &organization, "-f", &pipeline, "--wait", "60"])?;
    let ada = up.kubeconfig_as("ada", &["platform-engineering", "system:authenticated"])?;
    let edit = folder.path().join("edit.yaml");
    let text = std::fs::read_to_string(&pipeline)?.replace("branch: master", "branch: main");
    let (_, text) = text.split_once("---\n").unwrap_or(("", &text));
    std::fs::write(&edit, text)?;
    let edit = edit.to_string_lossy();

    let shown = Up::run_with(&ada, &["plan", "-f", &edit])?;
    let text = answer(&shown);
    assert_eq!(shown.status.code(), Some(2), "{text}");
    assert!(text.contains("change Pipeline team-payments/checkout\n"), "{text}");
    assert!(text.contains("-  branch: master\n+  branch: main\n"), "{text}");
    let told = "What the platform would make of this can be told only as far as you may see: cannot look at the engine: cannot read ";
    assert!(text.contains(told) && !text.contains("would be rejected"), "{text}");
    let plan: Value =
        serde_json::from_str(&answer(&Up::run_with(&ada, &["plan", "-f", &edit, "-o", "json"])?))?;
    assert_eq!(plan["summary"], json!({ "create": 0, "change": 1, "prune": 0 }));
    assert!(plan["hidden"].as_str().is_some_and(|why| why.contains("organizations")), "{plan}");

    let refused = Up::run_with(&ada, &["plan", "-f", &organization])?;
    let text = answer(&refused);
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("Organization platform-system/acme-corp would be refused: "), "{text}");
    Ok(())
}

#[test]
fn every_group_knows_the_configuration_and_what_the_platform_would_reject() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(folder.path())?;
    let [organization, _, pipeline] = examples();
    up.ok(&["apply", "-f", &organization, "-f", &pipeline, "--wait", "60"])?;
    let text = std::fs::read_to_string(&pipeline)?;
    let (_, text) = text.split_once("---\n").unwrap_or(("", &text));
    let file = |name: &str, text: &str| -> anyhow::Result<String> {
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "occupied" } });
    up.ok(&["apply", "-f", &file("namespace.json", &namespace.to_string())?])?;
    let privileged = file("privileged.yaml", &text.replacen("name: checkout", "name: kube-evil", 1))?;
    let taken = file("taken.yaml", &text.replacen("name: checkout", "name: occupied", 1))?;
    let backwards = file("backwards.yaml", &text.replacen("docs/**", "[z-a]", 1))?;
    let fine = file("fine.yaml", &text.replacen("name: checkout", "name: another", 1))?;
    for group in ["platform-engineering", "platform-operators"] {
        let ada = up.kubeconfig_as("ada", &[group, "system:authenticated"])?;
        for (file, said) in [
            (&privileged, "kube-evil would be rejected: "),
            (&taken, "occupied would be rejected: "),
            (
                &backwards,
                "checkout would be rejected: spec.pathsIgnore[0]: '[z-a]' has the range z-a, which goes backwards",
            ),
        ] {
            let planned = Up::run_with(&ada, &["plan", "-f", file])?;
            let text = answer(&planned);
            assert_eq!(planned.status.code(), Some(1), "{group}: {text}");
            assert!(text.contains(said) && !text.contains("aphex-config"), "{group}: {text}");
            assert_eq!(String::from_utf8_lossy(&planned.stderr), "", "{group}");
        }
        let planned = Up::run_with(&ada, &["plan", "-f", &fine])?;
        let text = answer(&planned);
        assert_eq!(planned.status.code(), Some(2), "{group}: {text}");
        assert!(text.contains("\n1 to create, 0 to change") && !text.contains("rejected"), "{group}: {text}");
    }
    for group in ["engineering", "admins", "platform-engineering", "platform-operators"] {
        let ada = up.kubeconfig_as("ada", &[group, "system:authenticated"])?;
        let described = Up::run_with(&ada, &["describe", "pipeline", "checkout"])?;
        let (text, errors) = (answer(&described), String::from_utf8_lossy(&described.stderr).into_owned());
        assert_eq!((described.status.code(), errors.as_str()), (Some(0), ""), "{group}: {text}");
        assert!(text.contains("checkout   Ready") && !text.contains("configmaps"), "{group}: {text}");
    }
    // Rights on Pipelines alone, of one's own making: the usual settings are assumed, and that is said.
    let own = json!({ "apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "own" },
            "rules": [
                { "apiGroups": ["platform.dev"], "resources": ["pipelines"], "verbs": ["get", "create", "patch"] },
                { "apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"] },
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "own" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "own" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "own" }],
        },
    ] });
    up.ok(&["apply", "-f", &file("own.json", &own.to_string())?])?;
    let ada = up.kubeconfig_as("ada", &["own", "system:authenticated"])?;
    let planned = Up::run_with(&ada, &["plan", "-f", &privileged])?;
    let (text, errors) = (answer(&planned), String::from_utf8_lossy(&planned.stderr).into_owned());
    assert_eq!(planned.status.code(), Some(1), "{text}\n{errors}");
    assert!(text.contains("kube-evil would be rejected: "), "{text}");
    let said =
        "you may not get ConfigMap platform-system/aphex-config: the platform's usual settings are assumed\n";
    assert_eq!(errors, said);
    let described = Up::run_with(&ada, &["describe", "pipeline", "checkout", "-n", "team-payments"])?;
    let text = answer(&described);
    assert!(text.contains("checkout   Ready") && text.contains("Owns nothing that you may see"), "{text}");
    assert!(text.contains("Runs in checkout cannot be told: you may not list them there"), "{text}");
    Ok(())
}

#[test]
fn what_is_being_deleted_is_not_said_to_stay() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(&folder.path().join("data"))?;
    let [organization, ..] = examples();
    up.ok(&["apply", "-f", &organization, "--wait", "60"])?;
    let held = std::fs::read_to_string(&organization)?.replacen(
        "metadata:\n",
        "metadata:\n  finalizers: [example.com/held]\n",
        1,
    );
    let file = folder.path().join("held.yaml");
    std::fs::write(&file, held)?;
    let file = file.to_string_lossy();
    up.ok(&["apply", "-f", &file])?;
    up.ok(&["org", "delete", "acme-corp", "--yes"])?;
    let planned = up.run(&["plan", "-f", &file])?;
    let text = answer(&planned);
    assert_eq!(planned.status.code(), Some(1), "{text}");
    assert!(text.contains("Organization platform-system/acme-corp is being deleted: "), "{text}");
    assert!(text.contains("apply it again then") && !text.contains("No changes"), "{text}");
    let plan: Value = serde_json::from_str(&answer(&up.run(&["plan", "-f", &file, "-o", "json"])?))?;
    let verdicts = plan["verdicts"].as_array().cloned().unwrap_or_default();
    assert!(verdicts.iter().any(|one| one["name"] == "acme-corp" && one["outcome"] == "deleting"), "{plan}");
    Ok(())
}

#[test]
fn a_field_that_no_kind_has_is_refused_in_one_sentence() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(&folder.path().join("data"))?;
    let file = folder.path().join("typo.yaml");
    std::fs::write(&file, std::fs::read_to_string(&examples()[1])?.replace("  branch:", "  brnch:"))?;
    let file = file.to_string_lossy();
    let planned = up.run(&["plan", "-f", &file])?;
    let text = answer(&planned);
    assert_eq!(planned.status.code(), Some(1), "{text}");
    assert!(text.contains("hello-world would be refused: ") && text.contains(".spec.brnch"), "{text}");
    let applied = up.run(&["apply", "-f", &file])?;
    let errors = String::from_utf8_lossy(&applied.stderr).into_owned();
    assert_eq!(applied.status.code(), Some(5), "{errors}");
    let lines: Vec<&str> = errors.lines().collect();
    assert!(
        matches!(lines[..], [error, next] if error.starts_with("error: ") && next.contains("kubectl explain")),
        "{errors}"
    );
    Ok(())
}

#[test]
fn a_developer_is_shown_of_a_pipeline_what_may_be_read_and_told_in_one_line_what_not() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(&folder.path().join("data"))?;
    let [organization, _, pipeline] = examples();
    up.ok(&["apply", "-f", &organization, "-f", &pipeline, "--wait", "60"])?;
    let ada = up.kubeconfig_as("ada", &["platform-engineering", "system:authenticated"])?;
    let describe = |kubeconfig: &Path, more: &[&str]| -> anyhow::Result<String> {
        let described = Up::run_with(kubeconfig, &[&["describe", "pipeline", "checkout"], more].concat())?;
        anyhow::ensure!(described.status.success(), "{}", String::from_utf8_lossy(&described.stderr));
        Ok(answer(&described))
    };
    let payload = example("github-push.json").to_string_lossy().into_owned();
    up.ok(&["push", "team-payments.checkout", "--payload", &payload, "--delivery", "seen"])?;
    let text = describe(&ada, &[])?;
    for part in [
        "Pipeline team-payments/checkout   Ready",
        "│  ├─ NamespaceReady       True   Provisioned",
        " that you may see\n",
        "Namespace checkout ",
        "Pipeline checkout/checkout ",
        "ResourceQuota checkout/",
        "Trigger org-acme-corp/checkout-trigger ",
        "Deliveries in checkout cannot be told: you may not list them there",
        "Last runs\n   └─ checkout/checkout-",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let unread: Vec<&str> = text.lines().filter(|line| line.contains("You may not read")).collect();
    let [unread] = unread.as_slice() else { anyhow::bail!("{text}") };
    for part in [
        "RepoBinding platform-system/team-payments.checkout",
        "NetworkPolicy",
        " in checkout",
        "AppProject in argocd",
    ] {
        assert!(unread.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains("What it owns cannot be told") && !text.contains("whsec_"), "{text}");

    let document: Value = serde_json::from_str(&describe(&ada, &["-o", "json"])?)?;
    let owned = document["seen"]["owned"].as_array().cloned().unwrap_or_default();
    let namespace = owned.iter().find(|one| one["kind"] == "Namespace");
    assert_eq!(namespace.map(|one| &one["health"]), Some(&json!("there")), "{document}");
    assert!(document["seen"]["unread"].as_array().is_some_and(|unread| !unread.is_empty()));

    // Of a team's own role in its tenant's namespace, its deliveries.
    let view = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "team-view", "namespace": "checkout" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "team" }],
    });
    let file = folder.path().join("view.json");
    std::fs::write(&file, view.to_string())?;
    up.ok(&["apply", "-f", &file.to_string_lossy()])?;
    let bob = up.kubeconfig_as("bob", &["team", "platform-engineering", "system:authenticated"])?;
    let text = describe(&bob, &[])?;
    assert!(text.contains("seen   push   refs/heads/master   Created"), "{text}");
    assert!(!text.contains("Deliveries in checkout cannot be told"), "{text}");
    Ok(())
}

#[test]
fn what_happened_to_another_tenant_of_the_name_is_not_told_as_ones_own() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(&folder.path().join("data"))?;
    let [organization, binding, pipeline] = examples();
    up.ok(&["apply", "-f", &organization, "-f", &binding, "-f", &pipeline, "--wait", "60"])?;
    let payload = example("github-push.json").to_string_lossy().into_owned();
    for name in ["hello-world", "team-payments.checkout"] {
        up.ok(&["push", name, "--payload", &payload])?;
    }
    let file = folder.path().join("second.yaml");
    let second = std::fs::read_to_string(&binding)?.replacen("name: hello-world", "name: second", 1);
    let other_team = std::fs::read_to_string(&pipeline)?.replace("team-payments", "team-other");
    std::fs::write(&file, format!("{second}\n---\n{other_team}"))?;
    up.ok(&["apply", "-f", &file.to_string_lossy()])?;
    let told = [("repo", "second", "platform-system"), ("pipeline", "checkout", "team-other")];
    for (kind, name, namespace) in told {
        let described = || up.ok(&["describe", kind, name, "-n", namespace]);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        let mut text = described()?;
        while !text.contains("NameTaken: choose another name") {
            anyhow::ensure!(std::time::Instant::now() < deadline, "{text}");
            text = described()?;
        }
        assert!(!text.contains("Last deliveries") && !text.contains("Last runs"), "{text}");
    }
    let text = up.ok(&["describe", "pipeline", "checkout", "-n", "team-payments"])?;
    assert!(text.contains("Last deliveries") && text.contains("Last runs"), "{text}");
    Ok(())
}

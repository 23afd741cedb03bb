//! `aphex pipeline create` and `delete`, by those who may and those who may not.

use std::path::PathBuf;

use serde_json::Value;

use super::program::{Up, example};
use super::terminal::Terminal;

/// The groups' rights on pipelines, as the capability matrix has them.
const RIGHTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: team-payments, labels: {aphex.dev/org: acme-corp}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: engineering-for-the-test}
rules:
- {apiGroups: [platform.dev], resources: [pipelines], verbs: [get, list, watch, create]}
- {apiGroups: [""], resources: [namespaces], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: engineering-for-the-test}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: engineering-for-the-test}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: platform-engineering}]
"#;

const BUILD: &str = "params: [{name: git-url}, {name: git-revision}]
tasks:
- name: greet
  taskSpec: {steps: [{name: say, image: busybox, script: 'echo hello'}]}
";

struct Scene {
    up: Up,
    build: String,
    ann: PathBuf,
    _folder: tempfile::TempDir,
}

fn scene() -> anyhow::Result<Scene> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(folder.path())?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(path("rights.yaml"), RIGHTS)?;
    std::fs::write(path("build.yaml"), BUILD)?;
    let organization = example("organization.yaml").to_string_lossy().into_owned();
    up.ok(&["apply", "-f", &organization, "-f", &path("rights.yaml"), "--wait"])?;
    let ann = up.kubeconfig_as("ann@acme-corp.com", &["platform-engineering", "system:authenticated"])?;
    Ok(Scene { up, build: path("build.yaml"), ann, _folder: folder })
}

#[test]
fn a_developer_creates_a_pipeline_is_told_of_github_and_is_refused_the_deletion() -> anyhow::Result<()> {
    let Scene { up, build, ann, _folder } = scene()?;
    let create = [
        "pipeline",
        "create",
        "shop",
        "-n",
        "team-payments",
        "--repo",
        "acme/shop",
        "--pipeline",
        &build,
        "--wait",
    ];
    let output = Up::run_with(&ann, &create)?;
    let (said, progress) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert_eq!(output.status.code(), Some(0), "{progress}");
    for part in [
        "shop is Ready: pushes to main of acme/shop",
        "https://github.com/acme/shop/settings/hooks/new",
        "/acme-corp\n",
        "aphex repo get team-payments.shop -o jsonpath='{.status.webhookSecret}'",
        "aphex push team-payments.shop",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert!(progress.contains("waiting until it is Ready"), "{progress}");
    assert!(!said.contains("whsec_"), "{said}");
    let secret = up.ok(&["repo", "get", "team-payments.shop", "-o", "jsonpath={.status.webhookSecret}"])?;
    assert!(secret.starts_with("whsec_"), "what the instructions say prints the secret");

    let twice = Up::run_with(&ann, &create)?;
    let told = String::from_utf8(twice.stderr)?;
    assert_eq!(twice.status.code(), Some(5));
    assert!(told.contains("already exists") && told.contains("next: choose another name"), "{told}");

    let refused = Up::run_with(&ann, &["pipeline", "delete", "shop", "-n", "team-payments", "--yes"])?;
    let told = String::from_utf8(refused.stderr)?;
    assert_eq!(refused.status.code(), Some(5), "{told}");
    for part in [
        "you (ann@acme-corp.com, groups platform-engineering) may not delete pipelines.platform.dev \"shop\" in namespace team-payments",
        "members of the group platform-operators may",
        "aphex login",
    ] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    assert!(
        up.ok(&["pipeline", "list", "-o", "name"])?.contains("pipeline.platform.dev/shop"),
        "it is still there"
    );

    let deleted = up.ok(&["pipeline", "delete", "shop", "-n", "team-payments", "--yes", "--wait"])?;
    assert_eq!(deleted, "pipeline.platform.dev/shop deleted\n");
    assert_eq!(up.run(&["pipeline", "get", "shop"])?.status.code(), Some(4), "waiting was to the end");
    Ok(())
}

#[test]
fn a_terminal_is_asked_for_what_is_missing_and_whether_to_delete() -> anyhow::Result<()> {
    let Scene { up, build, ann, _folder } = scene()?;
    let mut terminal = Terminal::start(&ann, &["pipeline", "create"])?;
    terminal.answer("Namespace", "team-payments")?;
    terminal.answer("Name", "asked")?;
    terminal.answer("GitHub repository", "acme/asked")?;
    terminal.answer("Branch", "")?;
    terminal.answer("File with the Tekton Pipeline", &build)?;
    let (code, shown) = terminal.end()?;
    assert_eq!(code, Some(0), "{shown}");
    let made: Value = serde_json::from_str(&up.ok(&["pipeline", "get", "asked", "-o", "json"])?)?;
    let spec = &made["spec"];
    assert_eq!(
        [&spec["organization"], &spec["repository"]["name"], &spec["branch"]],
        ["acme-corp", "asked", "main"],
        "the organization is the namespace's"
    );

    let delete = ["pipeline", "delete", "asked", "-n", "team-payments"];
    let mut terminal = Terminal::start(&up.kubeconfig, &delete)?;
    terminal.answer("Delete pipeline asked with its tenant namespace", "n")?;
    let (code, shown) = terminal.end()?;
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("nothing was done"), "{shown}");
    up.ok(&["pipeline", "get", "asked"])?;
    Ok(())
}

#[test]
fn a_pipeline_comes_from_a_file_or_standard_input_and_only_where_pipelines_live() -> anyhow::Result<()> {
    let Scene { up, build, .. } = &scene()?;
    let whole = |name: &str, namespace: &str| {
        format!(
            "apiVersion: platform.dev/v1alpha1\nkind: Pipeline\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec:\n  organization: acme-corp\n  repository: {{org: acme, name: {name}}}\n  pipeline:\n    spec:\n      \
             params: [{{name: git-url}}]\n      tasks: []\n"
        )
    };
    let made = up.feed(&["pipeline", "create", "-f", "-"], whole("piped", "team-payments").as_bytes())?;
    assert_eq!(String::from_utf8(made.stdout)?, "pipeline.platform.dev/piped created\n");
    let named = up
        .feed(&["pipeline", "create", "-f", "-", "-o", "name"], whole("named", "team-payments").as_bytes())?;
    assert_eq!(String::from_utf8(named.stdout)?, "pipeline.platform.dev/named\n");

    for (arguments, input, said) in [
        (&["-f", "-"][..], whole("lost", "default"), "live in namespaces user-… and team-…"),
        (&["-f", "-", "-n", "team-other"], whole("lost", "team-payments"), "leave one of them out"),
        (&["-f", "-"], "kind: Namespace\napiVersion: v1\n".to_owned(), "must hold one Pipeline"),
        (&["x", "-n", "team-payments", "--pipeline", build], String::new(), "missing: --repo"),
        (&["x", "-n", "team-payments", "--repo", "shop", "--pipeline", build], String::new(), "OWNER/NAME"),
    ] {
        let arguments = [&["pipeline", "create"], arguments].concat();
        let output = up.feed(&arguments, input.as_bytes())?;
        let told = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(said), "{arguments:?}: {told}");
    }
    Ok(())
}

#[test]
fn waiting_ends_at_once_where_the_spec_has_to_be_changed() -> anyhow::Result<()> {
    let Scene { up, build, .. } = &scene()?;
    let create =
        ["pipeline", "create", "x", "-n", "team-payments", "--repo", "acme/shop", "--pipeline", build];
    let unknown = [&create[..], &["--template", "none", "--wait", "600"]].concat();
    let output = up.run(&unknown)?;
    let told = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(5), "{told}");
    assert!(told.contains("will not become Ready") && told.contains("change the spec"), "{told}");
    Ok(())
}

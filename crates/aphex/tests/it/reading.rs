//! The one shape of all commands that read: forms of output, labels, watching, and errors that help.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aphex_testkit::{engine, left_out};
use serde_json::Value;

use super::program::{Up, aphex, example};
use super::terminal::Terminal;

const PATIENCE: Duration = Duration::from_mins(1);

fn scene() -> anyhow::Result<(tempfile::TempDir, Up)> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(folder.path())?;
    let paths =
        ["organization.yaml", "repo-binding.yaml"].map(|name| example(name).to_string_lossy().into_owned());
    up.ok(&["apply", "-f", &paths[0], "-f", &paths[1], "--wait", "60"])?;
    Ok((folder, up))
}

#[test]
fn every_form_of_output_says_the_same() -> anyhow::Result<()> {
    let (_folder, up) = scene()?;
    let form = |format: &str| up.ok(&["repo", "get", "hello-world", "-o", format]);
    assert!(form("table")?.starts_with("NAME          ORGANIZATION   REPOSITORY"));
    assert!(form("wide")?.contains("WEBHOOK URL"));
    assert_eq!(serde_json::from_str::<Value>(&form("json")?)?["metadata"]["name"], "hello-world");
    assert!(form("yaml")?.contains("\n  name: hello-world\n"));
    assert_eq!(form("name")?, "repobinding.aphex.io/hello-world\n");
    assert_eq!(form("jsonpath={.metadata.name} {.status.phase}")?, "hello-world Ready\n");
    let range = "jsonpath={range .items[*]}{.kind}={.spec.repoName}{\"\\n\"}{end}";
    assert_eq!(up.ok(&["repo", "list", "-o", range])?, "RepoBinding=Hello-World\n");
    let bad = up.run(&["repo", "list", "-o", "jsonpath={.kind"])?;
    assert_eq!(bad.status.code(), Some(2), "a template is read before anything is asked");
    assert_eq!(up.run(&["repo", "list", "-o", "xml"])?.status.code(), Some(2));
    assert_eq!(up.ok(&["repo", "list", "-l", "none=of-them", "-o", "name"])?, "");
    for verb in ["describe repo hello-world", "doctor", "version"] {
        let words: Vec<&str> = verb.split(' ').chain(["-o", "jsonpath={.kind}"]).collect();
        let output = up.run(&words)?;
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "{verb}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

#[test]
fn templates_print_what_kubectl_prints() -> anyhow::Result<()> {
    let Some(kubectl) = engine("kubectl")? else {
        left_out("templates beside kubectl's", "it is not built");
        return Ok(());
    };
    let (_folder, up) = scene()?;
    for template in [
        "{.items[0].metadata.name}",
        "{.items[*].kind}",
        "{range .items[*]}{.metadata.name}{\"\\t\"}{.status.phase}{\"\\n\"}{end}",
        "{.items[0].status.conditions[?(@.type==\"Ready\")].status}",
        "{.items[0].status.conditions[?(@.status=='True')].type}",
        "{.items[0].status.conditions[-1:].reason} of {.items[0].spec.repoOrg}",
        "{.items[*].spec.none}",
        "{.items[0].status.provisionedResources.namespace}",
        "{.items[0].metadata.generation}{\"\\n\"}",
        "{.items[0].status.namespaceCreated}",
        "{..phase}",
        "{.items[0].spec.pipelineName}-{$.apiVersion}",
    ] {
        let output = format!("jsonpath={template}");
        let ours = up.run(&["repo", "list", "-o", &output])?;
        let theirs = Command::new(&kubectl)
            .arg("--kubeconfig")
            .arg(&up.kubeconfig)
            .args(["get", "repobindings", "-n", "platform-system", "-o", &output])
            .output()?;
        assert_eq!(ours.status.success(), theirs.status.success(), "{template}: {ours:?} {theirs:?}");
        let text =
            |bytes: Vec<u8>| String::from_utf8(bytes).map(|text| text.trim_end_matches('\n').to_owned());
        assert_eq!(text(ours.stdout)?, text(theirs.stdout)?, "{template}");
    }
    Ok(())
}

#[test]
fn watching_shows_what_is_there_and_then_each_change() -> anyhow::Result<()> {
    let (folder, up) = scene()?;
    let watch = |format: &str| {
        aphex()
            .arg("--kubeconfig")
            .arg(&up.kubeconfig)
            .args(["org", "list", "--watch", "-o", format])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
    };
    let (mut table, mut names) = (watch("table")?, watch("name")?);
    let lines = |child: &mut std::process::Child| {
        child.stdout.take().map(|output| BufReader::new(output).lines().map_while(Result::ok))
    };
    let (Some(mut rows), Some(mut titles)) = (lines(&mut table), lines(&mut names)) else {
        anyhow::bail!("no output")
    };
    assert!(rows.next().is_some_and(|head| head.starts_with("NAME")), "the head comes once");
    assert!(rows.next().is_some_and(|row| row.starts_with("acme-corp")));
    assert_eq!(titles.next().as_deref(), Some("organization.aphex.io/acme-corp"));

    let file = folder.path().join("second.yaml");
    let text = std::fs::read_to_string(example("organization.yaml"))?.replace("acme-corp", "globex");
    std::fs::write(&file, text)?;
    up.ok(&["org", "apply", "-f", &file.to_string_lossy(), "--wait"])?;
    let row = rows.find(|row| row.contains("Active") && row.starts_with("globex"));
    assert!(row.is_some(), "the second organization, once it is Active");
    assert_eq!(titles.next().as_deref(), Some("organization.aphex.io/globex"));
    up.ok(&["org", "delete", "globex", "--yes", "--wait", "60"])?;
    let gone = rows.find(|row| row == "organization.aphex.io/globex deleted");
    assert!(gone.is_some(), "its end is no row like that of a change");
    for mut child in [table, names] {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

#[test]
fn a_kind_of_its_own_is_applied_and_deleted_and_others_are_not() -> anyhow::Result<()> {
    let (_folder, up) = scene()?;
    let (organization, binding) = (example("organization.yaml"), example("repo-binding.yaml"));
    let other =
        up.run(&["org", "apply", "-f", &organization.to_string_lossy(), "-f", &binding.to_string_lossy()])?;
    assert_eq!(other.status.code(), Some(2));
    assert!(
        String::from_utf8(other.stderr)?
            .contains("repobinding.aphex.io/hello-world is not of kind Organization")
    );
    assert_eq!(up.run(&["repo", "delete", "hello-world"])?.status.code(), Some(2), "nobody can be asked");
    assert_eq!(
        up.ok(&["repo", "delete", "hello-world", "--yes", "--wait", "60"])?,
        "repobinding.aphex.io/hello-world deleted\n"
    );
    assert_eq!(
        up.ok(&["org", "delete", "acme-corp", "-y", "--wait"])?,
        "organization.aphex.io/acme-corp deleted\n"
    );
    assert_eq!(up.ok(&["org", "list", "-o", "name"])?, "");
    Ok(())
}

#[test]
fn an_error_says_what_to_do_next() -> anyhow::Result<()> {
    let (_folder, mut up) = scene()?;
    let said = |output: std::process::Output| -> anyhow::Result<(Option<i32>, String)> {
        Ok((output.status.code(), String::from_utf8(output.stderr)?))
    };
    let (code, told) = said(up.run(&["repo", "get", "helo-world"])?)?;
    assert!(code == Some(4) && told.contains("did you mean \"hello-world\"?"), "{told}");
    let (code, told) = said(up.run(&["repo", "list", "--context", "aphx"])?)?;
    assert!(code == Some(4) && told.contains("did you mean \"aphex-admin\"?"), "{told}");

    let nobody = up.kubeconfig_as("nobody", &["system:authenticated"])?;
    let (code, told) = said(Up::run_with(&nobody, &["pipeline", "list"])?)?;
    assert_eq!(code, Some(5), "{told}");
    assert!(
        told.contains("cannot list resource \"pipelines\"") && told.contains("next: give a namespace"),
        "{told}"
    );
    assert!(told.contains("platform-engineering"), "{told}");

    let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(&up.kubeconfig)?)?;
    config["users"][0]["user"] = serde_json::json!({ "token": "expired" });
    let stranger = up.kubeconfig.with_file_name("stranger");
    std::fs::write(&stranger, config.to_string())?;
    let (code, told) = said(Up::run_with(&stranger, &["org", "list"])?)?;
    assert!(code == Some(5) && told.contains("next: run `aphex login`"), "{told}");

    up.kill();
    let (code, told) = said(up.run(&["org", "list"])?)?;
    assert!(code == Some(6) && told.contains("`aphex up` starts one"), "{told}");
    Ok(())
}

#[test]
fn the_namespace_of_the_context_counts_where_none_is_given() -> anyhow::Result<()> {
    let (folder, up) = scene()?;
    let nobody = up.kubeconfig_as("nobody", &["system:authenticated"])?;
    let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(nobody)?)?;
    config["contexts"][0]["context"]["namespace"] = "hello-world".into();
    let here = folder.path().join("here");
    std::fs::write(&here, config.to_string())?;
    let within = "in the namespace \"hello-world\"";
    let cases: [(&[&str], &str); 8] = [
        (&["run", "list"], within),
        (&["run", "get", "any"], within),
        (&["logs", "--last"], within),
        (&["delivery", "list"], within),
        (&["pipeline", "delete", "any", "--yes"], within),
        (&["run", "list", "-n", "team-x"], "in the namespace \"team-x\""),
        (&["run", "list", "-A"], "at the cluster scope"),
        (&["repo", "list"], "in the namespace \"platform-system\""),
    ];
    for (arguments, place) in cases {
        let refused = Up::run_with(&here, arguments)?;
        let told = String::from_utf8(refused.stderr)?;
        assert!(refused.status.code() == Some(5) && told.contains(place), "{arguments:?}: {told}");
    }
    // What a tenant's people have, as on a cluster with Tekton.
    let binding = folder.path().join("binding.json");
    let granted = serde_json::json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "people", "namespace": "hello-world" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody" }],
    });
    std::fs::write(&binding, granted.to_string())?;
    up.ok(&["apply", "-f", &binding.to_string_lossy()])?;
    for command in ["run", "delivery"] {
        let listed = Up::run_with(&here, &[command, "list"])?;
        let told = String::from_utf8(listed.stderr)?;
        assert!(listed.status.success() && told.contains("in hello-world"), "{command}: {told}");
    }
    Ok(())
}

#[test]
fn lists_of_all_namespaces_say_where_each_is() -> anyhow::Result<()> {
    let (_folder, up) = scene()?;
    let all = up.ok(&["repo", "list", "-A"])?;
    assert!(all.starts_with("NAMESPACE         NAME          ORGANIZATION"), "{all}");
    assert!(all.contains("\nplatform-system   hello-world"), "{all}");
    assert!(up.ok(&["pipeline", "list", "--all-namespaces", "-o", "json"])?.contains("\"items\""));
    for noun in ["org", "repo", "pipeline", "kb", "delivery", "run"] {
        up.ok(&[noun, "list", "-A", "-o", "name"])?;
        let both = up.run(&[noun, "list", "-A", "-n", "default"])?;
        assert_eq!(both.status.code(), Some(2), "{noun}: one namespace or all");
    }
    Ok(())
}

#[test]
fn words_that_say_how_something_is_have_its_colour_where_colours_are_wanted() -> anyhow::Result<()> {
    let (_folder, up) = scene()?;
    let always = up.ok(&["repo", "list", "--color", "always"])?;
    assert!(always.contains("\u{1b}[32mReady\u{1b}[0m"), "{always:?}");
    let plain = up.ok(&["repo", "list"])?;
    // The last column tells the age, which goes on.
    let without_age = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.rsplit_once("   ")?.0.to_owned())).collect()
    };
    assert_eq!(
        without_age(&always.replace("\u{1b}[32m", "").replace("\u{1b}[0m", "")),
        without_age(&plain),
        "columns stay where they are"
    );
    assert!(!up.ok(&["repo", "list", "-o", "json", "--color", "always"])?.contains('\u{1b}'));

    let end = |arguments: &[&str]| Terminal::start(&up.kubeconfig, arguments)?.end();
    // Programs under test are told NO_COLOR.
    let (_, shown) = end(&["repo", "list"])?;
    assert!(!shown.contains("\u{1b}[32m"), "{shown:?}");
    let mut command = aphex();
    command.env_remove("NO_COLOR");
    let (_, shown) = Terminal::start_as(command, &up.kubeconfig, &["repo", "list"])?.end()?;
    assert!(shown.contains("\u{1b}[32mReady\u{1b}[0m"), "{shown:?}");
    let mut command = aphex();
    command.env_remove("NO_COLOR");
    let (_, shown) =
        Terminal::start_as(command, &up.kubeconfig, &["repo", "list", "--color", "never"])?.end()?;
    assert!(!shown.contains("\u{1b}[32m"), "{shown:?}");

    // A binding of an organization that is not there waits; one whose names differ has failed.
    let text = std::fs::read_to_string(example("repo-binding.yaml"))?.replace("acme-corp", "nowhere");
    let waiting = text.replace("hello-world", "waiting");
    let failed = text.replace("name: hello-world", "name: wrong").replace("hello-world", "wrong-one");
    for (object, shown) in [(waiting, "\u{1b}[33mPending"), (failed, "\u{1b}[31mFailed")] {
        up.feed(&["apply", "-f", "-"], object.as_bytes())?;
        let deadline = Instant::now() + PATIENCE;
        while !up.ok(&["repo", "list", "--color", "always"])?.contains(shown) {
            assert!(Instant::now() < deadline, "{}", up.ok(&["repo", "list", "--color", "always"])?);
        }
    }
    Ok(())
}

#[test]
fn describing_goes_on_while_something_changes_and_ends_with_the_object() -> anyhow::Result<()> {
    let (_folder, up) = scene()?;
    let mut child = aphex()
        .arg("--kubeconfig")
        .arg(&up.kubeconfig)
        .args(["describe", "repo", "hello-world", "--watch"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().map(|output| BufReader::new(output).lines().map_while(Result::ok));
    let Some(mut lines) = output else { anyhow::bail!("no output") };
    assert!(
        lines.next().is_some_and(|head| head.starts_with("RepoBinding platform-system/hello-world   Ready"))
    );
    let payload = example("github-push.json");
    up.ok(&["push", "hello-world", "--payload", &payload.to_string_lossy()])?;
    assert!(lines.any(|line| line.contains("Last deliveries")), "the push is shown");
    assert!(lines.any(|line| line.contains("Last runs")), "and the run that it made");
    // One that makes no run changes nothing but its delivery.
    let other = std::fs::read_to_string(&payload)?.replace("refs/heads/master", "refs/heads/other");
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), other)?;
    up.ok(&["push", "hello-world", "--payload", &file.path().to_string_lossy()])?;
    assert!(lines.any(|line| line.contains("refs/heads/other")), "a push that nobody wants is shown as well");
    up.ok(&["repo", "delete", "hello-world", "--yes", "--wait", "60"])?;
    let mut rest = String::new();
    for line in lines.by_ref() {
        rest.push_str(&line);
    }
    let ended = child.wait_with_output()?;
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("hello-world is deleted"), "{rest}");
    Ok(())
}

#[test]
fn what_is_applied_deleted_or_cancelled_is_printed_in_the_form_that_was_asked_for() -> anyhow::Result<()> {
    let (_folder, up) = scene()?;
    let file = example("organization.yaml");
    let file = file.to_string_lossy();
    assert_eq!(up.ok(&["apply", "-f", &file, "-o", "name"])?, "organization.aphex.io/acme-corp\n");
    let applied: Value =
        serde_json::from_str(&up.ok(&["org", "apply", "-f", &file, "--wait", "-o", "json"])?)?;
    assert_eq!((&applied["kind"], &applied["status"]["phase"]), (&"Organization".into(), &"Active".into()));
    assert!(applied["metadata"]["managedFields"].is_null(), "{applied}");
    let deleted = up.ok(&["repo", "delete", "hello-world", "--yes", "--wait", "-o", "name"])?;
    assert_eq!(deleted, "repobinding.aphex.io/hello-world\n");
    Ok(())
}

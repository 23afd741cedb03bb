//! What is made of events that are odd, and of files that say less than they seem to: `trigger test` and `trigger backtest`.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use super::program::{Up, aphex, example};
use super::why::{changed, pushed, text};

/// Runs `aphex trigger test` where there is no server.
fn test(file: &Path, payload: &Path, more: &[&str]) -> anyhow::Result<Output> {
    let mut command = aphex();
    command.args(["trigger", "test", "-f"]).arg(file).arg("--payload").arg(payload).args(more);
    command.env("HOME", "/nonexistent").env("KUBECONFIG", "/nonexistent");
    Ok(command.output()?)
}

/// A file in a folder, with the content.
fn file(folder: &Path, name: &str, content: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, content)?;
    Ok(path)
}

/// The example's push with another branch.
fn push(git_ref: &str) -> anyhow::Result<Value> {
    let mut event: Value = serde_json::from_str(&std::fs::read_to_string(example("github-push.json"))?)?;
    event["ref"] = git_ref.into();
    Ok(event)
}

/// Ends one line, begins another, and colours both.
const FORGED: &str =
    "refs/heads/x\u{1b}[31m…\u{1b}]0;owned\u{7}\nVerdict    Created: created PipelineRun hello-world/fake";

/// No line is the payload's own, and nothing in it moves the terminal.
fn is_plain(told: &str) -> bool {
    let controls = told.chars().any(|letter| letter.is_control() && letter != '\n');
    !controls && !told.lines().any(|line| line.starts_with("Verdict    Created"))
}

#[test]
fn a_payload_does_not_speak_in_our_name() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let event = file(folder.path(), "event.json", &push(FORGED)?.to_string())?;
    let offline = text(&test(&example("trigger.yaml"), &event, &[])?).0;
    let shown = "body.ref = refs/heads/x\\x1b[31m…\\x1b]0;owned\\x07\\nVerdict    Created";
    assert!(is_plain(&offline) && offline.contains(shown), "{offline}");

    let up = pushed(&folder.path().join("data"))?;
    up.ok(&["push", "hello-world", "--payload", &event.to_string_lossy(), "--delivery", "forged"])?;
    for words in [
        &["delivery", "get", "forged"][..],
        &["delivery", "list", "-o", "wide"],
        &["describe", "repo", "hello-world"],
        &["delivery", "replay", "forged", "--dry-run"],
    ] {
        let told = up.ok(words)?;
        assert!(is_plain(&told), "{words:?}: {told}");
    }
    let told = up.ok(&["delivery", "get", "forged", "--color", "always"])?;
    assert!(told.contains("Verdict    \u{1b}[1mNotWanted\u{1b}[0m: "), "colours of ours stay: {told}");
    assert!(!told.contains("\u{1b}[31m…"), "{told}");
    let one: Value = serde_json::from_str(&up.ok(&["delivery", "get", "forged", "-o", "json"])?)?;
    assert_eq!(one["spec"]["ref"], FORGED, "programs get what there is");
    Ok(())
}

/// The example's trigger for GitLab's events, or with something else in place of its parts.
fn gitlab() -> String {
    let text = "
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: example}
stringData: {secret: a token}
---
apiVersion: triggers.tekton.dev/v1beta1
kind: Trigger
metadata: {name: tags, namespace: example}
spec:
  interceptors:
  - ref: {name: gitlab, kind: ClusterInterceptor}
    params:
    - {name: secretRef, value: {secretName: token, secretKey: secret}}
    - {name: eventTypes, value: [Push Hook, Tag Push Hook]}
  template: {spec: {resourcetemplates: [{apiVersion: v1, kind: ConfigMap, metadata: {name: made}}]}}
";
    text.to_owned()
}

#[test]
fn events_of_gitlab_are_gitlabs_and_signed_as_gitlab_signs() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let trigger = file(folder.path(), "gitlab.yaml", &gitlab())?;
    let event = file(folder.path(), "event.json", &push("refs/tags/v1")?.to_string())?;
    let header = ["--header", "X-Gitlab-Event=Tag Push Hook"];
    let done = test(&trigger, &event, &header)?;
    assert_eq!(done.status.code(), Some(0), "{:?}", text(&done));
    for (content, code) in [("a token\n", 0), ("another", 1)] {
        let secret = file(folder.path(), "secret", content)?;
        let signed =
            test(&trigger, &event, &[&header[..], &["--secret-file", &secret.to_string_lossy()]].concat())?;
        assert_eq!(signed.status.code(), Some(code), "{:?}", text(&signed));
    }
    let github = test(&trigger, &event, &[&header[..], &["--event", "push"]].concat())?;
    assert_eq!(github.status.code(), Some(3), "who says so has an event of GitHub: {:?}", text(&github));
    Ok(())
}

#[test]
fn files_that_cannot_be_tried_say_so() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let event = example("github-push.json");
    let trigger = std::fs::read_to_string(example("trigger.yaml"))?;
    let binding = std::fs::read_to_string(example("repo-binding.yaml"))?;
    let alone =
        trigger.split("\n---\n").find(|part| part.contains("kind: EventListener")).unwrap_or_default();
    let unread = alone.replace("serviceAccountName: ", "serviceAccountName: [a] # ");
    for (content, more, said) in [
        (
            trigger.replace("kind: Trigger\n", "kind: Triger\n"),
            &[][..],
            "no kind Triger in triggers.tekton.dev: did you mean Trigger?",
        ),
        (binding, &[], "the files have no trigger: controllers make one of a binding"),
        (String::new(), &[], "the files hold no objects\n"),
        (
            gitlab(),
            &["--listener", "nix"],
            "no EventListener \"nix\" in the files, which have none: leave out --listener",
        ),
        (format!("{}---\n{unread}", gitlab()), &[], "it cannot be read, and counts as not there"),
        (
            trigger.replace("body.ref ==", "body.ref ==="),
            &["-o", "name"],
            "problem: Trigger example/example-trigger: ",
        ),
    ] {
        let tried = test(&file(folder.path(), "tried.yaml", &content)?, &event, more)?;
        let (answer, errors) = text(&tried);
        assert_eq!(tried.status.code(), Some(1), "{answer}{errors}");
        assert!(
            errors.contains(said) && !errors.contains("Problem {"),
            "{said:?} is not said: {answer}{errors}"
        );
    }
    let both = test(Path::new("-"), Path::new("-"), &[])?;
    assert_eq!(both.status.code(), Some(2), "{:?}", text(&both));
    let marked = format!("\u{feff}{}", std::fs::read_to_string(&event)?);
    let marked = test(&example("trigger.yaml"), &file(folder.path(), "marked.json", &marked)?, &[])?;
    assert_eq!(marked.status.code(), Some(0), "{:?}", text(&marked));
    // What cannot be written is no answer.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
    let lost = aphex().args(["version", "--client", "-o", "json"]).stdout(full).output()?;
    assert_eq!(lost.status.code(), Some(1), "{lost:?}");
    assert!(text(&lost).1.contains("cannot write the answer to standard output: No space left"), "{lost:?}");
    let usage = aphex().args(["trigger", "backtest", "--bogus"]).output()?;
    assert_eq!(usage.status.code(), Some(1), "2 says that some differ");
    Ok(())
}

#[test]
fn a_backtest_says_what_it_did_not_try() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = pushed(&folder.path().join("data"))?;
    let backtest = |content: &str, more: &[&str]| {
        let path = file(folder.path(), "changed.yaml", content)?.to_string_lossy().into_owned();
        let words = [&["trigger", "backtest", "-f", &path], more].concat();
        let output = up.run(&words)?;
        anyhow::Ok((output.status.code(), text(&output)))
    };
    // The object that people change is a binding; its trigger is what the controllers would make of it.
    let mut binding: Value = serde_saphyr::from_str(&std::fs::read_to_string(example("repo-binding.yaml"))?)?;
    binding["spec"]["branch"] = json!("release");
    let (code, (told, errors)) = backtest(&binding.to_string(), &[])?;
    assert_eq!(code, Some(2), "{told}{errors}");
    assert!(
        told.contains("  changed  NotWanted: ")
            && told.ends_with("1 evaluated, 1 would be decided otherwise.\n"),
        "{told}"
    );
    binding["spec"]["repoOrg"] = json!("not/one");
    let (code, (told, errors)) = backtest(&binding.to_string(), &[])?;
    assert!(code == Some(1) && errors.contains("repobinding"), "{told}{errors}");

    let trigger = changed("release");
    let (code, (told, errors)) = backtest(&trigger.replace("kind: Trigger\n", "kind: Triger\n"), &[])?;
    assert!(code == Some(1) && errors.contains("no kind Triger"), "{told}{errors}");
    let nowhere = trigger.replace(", namespace: org-acme-corp", "");
    let (code, (told, errors)) = backtest(&nowhere, &["-o", "name"])?;
    let idle =
        "Trigger default/hello-world-trigger: it replaces nothing, and no listener offers events to it";
    assert!(code == Some(1) && errors.contains(idle), "{told}{errors}");
    let listener = "{apiVersion: triggers.tekton.dev/v1beta1, kind: EventListener, metadata: {name: github-listener}, \
                    spec: {namespaceSelector: {matchNames: [none]}}}";
    let (code, (_, errors)) = backtest(listener, &[])?;
    assert!(
        code == Some(1) && errors.contains("EventListener default/github-listener: it replaces nothing"),
        "{errors}"
    );
    // A service that is not asked leaves the question open, and says how to have it asked.
    let service = trigger.replace(
        "  interceptors:\n",
        "  interceptors:\n  - {name: judge, webhook: {objectRef: {apiVersion: v1, kind: Service, name: judge}}}\n",
    );
    assert_ne!(service, trigger);
    let (code, (told, errors)) = backtest(&service, &[])?;
    assert_eq!(code, Some(1), "{told}{errors}");
    assert!(
        told.starts_with(
            "1 evaluated, 0 would be decided otherwise. 1 could not be decided, such as hello-world/first"
        ) && told.contains("--allow-calls has the services asked"),
        "{told}"
    );
    let (_, (told, _)) = backtest(&service, &["-o", "json"])?;
    let document: Value = serde_json::from_str(&told)?;
    assert_eq!(document["undecided"][0]["name"], "first", "{document}");
    // One more trigger for the secret that does not want the event changes nothing.
    let beside = changed("release").replace("name: hello-world-trigger", "name: beside");
    let (code, (told, errors)) = backtest(&beside, &[])?;
    assert_eq!((code, told.as_str()), (Some(0), "1 evaluated, 0 would be decided otherwise.\n"), "{errors}");
    // One for another secret was asked by nothing, and one for none never is.
    let other = beside.replace("webhook-hello-world", "webhook-other");
    let (code, (told, errors)) = backtest(&other, &[])?;
    let remark =
        "Trigger org-acme-corp/beside: asked by none of 1 delivery: none was signed with its secret\n";
    assert!(code == Some(0) && told.ends_with(remark), "{told}{errors}");
    let open = beside.replace("secretRef", "other");
    let (code, (_, errors)) = backtest(&open, &[])?;
    assert!(
        code == Some(1)
            && errors.contains("Trigger org-acme-corp/beside, which has no interceptor with a secretRef"),
        "{errors}"
    );
    let (code, (_, errors)) =
        backtest(&trigger.replace("triggers.tekton.dev/v1beta1", "triggers.tekton.dev/v9"), &[])?;
    assert!(code == Some(1) && errors.contains("no version v9 in triggers.tekton.dev"), "{errors}");
    let mut lost: Value = serde_saphyr::from_str(&std::fs::read_to_string(example("repo-binding.yaml"))?)?;
    lost["spec"]["aphexOrg"] = json!("nobody");
    let (code, (told, errors)) = backtest(&lost.to_string(), &[])?;
    assert!(code == Some(1) && errors.contains("problem:"), "{told}{errors}");
    // Where deliveries are is another thing than where triggers are.
    let (code, (told, errors)) = backtest(&trigger, &["-n", "hello-world"])?;
    assert_eq!(code, Some(2), "{told}{errors}");
    let (code, (_, errors)) = backtest("{apiVersion: v1, kind: Pod, metadata: {name: p}}", &[])?;
    assert!(code == Some(1) && errors.contains("nothing that a trigger is made of"), "{errors}");
    Ok(())
}

#[test]
fn a_delivery_is_taken_by_what_lists_print_and_given_byte_by_byte() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = pushed(folder.path())?;
    let name = up.ok(&["delivery", "list", "--verdict", "Created", "-o", "name"])?;
    assert_eq!(name.trim_end(), "delivery.aphex.io/first");
    let payload = up.run(&["delivery", "get", name.trim_end(), "--payload"])?;
    assert_eq!(payload.stdout, std::fs::read(example("github-push.json"))?);
    assert!(up.ok(&["delivery", "replay", name.trim_end(), "--dry-run"])?.contains("Created"));
    let checks = up.ok(&["repo", "check", "hello-world", "-o", "name"])?;
    assert!(checks.contains("ok/trigger-object\n"), "{checks}");
    let again =
        up.ok(&["push", "hello-world", "--payload", &example("github-push.json").to_string_lossy()])?;
    assert!(!again.contains("\n\n"), "{again}");
    // An id that another payload had is not the Delivery's name; the verdict is that of what was sent.
    let other = push("refs/heads/topic")?.to_string();
    let words = ["push", "hello-world", "--payload", "-", "--delivery", "first"];
    let (told, errors) = text(&up.feed(&words, other.as_bytes())?);
    assert!(told.contains("did not return true") && !told.contains("created "), "{told}{errors}");
    let (told, errors) = text(&up.feed(&[&words[..], &["-o", "name"]].concat(), other.as_bytes())?);
    assert!(told.starts_with("delivery.aphex.io/") && told != "delivery.aphex.io/first\n", "{told}{errors}");
    let ping = up.feed(&["push", "hello-world", "--payload", "-", "--event", "ping"], other.as_bytes())?;
    assert!(text(&ping).0.contains("GitHub's greeting"), "{ping:?}");
    let nobody =
        up.feed(&["push", "hello-world", "--payload", "-", "--url", "http://127.0.0.1:1/a"], b"{}")?;
    assert!(
        nobody.status.code() == Some(6) && text(&nobody).1.contains("aphex repo check hello-world"),
        "{nobody:?}"
    );
    Ok(())
}

#[test]
fn people_of_a_tenant_may_try_triggers_where_they_may_also_see_them() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = pushed(&folder.path().join("data"))?;
    let binding = "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: ada, namespace: hello-world}, \
        roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}, \
        subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: ada}]}";
    let binding = file(folder.path(), "binding.yaml", binding)?;
    up.ok(&["apply", "-f", &binding.to_string_lossy()])?;
    let trigger = file(folder.path(), "changed.yaml", &changed("release"))?.to_string_lossy().into_owned();
    let backtest = ["trigger", "backtest", "-n", "hello-world", "-f", &trigger];
    for (groups, code, said) in [
        (&[][..], 1, "cannot list eventlisteners in org-acme-corp"),
        (&["engineering"], 2, "1 evaluated, 1 would be decided otherwise."),
    ] {
        let kubeconfig = up.kubeconfig_as("ada", groups)?;
        assert_eq!(
            Up::run_with(&kubeconfig, &["delivery", "get", "first", "-n", "hello-world"])?.status.code(),
            Some(0)
        );
        let output = Up::run_with(&kubeconfig, &backtest)?;
        let (told, errors) = text(&output);
        assert!(
            output.status.code() == Some(code) && format!("{told}{errors}").contains(said),
            "{told}{errors}"
        );
    }
    Ok(())
}

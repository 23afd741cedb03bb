//! Signed dry runs, as GitHub would send events: whether the secret is the right one, the trigger fires, and the engine would take the run.

use anyhow::Context as _;
use aphex_api::glob::{Glob, Over};
use aphex_api::repo_binding::{BindingEvent, RepoBinding};
use aphex_gateway::rehearsal::FIELD;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::network;
use crate::commands::look::text;
use crate::commands::push::new_id;
use crate::commands::report::{Check, Report};

/// A commit that is none.
const REVISION: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

/// Sends a ping, then an event that the binding wants.
pub(super) async fn walk(
    binding: &RepoBinding,
    url: &str,
    secret: Option<&str>,
    reached: bool,
    objects: &Report,
    report: &mut Report,
) {
    let (Some(secret), true) = (secret, reached) else {
        let why = if reached {
            "the binding's status has no webhook secret yet"
        } else {
            "the gateway was not reached"
        };
        for step in ["signature", "trigger", "account"] {
            report.add(Check::skip(step, why));
        }
        return;
    };
    let ping = json!({ "zen": "Keep it logically awesome.", FIELD: true });
    let trust = match send(url, "ping", secret, &ping).await {
        Ok((status, answer)) => signature(binding, status, &answer, objects),
        Err(error) => {
            Check::fail("signature", &format!("{error:#}"), "try again; the steps before say how far it goes")
        }
    };
    let fine = trust.is_ok();
    report.add(trust);
    if !fine {
        for step in ["trigger", "account"] {
            report.add(Check::skip(step, "no signed event comes through"));
        }
        return;
    }
    let (event, payload) = synthetic(binding);
    let name = binding.metadata.name.as_deref().unwrap_or_default();
    match send(url, event, secret, &payload).await {
        Ok((_, answer)) => decision(name, event, &answer, report),
        Err(error) => report.add(Check::fail("trigger", &format!("{error:#}"), "try again")),
    }
}

async fn send(url: &str, event: &str, secret: &str, payload: &Value) -> anyhow::Result<(StatusCode, Value)> {
    let body = serde_json::to_vec(payload)?;
    let response = network::client()?
        .post(url)
        .header("Content-Type", "application/json")
        .header("User-Agent", concat!("aphex/", env!("CARGO_PKG_VERSION")))
        .header("X-GitHub-Event", event)
        .header("X-GitHub-Delivery", new_id())
        .header("X-Hub-Signature-256", aphex_gateway::sign(secret.as_bytes(), &body))
        .body(body)
        .send()
        .await
        .map_err(reqwest::Error::without_url)
        .context("the gateway did not answer a signed event")?;
    let status = response.status();
    Ok((status, response.json().await.unwrap_or_default()))
}

fn signature(binding: &RepoBinding, status: StatusCode, answer: &Value, objects: &Report) -> Check {
    const STEP: &str = "signature";
    let name = binding.metadata.name.as_deref().unwrap_or_default();
    match status {
        StatusCode::OK if answer["dryRun"] == true => {
            let listener = format!("{}/{}", text(answer, "/namespace"), text(answer, "/eventListener"));
            Check::ok(
                STEP,
                &format!(
                    "the secret of the status is the one of listener {listener} ({})",
                    text(answer, "/gateway")
                ),
            )
        }
        StatusCode::OK => Check::fail(
            STEP,
            "accepted, but the gateway knows no dry runs: it is older than this program",
            "upgrade the gateway; `aphex push` sends an event that starts a run",
        ),
        StatusCode::UNAUTHORIZED => Check::fail(
            STEP,
            "refused: no trigger of the listener has the secret of the binding's status",
            &other_secret(name, objects),
        ),
        other => Check::fail(
            STEP,
            &format!("answered with {other}: {}", text(answer, "/error")),
            "see the gateway's log",
        ),
    }
}

/// What to do where the gateway knows no trigger with the secret: a new one helps only where Trigger and Secret are there.
fn other_secret(binding: &str, objects: &Report) -> String {
    let steps = ["listener", "trigger object", "secret"];
    if let Some(step) = steps.into_iter().find(|step| objects.has_failed(step)) {
        return format!("do what `{step}` below says first: a new secret does not help while that fails");
    }
    let rotate = format!(
        "give the binding a new secret with `aphex repo rotate-secret {binding}`, and GitHub's webhook the same"
    );
    if objects.has_passed("secret") {
        return rotate;
    }
    format!(
        "have somebody who may look see that `trigger object` and `secret` below are ok; only if both are, {rotate}"
    )
}

/// An event that the binding wants: a push without files counts whatever paths are wanted.
fn synthetic(binding: &RepoBinding) -> (&'static str, Value) {
    let spec = &binding.spec;
    // What is wrong with one that is none stands in the binding's status, which was told first.
    let glob = spec.options.branches.iter().find_map(|glob| Glob::new(glob, Over::Branches).ok());
    let branch = glob.map_or_else(|| spec.branch.clone(), |glob| glob.example().to_owned());
    let full_name = format!("{}/{}", spec.repo_org, spec.repo_name);
    let repository = json!({ "name": spec.repo_name, "full_name": full_name, "default_branch": spec.branch });
    let wants_pushes = spec.options.events.is_empty() || spec.options.events.contains(&BindingEvent::Push);
    if wants_pushes {
        let payload = json!({
            FIELD: true, "ref": format!("refs/heads/{branch}"), "before": REVISION, "after": REVISION,
            "created": false, "deleted": false, "forced": false, "commits": [], "repository": repository,
            "head_commit": { "id": REVISION, "message": "aphex repo check" },
            "pusher": { "name": "aphex" }, "sender": { "login": "aphex" },
        });
        return ("push", payload);
    }
    let side = |branch: &str| json!({ "ref": branch, "sha": REVISION, "repo": repository });
    let payload = json!({
        FIELD: true, "action": "opened", "number": 1, "repository": repository, "sender": { "login": "aphex" },
        "pull_request": { "number": 1, "base": side(&branch), "head": side("aphex-repo-check") },
    });
    ("pull_request", payload)
}

fn decision(binding: &str, event: &str, answer: &Value, report: &mut Report) {
    let decision = &answer["decision"];
    let triggers: Vec<&Value> = decision["triggers"].as_array().into_iter().flatten().collect();
    let fired = triggers
        .iter()
        .find(|trigger| trigger["stoppedBy"].is_null() && !text(trigger, "/account").is_empty());
    let Some(trigger) = fired else {
        let stopped = triggers.first();
        let by = stopped.map(|trigger| text(trigger, "/stoppedBy")).filter(|by| !by.is_empty());
        let found = match by {
            Some(by) => format!(
                "a {event} that the binding should want is stopped by {by}: {}",
                text(decision, "/message")
            ),
            None => format!("no trigger takes the {event}: {}", text(decision, "/message")),
        };
        report.add(Check::fail(
            "trigger",
            &found,
            &format!("compare the binding's spec with its Trigger: `aphex describe repo {binding}`"),
        ));
        report.add(Check::skip("account", "no trigger asks for anything"));
        return;
    };
    let name = format!("{}/{}", text(trigger, "/namespace"), text(trigger, "/name"));
    let (verdict, message, account) =
        (text(trigger, "/verdict"), text(trigger, "/message"), text(trigger, "/account"));
    if verdict == "Created" {
        let created: Vec<String> = trigger["created"].as_array().into_iter().flatten().map(object).collect();
        report.add(Check::ok("trigger", &format!("{name} takes a {event}")));
        let found = format!("{account} may create it, and the engine would take it: {}", created.join(", "));
        report.add(Check::ok("account", &found));
        return;
    }
    // Objects that the engine refuses are named in the message; else the trigger itself cannot work.
    if message.starts_with("cannot create") || message.contains("exists already") {
        report.add(Check::ok("trigger", &format!("{name} takes a {event}")));
        report.add(Check::fail("account", &message, remedy(&message)));
    } else {
        report.add(Check::fail(
            "trigger",
            &format!("{name}: {message}"),
            "correct the trigger, its bindings or its template",
        ));
        report.add(Check::skip("account", "the trigger does not come so far"));
    }
}

fn object(created: &Value) -> String {
    format!("{} {}/{}", text(created, "/kind"), text(created, "/namespace"), text(created, "/name"))
}

/// What helps, by what the engine said.
fn remedy(message: &str) -> &'static str {
    if message.contains("exceeded quota") {
        "end runs that are under way, or ask for permissionProfile elevated"
    } else if message.contains("cannot create resource") || message.contains("forbidden") {
        "the account lacks a right that the controllers give: see that the binding is Ready and that nobody changed its Role"
    } else if message.contains("not found") {
        "see that the tenant's namespace and the kind exist: `aphex doctor`"
    } else {
        "the engine's message says what it has against it"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answer: &Value) -> Vec<(String, bool)> {
        let mut report = Report::default();
        decision("shop", "push", answer, &mut report);
        report.states()
    }

    fn states(pairs: [(&str, bool); 2]) -> Vec<(String, bool)> {
        pairs.into_iter().map(|(name, failed)| (name.to_owned(), failed)).collect()
    }

    #[test]
    fn a_new_secret_is_advised_only_where_it_helps() {
        let step = |checks: Vec<Check>| {
            let mut objects = Report::default();
            for check in checks {
                objects.add(check);
            }
            other_secret("shop", &objects)
        };
        let gone = step(vec![Check::fail("trigger object", "gone", ""), Check::ok("secret", "there")]);
        assert!(gone.starts_with("do what `trigger object` below says first"), "{gone}");
        let unseen = step(vec![Check::skip("secret", "you may not")]);
        assert!(unseen.contains("`trigger object` and `secret` below"), "{unseen}");
        let other = step(vec![Check::ok("trigger object", "there"), Check::ok("secret", "there")]);
        assert!(other.starts_with("give the binding a new secret"), "{other}");
    }

    #[test]
    fn each_way_to_fail_is_told_at_its_own_step() {
        let answer = |trigger: Value| json!({ "decision": { "message": "m", "triggers": [trigger] } });
        let created = json!({
            "namespace": "org-a", "name": "t", "account": "org-a/t", "verdict": "Created", "message": "",
            "created": [{ "kind": "PipelineRun", "namespace": "a", "name": "a-1" }],
        });
        assert_eq!(told(&answer(created.clone())), states([("trigger", false), ("account", false)]));
        let mut refused = created.clone();
        refused["verdict"] = json!("Failed");
        refused["message"] =
            json!("cannot create PipelineRun a/a-1 as org-a/t: exceeded quota: tenant-quota");
        assert_eq!(told(&answer(refused)), states([("trigger", false), ("account", true)]));
        let mut stopped = created;
        stopped["stoppedBy"] = json!("branches");
        assert_eq!(told(&answer(stopped)), states([("trigger", true), ("account", false)]));
        assert_eq!(
            told(&json!({ "decision": { "triggers": [] } })),
            states([("trigger", true), ("account", false)])
        );
    }
}

//! `aphex push`: a signed event for a binding, as GitHub would send it.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use aphex_api::delivery::{Delivery, DeliveryPhase, DeliveryVerdict};
use aphex_api::repo_binding::RepoBinding;
use jiff::Timestamp;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use reqwest::Response;
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tokio::process::Command;

use super::look;
use crate::cli::{Global, Push};
use crate::output::{self, note, say, say_lines};
use crate::{connect, exit};

/// How long a verdict may take before we stop waiting; the gateway does not stop.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn run(global: &Global, arguments: Push) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    let bindings: Api<RepoBinding> = Api::namespaced(client.clone(), &arguments.namespace);
    let binding = bindings
        .get_opt(&arguments.binding)
        .await
        .with_context(|| format!("cannot get binding {:?}", arguments.binding))?;
    let Some(binding) = binding else {
        let message = format!(
            "no binding {:?} in {}: `aphex repo list` shows what is there",
            arguments.binding, arguments.namespace
        );
        return Err(exit::Coded { code: exit::NOT_FOUND, message }.into());
    };
    let payload = match &arguments.payload {
        Some(path) => {
            read_payload(path).with_context(|| format!("cannot read payload {}", path.display()))?
        }
        None => from_checkout(&binding, arguments.git.as_deref().unwrap_or(Path::new("."))).await?,
    };
    let event = Event {
        kind: &arguments.event,
        delivery: arguments.delivery.as_deref(),
        url: arguments.url.as_deref(),
    };
    let sent = send(&binding, &event, payload).await?;
    // The gateway ends its answer with a newline.
    let line = format!("{} {}", sent.status, sent.body.trim_end());
    let line = output::value(&line);
    if global.output.is_for_people() {
        say(&line);
    } else {
        note(&line);
    }
    if !sent.accepted {
        let message = format!("the gateway refused the event with {}", sent.status);
        return Err(exit::Coded { code: exit::REFUSED, message }.into());
    }
    if arguments.no_wait {
        return output::answer(&global.output, &sent.document(), &sent.title(), || {});
    }
    let delivery = verdict(&client, &sent).await?;
    output::answer(&global.output, &look::typed(&delivery)?, &sent.title(), || {
        say_lines(&describe(&delivery));
    })?;
    unless_failed("event", &delivery)
}

/// An error where what was decided failed.
pub(crate) fn unless_failed(what: &str, delivery: &Delivery) -> anyhow::Result<()> {
    match &delivery.status {
        Some(status) if status.verdict == Some(DeliveryVerdict::Failed) => {
            let message = format!("the {what} failed: {}", status.message);
            Err(exit::Coded { code: exit::FAILURE, message }.into())
        }
        _ => Ok(()),
    }
}

/// A payload as it is: of a file, or of standard input where the path is `-`.
pub(crate) fn read_payload(path: &Path) -> std::io::Result<Vec<u8>> {
    if path != Path::new("-") {
        return std::fs::read(path);
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What to send, besides the payload.
pub(crate) struct Event<'a> {
    pub(crate) kind: &'a str,
    pub(crate) delivery: Option<&'a str>,
    pub(crate) url: Option<&'a str>,
}

/// The gateway's answer.
pub(crate) struct Sent {
    pub(crate) status: String,
    pub(crate) accepted: bool,
    pub(crate) body: String,
    /// Namespaces in which its Delivery may be.
    places: BTreeSet<String>,
    /// The id that was sent.
    delivery: String,
    /// The Delivery's name.
    name: String,
}

impl Sent {
    /// The Delivery that it becomes.
    fn title(&self) -> String {
        format!("delivery.aphex.io/{}", self.name)
    }

    /// What the gateway said at once, for programs.
    fn document(&self) -> Value {
        let answer = serde_json::from_str(&self.body).unwrap_or_else(|_| Value::from(self.body.as_str()));
        json!({ "delivery": self.delivery, "status": self.status, "answer": answer })
    }
}

/// Signs the payload with the binding's secret and posts it to its webhook URL.
pub(crate) async fn send(binding: &RepoBinding, event: &Event<'_>, payload: Vec<u8>) -> anyhow::Result<Sent> {
    let status = binding.status.as_ref();
    let name = binding.metadata.name.as_deref().unwrap_or_default();
    let not_ready = || format!("binding {name:?} is not Ready: `aphex repo get {name} -o yaml` says why");
    let url = match event.url {
        Some(url) => url.to_owned(),
        None => status.and_then(|s| s.webhook_url.clone()).with_context(not_ready)?,
    };
    let secret = status.and_then(|s| s.webhook_secret.clone()).with_context(not_ready)?;
    let delivery = event.delivery.map_or_else(new_id, str::to_owned);
    let response = reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(Policy::none())
        .build()?
        .post(&url)
        .header("Content-Type", "application/json")
        .header("User-Agent", "GitHub-Hookshot/aphex")
        .header("X-GitHub-Event", event.kind)
        .header("X-GitHub-Delivery", &delivery)
        .header("X-Hub-Signature-256", aphex_gateway::sign(secret.as_bytes(), &payload))
        .body(payload)
        .send()
        .await
        .map_err(|error| not_sent(error, &url, name))?;
    let status = response.status();
    if let Some(to) = sent_on(&response) {
        let message = format!(
            "{url} answers {status} and names {to}, where GitHub does not go: the webhook needs that address"
        );
        return Err(exit::Coded { code: exit::REFUSED, message }.into());
    }
    let body = response.text().await.context("cannot read the gateway's answer")?;
    let answer: Value = serde_json::from_str(&body).unwrap_or_default();
    let said = |field: &str| answer[field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    // An id that another payload had already is not the Delivery's: the gateway says which is.
    let own = said("eventID").unwrap_or_else(|| aphex_gateway::deliveries::object_name(&delivery));
    let tenant = binding.spec.pipeline_name.clone().or_else(|| binding.spec.tenant_name.clone());
    let places = said("namespace").into_iter().chain(tenant).collect();
    Ok(Sent { status: status.to_string(), accepted: status.is_success(), body, places, delivery, name: own })
}

/// Why there is no answer: most often nobody is there.
fn not_sent(error: reqwest::Error, url: &str, binding: &str) -> anyhow::Error {
    let away = error.is_connect() || error.is_timeout() || error.is_request();
    let error = anyhow::Error::new(error.without_url());
    if !away {
        return error.context(format!("cannot send the event to {url}"));
    }
    let message =
        format!("cannot reach the gateway at {url} (`aphex repo check {binding}` says how far it goes)");
    error.context(exit::Coded { code: exit::UNREACHABLE, message })
}

/// Where an answer sends the sender, who stays if it is GitHub.
pub(crate) fn sent_on(response: &Response) -> Option<String> {
    let to = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    Some(String::from_utf8_lossy(to.as_bytes()).into_owned())
}

/// Waits until the delivery has its verdict.
pub(crate) async fn verdict(client: &Client, sent: &Sent) -> anyhow::Result<Delivery> {
    let decided = |delivery: Option<&Delivery>| {
        let phase = delivery.and_then(|delivery| delivery.status.as_ref()).map(|status| status.phase);
        matches!(phase, Some(DeliveryPhase::Done | DeliveryPhase::Failed))
    };
    let name = &sent.name;
    // Where it is kept is the gateway's to say: in the tenant's namespace, else beside the listener.
    let place = |namespace: &String| {
        let deliveries: Api<Delivery> = Api::namespaced(client.clone(), namespace);
        Box::pin(await_condition(deliveries, name, decided))
    };
    let decision = futures::future::select_ok(sent.places.iter().map(place));
    let waited = tokio::time::timeout(PATIENCE, decision).await.map(|first| first.map(|(found, _)| found));
    let Ok(found) = waited else {
        let mut reason = String::new();
        for namespace in &sent.places {
            reason.push_str(&reason_so_far(client, namespace, name).await);
        }
        let message = format!(
            "accepted, but no verdict after {} s{reason}: `aphex delivery get {name}` shows how it goes on",
            PATIENCE.as_secs()
        );
        return Err(exit::Coded { code: exit::TIMED_OUT, message }.into());
    };
    found
        .context("cannot watch the delivery")?
        .context("the delivery was deleted while waiting for its verdict")
}

/// What a Delivery without a verdict says of itself, in brackets; nothing where that is nothing.
pub(crate) async fn reason_so_far(client: &Client, namespace: &str, name: &str) -> String {
    let deliveries: Api<Delivery> = Api::namespaced(client.clone(), namespace);
    let status = deliveries.get_opt(name).await.ok().flatten().and_then(|delivery| delivery.status);
    // With a verdict it would speak of what was decided before.
    let open = status.filter(|status| status.verdict.is_none());
    let message = open.map(|status| status.message).filter(|message| !message.is_empty());
    message.map(|message| format!(" ({message})")).unwrap_or_default()
}

/// The verdict for people.
pub(crate) fn describe(delivery: &Delivery) -> Vec<String> {
    let Some(status) = &delivery.status else { return Vec::new() };
    let mut lines = Vec::new();
    for one in &status.created {
        lines.push(format!("created {} {}/{}", one.kind, one.namespace.as_deref().unwrap_or("-"), one.name));
    }
    if lines.is_empty() {
        let message = if status.message.is_empty() { "nothing was created" } else { &status.message };
        lines.push(message.to_owned());
    }
    lines
}

/// A push payload for the HEAD of a git checkout, with the fields that GitHub documents.
async fn from_checkout(binding: &RepoBinding, folder: &Path) -> anyhow::Result<Vec<u8>> {
    let revision = git(folder, &["rev-parse", "HEAD"]).await?;
    let branch = git(folder, &["symbolic-ref", "--short", "HEAD"])
        .await
        .unwrap_or_else(|_| binding.spec.branch.clone());
    let before = git(folder, &["rev-parse", "HEAD^"]).await.unwrap_or_else(|_| "0".repeat(40));
    let message = git(folder, &["log", "-1", "--format=%B"]).await?;
    let author = git(folder, &["log", "-1", "--format=%an"]).await?;
    let email = git(folder, &["log", "-1", "--format=%ae"]).await?;
    let time = git(folder, &["log", "-1", "--format=%cI"]).await?;
    let changed = git(folder, &["show", "--name-only", "--format=", "HEAD"]).await?;
    note(&format!("sending {} of branch {branch}", revision.get(..12).unwrap_or(&revision)));
    let (owner, name) = (&binding.spec.repo_org, &binding.spec.repo_name);
    let commit = json!({
        "id": revision, "message": message, "timestamp": time, "distinct": true,
        "author": { "name": author, "email": email }, "committer": { "name": author, "email": email },
        "added": [], "removed": [], "modified": changed.lines().collect::<Vec<_>>(),
    });
    let payload = json!({
        "ref": format!("refs/heads/{branch}"), "before": before, "after": revision,
        "created": false, "deleted": false, "forced": false,
        "repository": {
            "name": name, "full_name": format!("{owner}/{name}"), "owner": { "login": owner, "name": owner },
            "html_url": format!("https://github.com/{owner}/{name}"),
            "clone_url": format!("https://github.com/{owner}/{name}.git"),
            "default_branch": binding.spec.branch, "pushed_at": Timestamp::now().as_second(),
        },
        "pusher": { "name": author, "email": email }, "sender": { "login": author },
        "head_commit": commit, "commits": [commit],
    });
    Ok(serde_json::to_vec(&payload)?)
}

async fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output()
        .await
        .context("cannot run git: install it, or give a payload with --payload FILE")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::bail!(
            "git in {}: {} (give a checkout with --git DIR, or a payload with --payload FILE)",
            folder.display(),
            said.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A random UUID (version 4), as GitHub's delivery ids are.
pub(crate) fn new_id() -> String {
    let bits = (rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_are_version_4_uuids() {
        let id = super::new_id();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]));
        assert_ne!(id, super::new_id());
    }
}

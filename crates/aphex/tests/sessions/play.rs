//! Plays a session on one engine and notes what it answered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use aphex_testkit::{Access, eventually};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::requests::{Answer, Asked, Requests};
use super::script::{Action, Script, Step, words};

/// Beyond this a step is stuck.
const PATIENCE: Duration = Duration::from_mins(1);
/// What kubectl says of a kind that discovery does not have.
const UNKNOWN_KIND: [&str; 2] = ["couldn't find resource for", "the server doesn't have a resource type"];

/// What a step brought.
#[derive(Debug)]
pub(crate) struct Observed {
    /// Code, headers and body of an answer; exit code and output of kubectl.
    pub(crate) said: Value,
    /// What was wrong, when it is not what the script expects.
    pub(crate) unexpected: Option<String>,
}

/// One engine during one session.
pub(crate) struct Player<'a> {
    requests: Requests,
    kubectl: &'a Path,
    folder: tempfile::TempDir,
    kept: BTreeMap<String, String>,
}

impl<'a> Player<'a> {
    pub(crate) fn new(access: &Access, kubectl: &'a Path, namespace: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("kubeconfig"), access.kubeconfig(namespace))?;
        let kept = BTreeMap::from([("ns".to_owned(), namespace.to_owned())]);
        Ok(Self { requests: Requests::new(access)?, kubectl, folder, kept })
    }

    /// The folder kubectl runs in.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Makes the session's namespace and waits until it has what every namespace has; then plays every step.
    pub(crate) async fn play(&mut self, script: &Script) -> anyhow::Result<Vec<Observed>> {
        self.prepare().await?;
        let mut seen = Vec::new();
        for (number, step) in script.steps.iter().enumerate() {
            let played = tokio::time::timeout(PATIENCE, self.step(step)).await;
            let what = || format!("{}, step {}: {}", script.name, number + 1, step.title());
            seen.push(played.with_context(what)?.with_context(what)?);
        }
        Ok(seen)
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        // On a busy machine the first connection may come to nothing.
        eventually("the engine answers", || async {
            Ok((self.requests.get("/readyz").await?.code == 200).then_some(()))
        })
        .await?;
        let namespace = &self.kept["ns"];
        let body = json!({ "metadata": { "name": namespace } }).to_string();
        let asked = Asked {
            method: "POST".to_owned(),
            path: "/api/v1/namespaces".to_owned(),
            headers: BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]),
            body: Some(body),
            token: None,
        };
        let made = self.requests.ask(asked).await?;
        anyhow::ensure!(made.code == 201, "the namespace {namespace} was not made: {}", made.body);
        for path in ["serviceaccounts/default", "configmaps/kube-root-ca.crt"] {
            let path = format!("/api/v1/namespaces/{namespace}/{path}");
            eventually(&path, || async { Ok((self.requests.get(&path).await?.code == 200).then_some(())) })
                .await?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> anyhow::Result<Observed> {
        match step.action()? {
            Action::Kubectl(arguments) => self.kubectl(step, arguments).await,
            Action::Request(method, path) => {
                let answer = self.requests.ask(self.asked(step, method, path)?).await?;
                let body = body(&answer);
                self.keep(step, &body)?;
                Ok(Observed {
                    unexpected: unexpected(step, answer.code),
                    said: json!({ "code": answer.code, "headers": answer.headers, "body": body }),
                })
            }
            Action::Watch(path) => {
                let answer = self.requests.lines(self.asked(step, "GET", path)?, step.events).await?;
                Ok(watched(step, &answer))
            }
            Action::Wait(path) => self.wait(step, path).await,
        }
    }

    fn asked(&self, step: &Step, method: &str, path: &str) -> anyhow::Result<Asked> {
        let mut headers = BTreeMap::new();
        let kind = match step.patch.as_deref() {
            None => "application/json",
            Some("json") => "application/json-patch+json",
            Some("merge") => "application/merge-patch+json",
            Some("strategic") => "application/strategic-merge-patch+json",
            Some("apply") => "application/apply-patch+yaml",
            Some(other) => anyhow::bail!("{other} is no kind of patch"),
        };
        if step.body.is_some() {
            headers.insert("content-type".to_owned(), kind.to_owned());
        }
        if let Some(user) = &step.user {
            headers.insert("impersonate-user".to_owned(), self.filled(user));
        }
        for (name, value) in &step.headers {
            headers.insert(name.to_ascii_lowercase(), self.filled(value));
        }
        let body = step.body.as_ref().map(|body| match body {
            Value::String(text) => self.filled(text),
            other => self.filled(&other.to_string()),
        });
        let token = step.token.as_deref().map(|token| self.filled(token));
        Ok(Asked { method: method.to_owned(), path: self.filled(path), headers, body, token })
    }

    /// Runs kubectl; again when it does not know a kind yet, which a real API server tells some time after its definition.
    async fn kubectl(&mut self, step: &Step, arguments: &str) -> anyhow::Result<Observed> {
        let last = std::cell::RefCell::new(None);
        let known = eventually("the kind is known", || async {
            let output = self.run_kubectl(step, arguments).await?;
            let said = String::from_utf8_lossy(&output.stderr);
            let early = step.fails.is_none() && UNKNOWN_KIND.iter().any(|text| said.contains(text));
            *last.borrow_mut() = Some(output);
            Ok((!early).then_some(()))
        })
        .await;
        match (last.into_inner(), known) {
            (Some(output), _) => self.observed(step, &output),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => anyhow::bail!("kubectl did not run"),
        }
    }

    async fn run_kubectl(&self, step: &Step, arguments: &str) -> anyhow::Result<std::process::Output> {
        for (name, text) in &step.files {
            std::fs::write(self.folder.path().join(name), self.filled(text))?;
        }
        let mut command = tokio::process::Command::new(self.kubectl);
        for word in words(arguments)? {
            command.arg(self.filled(&word));
        }
        for (name, value) in &step.env {
            command.env(name, self.filled(value));
        }
        let mut child = command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run kubectl")?;
        if let Some(mut input) = child.stdin.take() {
            let text = step.stdin.as_deref().map(|text| self.filled(text)).unwrap_or_default();
            // A kubectl that does not read may be gone already.
            let _ = input.write_all(text.as_bytes()).await;
        }
        Ok(child.wait_with_output().await?)
    }

    fn observed(&mut self, step: &Step, output: &std::process::Output) -> anyhow::Result<Observed> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let stdout = text(&output.stdout);
        let code = output.status.code().and_then(|code| u16::try_from(code).ok()).unwrap_or(u16::MAX);
        for (name, at) in &step.keep {
            anyhow::ensure!(at == "stdout", "of kubectl only stdout can be kept, not {at}");
            self.kept.insert(name.clone(), stdout.trim().to_owned());
        }
        let shown = serde_json::from_str::<Value>(&stdout).ok().filter(Value::is_object);
        let shown = shown.unwrap_or(Value::String(stdout));
        let wanted = step.fails.unwrap_or(0);
        let stderr = text(&output.stderr);
        Ok(Observed {
            unexpected: (code != wanted).then(|| format!("ended with {code}, not {wanted}: {stderr}")),
            said: json!({ "exit": code, "stdout": shown, "stderr": stderr }),
        })
    }

    async fn wait(&mut self, step: &Step, path: &str) -> anyhow::Result<Observed> {
        let last = std::cell::RefCell::new(String::new());
        let until: BTreeMap<String, Value> =
            serde_json::from_str(&self.filled(&serde_json::to_string(&step.until)?))?;
        let met = eventually(path, || async {
            let (method, path) = path.split_once(' ').unwrap_or(("GET", path));
            let answer = self.requests.ask(self.asked(step, method, path)?).await?;
            let body = answer.json().unwrap_or_default();
            *last.borrow_mut() = format!("{} {}", answer.code, answer.body);
            let holds = until.iter().all(|(at, wanted)| match at.as_str() {
                "status" => *wanted == answer.code,
                at => body.pointer(at).unwrap_or(&Value::Null) == wanted,
            });
            Ok(holds.then_some(body))
        })
        .await;
        match met {
            Ok(body) => {
                self.keep(step, &body)?;
                Ok(Observed { said: json!({ "met": true }), unexpected: None })
            }
            Err(error) => Ok(Observed {
                said: json!({ "met": false }),
                unexpected: Some(format!("{error:#}; last: {}", last.into_inner())),
            }),
        }
    }

    /// Keeps parts of an answer; one that is not there is kept as nothing, and shows later.
    fn keep(&mut self, step: &Step, body: &Value) -> anyhow::Result<()> {
        for (name, at) in &step.keep {
            let value = match body.pointer(at) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => String::new(),
                Some(other) => serde_json::to_string(other)?,
            };
            self.kept.insert(name.clone(), value);
        }
        Ok(())
    }

    /// Puts what was kept in its places.
    fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.kept {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        text
    }
}

/// The body as a value; the spelling of YAML is not compared.
fn body(answer: &Answer) -> Value {
    let yaml = answer.headers.get("content-type").is_some_and(|kinds| kinds[0].contains("yaml"));
    let read = if yaml { serde_saphyr::from_str(&answer.body).ok() } else { answer.json() };
    read.unwrap_or_else(|| Value::String(answer.body.clone()))
}

fn watched(step: &Step, answer: &Answer) -> Observed {
    if answer.code != 200 {
        let said = json!({ "code": answer.code, "headers": answer.headers, "body": body(answer) });
        return Observed { unexpected: unexpected(step, answer.code), said };
    }
    // What came beyond is not looked at, and the last of it may be half an event.
    let events: Vec<Value> = answer
        .body
        .lines()
        .take(step.events.unwrap_or(usize::MAX))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.to_owned())))
        .collect();
    let short = step.events.filter(|wanted| events.len() < *wanted);
    Observed {
        unexpected: unexpected(step, answer.code)
            .or_else(|| short.map(|wanted| format!("only {} of {wanted} events came", events.len()))),
        said: json!({ "code": answer.code, "headers": answer.headers, "events": events }),
    }
}

/// What a script says of an answer's code: that one, or a success.
fn unexpected(step: &Step, code: u16) -> Option<String> {
    let fits = step.fails.map_or((200..300).contains(&code), |wanted| wanted == code);
    (!fits).then(|| match step.fails {
        Some(wanted) => format!("answered {code}, not {wanted}"),
        None => format!("answered {code}"),
    })
}

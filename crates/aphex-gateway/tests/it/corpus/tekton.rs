//! The corpus through Tekton's own sink and interceptors: one process of each.
//!
//! A sink serves one listener, so the groups take turns under its name; the answer's `eventListenerUID` tells when the
//! sink has seen the next. Its log tells why a trigger made nothing. It creates as itself: outside of a pod it cannot act
//! as a trigger's account, so the corpus names none.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use aphex_testkit::{Cluster, eventually, eventually_for};
use kube::api::{ApiResource, DeleteParams, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::Outcomes;
use super::group::{Group, Request};
use super::ours::{Place, send};
use super::outcome::{Answered, Made, Words, reason};

const LISTENER: &str = "served-by-the-sink";
const SYSTEM: &str = "tekton-pipelines";
const CERTIFICATES: &str = "tekton-triggers-core-interceptors-certs";
const CORE: [&str; 5] = ["bitbucket", "cel", "github", "gitlab", "slack"];
/// The interceptors' port is their own choice; whoever else has it is waited for.
const PORT: u16 = 8443;
const PATIENCE: Duration = Duration::from_mins(2);
/// How long the sink may take for a request.
const WORK: Duration = Duration::from_secs(20);
const STOPPED: &str = "interceptor stopped trigger processing: ";

/// Sends all requests; waits for as many outcomes as the gateway had.
pub(super) async fn deliver(
    sink: &Path,
    interceptors: &Path,
    cluster: &Cluster,
    place: &Place,
    groups: &[Group],
    ours: &Outcomes,
) -> anyhow::Result<Outcomes> {
    let kubeconfig = cluster.serve().await?;
    install(&place.client).await?;
    let _interceptors = start_interceptors(interceptors, &kubeconfig).await?;
    let sink = Sink::start(sink, &kubeconfig, place).await?;
    let mut outcomes = Outcomes::new();
    for group in groups {
        let uid = serve(place, group).await?;
        let mut requests = BTreeMap::new();
        for request in &group.requests {
            let expected = &ours[&group.name][&request.name];
            let answered = sink.one(place, request, &uid, expected).await;
            let answered = answered.with_context(|| format!("{}: {}", group.name, request.name))?;
            requests.insert(request.name.clone(), answered);
        }
        outcomes.insert(group.name.clone(), requests);
    }
    Ok(outcomes)
}

/// What the two processes want to find.
async fn install(client: &Client) -> anyhow::Result<()> {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": SYSTEM } });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": CERTIFICATES, "namespace": SYSTEM },
    });
    aphex_testkit::apply(client, &namespace).await?;
    aphex_testkit::apply(client, &secret).await?;
    for name in CORE {
        let interceptor = json!({
            "apiVersion": "triggers.tekton.dev/v1alpha1", "kind": "ClusterInterceptor",
            "metadata": { "name": name, "labels": { "server/type": "https" } },
            "spec": { "clientConfig": { "url": format!("https://localhost:{PORT}/{name}") } },
        });
        aphex_testkit::apply(client, &interceptor).await?;
    }
    Ok(())
}

/// Gives the sink's listener the spec of a group; its uid.
async fn serve(place: &Place, group: &Group) -> anyhow::Result<String> {
    let types =
        ApiResource::from_gvk(&GroupVersionKind::gvk("triggers.tekton.dev", "v1beta1", "EventListener"));
    let api: Api<DynamicObject> = Api::namespaced_with(place.client.clone(), &place.namespace, &types);
    if api.get_opt(LISTENER).await?.is_some() {
        api.delete(LISTENER, &DeleteParams::default()).await?;
    }
    aphex_testkit::replace(&place.client, &group.listener(LISTENER, &place.namespace, &place.services)?)
        .await?;
    api.get(LISTENER).await?.metadata.uid.context("a listener has a uid")
}

async fn start_interceptors(program: &Path, kubeconfig: &Path) -> anyhow::Result<Process> {
    eventually_for(PATIENCE, "port 8443, which Tekton's interceptors want, is free", || async {
        Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).ok().map(drop))
    })
    .await?;
    let mut command = tekton(program, kubeconfig);
    command.env("INTERCEPTOR_TLS_SVC_NAME", "localhost").env("INTERCEPTOR_TLS_SECRET_NAME", CERTIFICATES);
    let process = Process(command.stdout(Stdio::null()).spawn()?);
    // Their certificate is of an authority that they made for themselves.
    let client = reqwest::Client::builder().danger_accept_invalid_certs(true).build()?;
    eventually_for(PATIENCE, "the interceptors are ready", || async {
        Ok(client.get(format!("https://localhost:{PORT}/ready")).send().await.ok().map(drop))
    })
    .await?;
    Ok(process)
}

fn tekton(program: &Path, kubeconfig: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg("-kubeconfig")
        .arg(kubeconfig)
        .args(["-kube-api-qps=1000", "-kube-api-burst=1000"])
        .env("SYSTEM_NAMESPACE", SYSTEM)
        .env("METRICS_DOMAIN", "tekton.dev/triggers")
        .env("METRICS_PROMETHEUS_PORT", "0")
        .env("KUBERNETES_MIN_VERSION", "v1.28.0")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The running sink, and every line that it wrote.
struct Sink {
    url: String,
    log: Arc<Mutex<Vec<Value>>>,
    _process: Process,
}

impl Sink {
    async fn start(program: &Path, kubeconfig: &Path, place: &Place) -> anyhow::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let zap = json!({ "level": "debug", "sampling": null, "outputPaths": ["stdout"] }).to_string();
        let mut command = tekton(program, kubeconfig);
        command
            .env("NAMESPACE", &place.namespace)
            .env("NAME", LISTENER)
            .env("K_SINK_TIMEOUT", "30")
            .env("EL_EVENT", "disable")
            .env("K_LOGGING_CONFIG", json!({ "zap-logger-config": zap }).to_string())
            .args(["-el-name", LISTENER, "-el-namespace", &place.namespace, "-is-multi-ns=true"])
            // What it says to payloads that are no JSON is in its documentation; the corpus goes beyond.
            .args(["-payload-validation=false", "-port", &port.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("the sink has an output")?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let writing = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Ok(line) = serde_json::from_str(&line) {
                    writing.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            }
        });
        let url = format!("http://127.0.0.1:{port}");
        let sink = Self { url, log, _process: Process(child) };
        eventually_for(PATIENCE, "the sink is ready", || async {
            Ok(reqwest::get(format!("{}/live", sink.url)).await.ok().map(drop))
        })
        .await?;
        Ok(sink)
    }

    async fn one(
        &self,
        place: &Place,
        request: &Request,
        uid: &str,
        expected: &Answered,
    ) -> anyhow::Result<Answered> {
        let url = format!("{}/{}", self.url, request.query);
        let (status, answer) = eventually("the sink serves the group's listener", || async {
            let response = send(&url, request).send().await?;
            let status = response.status().as_u16();
            let answer: Value = response.json().await.unwrap_or_default();
            Ok((answer["eventListenerUID"] == uid).then_some((status, answer)))
        })
        .await?;
        let event = answer["eventID"].as_str().context("an answer has an event id")?.to_owned();
        let words = Words {
            namespace: &place.namespace,
            services: &place.services,
            event: &event,
            listener: LISTENER,
        };
        let waited = eventually_for(WORK, "the sink is done", || {
            let (words, expected) = (&words, &expected.triggers);
            async move { self.made(place, words, expected).await }
        })
        .await;
        // What it made within that time is what it makes.
        let triggers = match waited {
            Ok(made) => made,
            Err(_) => self.made_so_far(place, &words).await?,
        };
        Ok(Answered { status, triggers })
    }

    async fn made_so_far(&self, place: &Place, words: &Words<'_>) -> anyhow::Result<BTreeMap<String, Made>> {
        let mut made: BTreeMap<String, Made> = BTreeMap::new();
        for (trigger, objects) in place.objects(words).await? {
            made.entry(named(&trigger)).or_default().objects = objects;
        }
        for (trigger, silence) in self.silences(words.event) {
            if !trigger.is_empty() {
                made.entry(trigger).or_default().silence = Some(silence);
            }
        }
        Ok(made)
    }

    /// What each trigger made, once each of those expected either made as much or said why not.
    async fn made(
        &self,
        place: &Place,
        words: &Words<'_>,
        expected: &BTreeMap<String, Made>,
    ) -> anyhow::Result<Option<BTreeMap<String, Made>>> {
        let mut made = self.made_so_far(place, words).await?;
        let silences = self.silences(words.event);
        let whole = silences.get("");
        let mut open = false;
        for (trigger, theirs) in expected {
            // In the log, a trigger of another namespace has only its name.
            let short = trigger.split(" in ").next().unwrap_or_default();
            if short != trigger
                && let Some(found) = made.remove(short)
            {
                made.insert(trigger.clone(), found);
            }
            let found = made.get(trigger);
            let silent = found.is_some_and(|made| made.silence.is_some());
            let enough = found.is_some_and(|made| made.objects.len() >= theirs.objects.len().max(1));
            if !silent && !enough {
                // A group's interceptors stopped the event before the group's triggers were looked at; others than the
                // group's may still be at work.
                match whole.filter(|_| theirs.silence.is_some()) {
                    Some(silence) => made.entry(trigger.clone()).or_default().silence = Some(silence.clone()),
                    None => open = true,
                }
            }
        }
        Ok((!open).then_some(made))
    }

    /// Reasons for silence that the log tells, by trigger; an empty name stands for a group as a whole.
    fn silences(&self, event: &str) -> BTreeMap<String, String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = BTreeMap::new();
        for line in log.iter().filter(|line| text(line, "/triggers-eventid") == event) {
            let message = text(line, "message");
            let level = text(line, "severity").to_ascii_lowercase();
            let trigger = line.get("/trigger").and_then(Value::as_str).map_or_else(String::new, named);
            if let Some(stopped) = message.strip_prefix(STOPPED) {
                let said = stopped.split_once("desc = ").map_or(stopped, |(_, said)| said);
                found.insert(trigger, reason(said));
            } else if level == "error" && !message.starts_with("problem creating obj") {
                found.insert(trigger, reason(message));
            }
        }
        found
    }
}

/// What the gateway calls the one trigger of the corpus without a name, by its place.
const UNNAMED: &str = "trigger-22";

fn named(trigger: &str) -> String {
    if trigger.is_empty() { UNNAMED.to_owned() } else { trigger.to_owned() }
}

fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A program that runs beside; killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

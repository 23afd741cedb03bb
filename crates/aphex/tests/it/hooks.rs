//! A listener with one trigger, events for it, and the runs that they became; and a road to the engine that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use aphex_testkit::{apply, eventually_for};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const SECRET: &[u8] = b"whsec_of_the_killed_repository";
const EVENT_ID: &str = "triggers.tekton.dev/triggers-eventid";
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// So much more for each event, for the machine may be slow.
const OF_AN_EVENT: Duration = Duration::from_millis(40);
/// Between two looks at runs, for each of them.
const OF_A_RUN: Duration = Duration::from_micros(500);

pub(crate) async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    Ok(Client::try_from(
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?,
    )?)
}

/// The kinds that a gateway needs, on an engine that is not that of `aphex up`.
pub(crate) async fn install(client: &Client) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [
        root.join("../../platform/crds/aphex.io_deliveries.yaml"),
        root.join("foreign/tekton.yaml"),
        root.join("foreign/triggers.yaml"),
    ];
    for file in files {
        for value in serde_saphyr::from_multiple::<Value>(&std::fs::read_to_string(&file)?)? {
            apply(client, &value).await?;
        }
    }
    Ok(())
}

/// A listener in `org-<name>` whose trigger makes runs in `<name>-runs`.
pub(crate) struct Hooks {
    client: Client,
    name: String,
    body: String,
}

/// What a sender knows.
#[derive(Default)]
pub(crate) struct Sent {
    /// Events that were answered 200.
    pub(crate) acknowledged: BTreeSet<String>,
    /// How often each other answer came.
    pub(crate) others: BTreeMap<u16, usize>,
}

impl Sent {
    pub(crate) fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        for (code, count) in other.others {
            *self.others.entry(code).or_default() += count;
        }
    }
}

impl Hooks {
    pub(crate) async fn create(client: &Client) -> anyhow::Result<Self> {
        let hooks = Self::new(client)?;
        let objects = hooks.objects();
        hooks.applied(objects).await
    }

    /// The same with a trigger that asks a service before it makes a run.
    pub(crate) async fn create_asking(client: &Client, service: &str) -> anyhow::Result<Self> {
        let hooks = Self::new(client)?;
        let mut objects = hooks.objects();
        let chains = objects.iter_mut().filter_map(|object| object.pointer_mut("/spec/interceptors"));
        for chain in chains.filter_map(Value::as_array_mut) {
            chain.push(json!({ "ref": { "name": "own", "kind": "NamespacedInterceptor" } }));
        }
        let interceptor = json!({
            "apiVersion": "triggers.tekton.dev/v1alpha1", "kind": "Interceptor",
            "metadata": { "name": "own", "namespace": format!("org-{}", hooks.name) },
            "spec": { "clientConfig": { "url": service } },
        });
        // Behind the namespaces.
        objects.insert(2, interceptor);
        hooks.applied(objects).await
    }

    fn new(client: &Client) -> anyhow::Result<Self> {
        let name = format!("hooks-{:08x}", rand::random::<u32>());
        let push: Value =
            serde_json::from_str(include_str!("../../../../examples/github-push.json")).context("a push")?;
        Ok(Self { client: client.clone(), name, body: push.to_string() })
    }

    async fn applied(self, objects: Vec<Value>) -> anyhow::Result<Self> {
        for object in objects {
            apply(&self.client, &object).await?;
        }
        Ok(self)
    }

    fn objects(&self) -> Vec<Value> {
        let (organization, tenant) = (format!("org-{}", self.name), format!("{}-runs", self.name));
        let metadata = |name: &str| json!({ "name": name, "namespace": organization });
        let namespace =
            |name: &str| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let role = |kind: &str| json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": "runs", "namespace": tenant } });
        let mut rights = role("Role");
        rights["rules"] =
            json!([{ "apiGroups": ["tekton.dev"], "resources": ["pipelineruns"], "verbs": ["create"] }]);
        let mut binding = role("RoleBinding");
        binding["roleRef"] =
            json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "runs" });
        binding["subjects"] =
            json!([{ "kind": "ServiceAccount", "name": "trigger", "namespace": organization }]);
        let secret_ref = json!({ "secretName": "webhook", "secretKey": "secret" });
        vec![
            namespace(&organization),
            namespace(&tenant),
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata("webhook"), "stringData": { "secret": String::from_utf8_lossy(SECRET) } }),
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("trigger") }),
            rights,
            binding,
            json!({
                "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "TriggerTemplate", "metadata": metadata("run"),
                "spec": {
                    "params": [{ "name": "revision" }],
                    "resourcetemplates": [{
                        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
                        "metadata": { "generateName": "run-", "namespace": tenant },
                        "spec": { "pipelineRef": { "name": "web" }, "params": [{ "name": "revision", "value": "$(tt.params.revision)" }] },
                    }],
                },
            }),
            json!({
                "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "Trigger", "metadata": metadata("trigger"),
                "spec": {
                    "serviceAccountName": "trigger",
                    "interceptors": [{
                        "ref": { "name": "github", "kind": "ClusterInterceptor" },
                        "params": [{ "name": "secretRef", "value": secret_ref }, { "name": "eventTypes", "value": ["push"] }],
                    }],
                    "bindings": [{ "name": "revision", "value": "$(body.after)" }],
                    "template": { "ref": "run" },
                },
            }),
            json!({
                "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "EventListener", "metadata": metadata("github-listener"),
                "spec": { "namespaceSelector": { "matchNames": [organization] } },
            }),
        ]
    }

    /// Where events of the listener go.
    pub(crate) fn url(&self, gateway: &str) -> String {
        format!("{gateway}/{}", self.name)
    }

    /// The status and the `Retry-After` of one signed push.
    pub(crate) async fn send(
        &self,
        http: &reqwest::Client,
        gateway: &str,
        id: &str,
    ) -> anyhow::Result<(u16, String)> {
        self.send_signed(http, gateway, id, SECRET).await
    }

    /// The same, signed with whichever secret.
    pub(crate) async fn send_signed(
        &self,
        http: &reqwest::Client,
        gateway: &str,
        id: &str,
        secret: &[u8],
    ) -> anyhow::Result<(u16, String)> {
        let request = http
            .post(self.url(gateway))
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .header("x-github-delivery", id)
            .header("x-hub-signature-256", aphex_gateway::sign(secret, self.body.as_bytes()));
        let response = request.body(self.body.clone()).send().await?;
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        Ok((response.status().as_u16(), after.unwrap_or_default().to_owned()))
    }

    /// Several senders at once, each event after the answer to the one before, until told to stop or hung up on.
    pub(crate) fn load(
        self: &Arc<Self>,
        gateway: &str,
        round: &str,
        stop: &Arc<AtomicBool>,
        count: &Arc<AtomicUsize>,
    ) -> Vec<tokio::task::JoinHandle<Sent>> {
        let senders = (0..4).map(|sender| {
            let (hooks, gateway, round) = (Arc::clone(self), gateway.to_owned(), round.to_owned());
            let (stop, count) = (Arc::clone(stop), Arc::clone(count));
            tokio::spawn(async move {
                let (http, mut sent) = (reqwest::Client::new(), Sent::default());
                for number in 0_u32.. {
                    let id = format!("{round}-{sender}-{number}");
                    // Now and then GitHub's user presses "Redeliver".
                    for _ in 0..=u32::from(number % 7 == 3) {
                        match hooks.send(&http, &gateway, &id).await {
                            Ok((200, _)) => {
                                sent.acknowledged.insert(id.clone());
                            }
                            Ok((code, _)) => *sent.others.entry(code).or_default() += 1,
                            Err(_) => return sent,
                        }
                    }
                    count.fetch_add(1, Ordering::AcqRel);
                    if stop.load(Ordering::Acquire) {
                        return sent;
                    }
                }
                sent
            })
        });
        senders.collect()
    }

    /// How many runs each event has.
    pub(crate) async fn runs(&self) -> anyhow::Result<BTreeMap<String, usize>> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "PipelineRun"));
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &format!("{}-runs", self.name), &kind);
        let mut runs = BTreeMap::new();
        for run in api.list(&ListParams::default()).await?.items {
            *runs.entry(run.labels().get(EVENT_ID).cloned().unwrap_or_default()).or_default() += 1;
        }
        Ok(runs)
    }

    /// Waits until every acknowledged event has its run; no event may have two.
    pub(crate) async fn settled(&self, sent: &Sent) -> anyhow::Result<()> {
        let complete = || async {
            let runs = self.runs().await?;
            let missing: Vec<&String> =
                sent.acknowledged.iter().filter(|id| !runs.contains_key(*id)).collect();
            if !missing.is_empty() {
                // A look at thousands of runs takes the engine from those that are still to come.
                tokio::time::sleep(times(OF_A_RUN, runs.len())).await;
            }
            anyhow::ensure!(missing.is_empty(), "acknowledged and without a run: {missing:?}");
            Ok(Some(runs))
        };
        let patience = PATIENCE + times(OF_AN_EVENT, sent.acknowledged.len());
        let runs = eventually_for(patience, "every acknowledged event has its run", complete).await?;
        let doubled: Vec<_> = runs.iter().filter(|(_, count)| **count > 1).collect();
        anyhow::ensure!(doubled.is_empty(), "events with more than one run: {doubled:?}");
        Ok(())
    }

    /// The same objects, seen through another road to the engine.
    pub(crate) fn through(self, client: Client) -> Self {
        Self { client, ..self }
    }
}

fn times(pause: Duration, count: usize) -> Duration {
    pause.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A road to an engine that can be cut: connections break, and new ones are refused.
pub(crate) struct Road {
    pub(crate) kubeconfig: PathBuf,
    open: watch::Sender<bool>,
}

impl Road {
    /// A kubeconfig like another, whose engine is reached through this road.
    pub(crate) async fn to(kubeconfig: &Path, folder: &Path) -> anyhow::Result<Self> {
        let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(kubeconfig)?)?;
        let server = config["clusters"][0]["cluster"]["server"].as_str().context("a server")?.to_owned();
        let engine: SocketAddr = server.trim_start_matches("https://").parse()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        config["clusters"][0]["cluster"]["server"] = format!("https://{}", listener.local_addr()?).into();
        let path = folder.join("kubeconfig-by-road");
        std::fs::write(&path, config.to_string())?;
        let open = watch::Sender::new(true);
        let opened = open.subscribe();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let mut opened = opened.clone();
                tokio::spawn(async move {
                    if !*opened.borrow_and_update() {
                        return;
                    }
                    let Ok(mut to) = TcpStream::connect(engine).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                        _ = opened.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Ok(Self { kubeconfig: path, open })
    }

    pub(crate) fn open(&self, open: bool) {
        self.open.send_replace(open);
    }
}

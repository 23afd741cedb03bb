//! An organization with one repository, and a gateway in front of it that has the rights of the committed manifests.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::LazyLock;

use anyhow::Context as _;
use aphex_api::delivery::{Delivery, DeliverySpec, DeliveryVerdict, SecretKeyRef};
use aphex_gateway::calls::Calls;
use aphex_gateway::{Inbox, Settings, sign};
use aphex_runtime::serve::{CONNECTIONS, Limits, Server};
use aphex_runtime::{Clock, Shutdown};
use aphex_testkit::faults::{Faults, kubernetes};
use aphex_testkit::{Cluster, Requests, apply, eventually, platform};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) const SECRET: &str = "whsec_of_the_web_repository";
/// Namespace of the platform.
pub(crate) const PLATFORM: &str = "platform-system";
pub(crate) const REVISION: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
const DEFINITIONS: [&str; 2] = [
    include_str!("../../../aphex/foreign/tekton.yaml"),
    include_str!("../../../aphex/foreign/triggers.yaml"),
];

pub(crate) struct World {
    pub(crate) client: Client,
    /// Name of the organization; its namespace is `org-<name>`, the tenant's `<name>-web`.
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    shutdown: Shutdown,
    cluster: Cluster,
    account: Client,
    /// Whom its gateways may call.
    pub(crate) calls: Calls,
    /// How its gateways take events in.
    pub(crate) inbox: Inbox,
    /// The time of its gateways.
    pub(crate) clock: Clock,
    /// What goes wrong between gateways and engine.
    pub(crate) faults: Faults,
    /// What the gateway asked for.
    pub(crate) requests: Requests,
}

impl World {
    /// A world of its own for a test.
    pub(crate) async fn start(name: &str) -> anyhow::Result<Self> {
        let cluster = Cluster::start().await?;
        let client = cluster.client();
        let name = format!("{name}-{:08x}", rand::random::<u32>());
        install(&client).await?;
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": PLATFORM } });
        apply(&client, &namespace).await?;
        platform::apply_rights(&client, "gateway").await?;
        let (account, requests) = cluster.account(PLATFORM, "aphex-gateway").await?;
        let faults = Faults::new(kubernetes, &[(&name, "NAME")]);
        let world = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            shutdown: Shutdown::new(),
            client,
            name,
            cluster,
            account: faults.client(&account),
            calls: Calls::default(),
            // Many tests share a machine: what is slow here is not away.
            inbox: Inbox { engine_timeout: std::time::Duration::from_secs(9), ..Inbox::default() },
            clock: Clock::system(),
            faults,
            requests,
        };
        for object in world.objects() {
            world.apply(object).await?;
        }
        world.gateway().await
    }

    /// The same world with a gateway that was started anew.
    pub(crate) async fn gateway(mut self) -> anyhow::Result<Self> {
        self.stop().await;
        self.shutdown = Shutdown::new();
        self.address = self.replica(&self.name, &self.shutdown).await?;
        Ok(self)
    }

    /// Ends the gateway, and lets go of its spool.
    pub(crate) async fn stop(&self) {
        self.shutdown.drain(std::time::Duration::from_secs(10)).await;
    }

    /// Starts one more gateway; gives its address.
    pub(crate) async fn replica(&self, identity: &str, shutdown: &Shutdown) -> anyhow::Result<SocketAddr> {
        self.replica_with(identity, shutdown, self.inbox.clone()).await
    }

    /// The same with another inbox.
    pub(crate) async fn replica_with(
        &self,
        identity: &str,
        shutdown: &Shutdown,
        inbox: Inbox,
    ) -> anyhow::Result<SocketAddr> {
        self.serve(Limits::of(CONNECTIONS), identity, shutdown, inbox).await
    }

    /// The same with other bounds.
    pub(crate) async fn replica_within(
        &self,
        limits: Limits,
        identity: &str,
        shutdown: &Shutdown,
    ) -> anyhow::Result<SocketAddr> {
        self.serve(limits, identity, shutdown, self.inbox.clone()).await
    }

    async fn serve(
        &self,
        limits: Limits,
        identity: &str,
        shutdown: &Shutdown,
        inbox: Inbox,
    ) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let settings = Settings {
            server: Server { limits, ..Server::new(listener, "webhooks") },
            domain: "hooks.example.com".into(),
            identity: identity.to_owned(),
            calls: self.calls.clone(),
            inbox,
            clock: self.clock.clone(),
            metrics: aphex_runtime::Metrics::default(),
            readiness: aphex_runtime::admin::Readiness::default(),
        };
        let readiness = settings.readiness.clone();
        shutdown.spawn(aphex_gateway::run(self.account.clone(), settings, shutdown.clone()));
        eventually("the gateway is ready", || async {
            let ready = readiness.is_met(aphex_gateway::READINESS);
            Ok(ready.then_some(()))
        })
        .await?;
        Ok(address)
    }

    /// Namespace of the organization.
    pub(crate) fn organization(&self) -> String {
        format!("org-{}", self.name)
    }

    /// Namespace of the tenant.
    pub(crate) fn tenant(&self) -> String {
        format!("{}-web", self.name)
    }

    fn objects(&self) -> Vec<Value> {
        let (organization, tenant) = (self.organization(), self.tenant());
        let namespace =
            |name: &str| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let mut objects = vec![
            namespace(&organization),
            namespace(&tenant),
            json!({
                "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "EventListener",
                "metadata": { "name": "github-listener", "namespace": organization },
                "spec": { "namespaceSelector": { "matchNames": [organization] } },
            }),
            json!({
                "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "TriggerTemplate",
                "metadata": { "name": "run", "namespace": organization },
                "spec": {
                    "params": [{ "name": "revision" }, { "name": "received", "default": "" }],
                    "resourcetemplates": [{
                        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
                        "metadata": { "generateName": "web-", "namespace": tenant },
                        "spec": {
                            "pipelineRef": { "name": "web" },
                            "params": [
                                { "name": "git-revision", "value": "$(tt.params.revision)" },
                                { "name": "triggered-at", "value": "$(tt.params.received)" },
                            ],
                        },
                    }],
                },
            }),
        ];
        objects.push(self.admitted());
        objects.push(self.admitted_by("aphex-gateway-payloads"));
        objects.extend(self.binding("web", SECRET));
        objects.push(self.permission("web"));
        objects
    }

    /// What lets the gateway work in the organization's namespace; on a cluster the controllers write it.
    pub(crate) fn admitted(&self) -> Value {
        let mut binding = self.admitted_by("aphex-gateway-listener");
        binding["metadata"]["name"] = json!("aphex-gateway");
        binding
    }

    fn admitted_by(&self, role: &str) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": role, "namespace": self.organization() },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [{ "kind": "ServiceAccount", "name": "aphex-gateway", "namespace": PLATFORM }],
        })
    }

    /// Secret, account and trigger of a repository.
    pub(crate) fn binding(&self, name: &str, secret: &str) -> [Value; 3] {
        let metadata = |name: String| json!({ "name": name, "namespace": self.organization() });
        let interceptor = |name: &str, params: Value| json!({ "ref": { "name": name, "kind": "ClusterInterceptor" }, "params": params });
        let secret_ref = json!({ "secretName": format!("webhook-{name}"), "secretKey": "secret" });
        let trigger = json!({
            "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "Trigger", "metadata": metadata(format!("{name}-trigger")),
            "spec": {
                "serviceAccountName": format!("{name}-trigger"),
                "interceptors": [
                    interceptor("github", json!([
                        { "name": "secretRef", "value": secret_ref }, { "name": "eventTypes", "value": ["push"] },
                    ])),
                    interceptor("cel", json!([{ "name": "filter", "value": "body.ref == 'refs/heads/master'" }])),
                ],
                "bindings": [
                    { "name": "revision", "value": "$(body.after)" },
                    { "name": "received", "value": "$(extensions.delivery.receivedTime)" },
                ],
                "template": { "ref": "run" },
            },
        });
        [
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": metadata(format!("webhook-{name}")),
                "data": { "secret": STANDARD.encode(secret) },
            }),
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(format!("{name}-trigger")) }),
            trigger,
        ]
    }

    /// Lets a trigger's account create runs in the tenant's namespace, and nothing else.
    pub(crate) fn permission(&self, name: &str) -> Value {
        let account = json!({
            "kind": "ServiceAccount", "name": format!("{name}-trigger"), "namespace": self.organization(),
        });
        json!({
            "apiVersion": "v1", "kind": "List",
            "items": [
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                    "metadata": { "name": name, "namespace": self.tenant() },
                    "rules": [{ "apiGroups": ["tekton.dev"], "resources": ["pipelineruns"], "verbs": ["create"] }],
                },
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                    "metadata": { "name": name, "namespace": self.tenant() },
                    "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
                    "subjects": [account],
                },
            ],
        })
    }

    /// Applies an object, or the objects of a List.
    pub(crate) async fn apply(&self, object: Value) -> anyhow::Result<()> {
        if let Some(items) = object["items"].as_array() {
            for item in items {
                apply(&self.client, item).await?;
            }
            return Ok(());
        }
        apply(&self.client, &object).await
    }

    /// Posts to the gateway.
    pub(crate) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        post_to(self.address, path)
    }

    /// A client of somebody else, who has no right yet.
    pub(crate) async fn acting_as(&self, name: &str) -> anyhow::Result<Client> {
        self.cluster.acting_as(name, &[]).await
    }

    /// Posts a signed event of the organization.
    pub(crate) async fn deliver(
        &self,
        id: &str,
        event: &str,
        body: &Value,
        secret: &str,
    ) -> anyhow::Result<Value> {
        self.deliver_to(self.address, id, event, body, secret).await
    }

    /// The same to another replica.
    pub(crate) async fn deliver_to(
        &self,
        address: SocketAddr,
        id: &str,
        event: &str,
        body: &Value,
        secret: &str,
    ) -> anyhow::Result<Value> {
        let body = serde_json::to_vec(body)?;
        let response = post_to(address, &format!("/{}", self.name))
            .header("content-type", "application/json")
            .header("x-github-event", event)
            .header("x-github-delivery", id)
            .header("x-hub-signature-256", sign(secret.as_bytes(), &body))
            .body(body)
            .send()
            .await?;
        anyhow::ensure!(response.status() == 200, "{}: {}", response.status(), response.text().await?);
        Ok(response.json().await?)
    }

    /// The Delivery of this name once it has a verdict.
    pub(crate) async fn verdict(&self, name: &str) -> anyhow::Result<(DeliveryVerdict, Delivery)> {
        self.verdict_in(&self.organization(), name).await
    }

    /// The same for a Delivery in another namespace than the organization's.
    pub(crate) async fn verdict_in(
        &self,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<(DeliveryVerdict, Delivery)> {
        let api: Api<Delivery> = Api::namespaced(self.client.clone(), namespace);
        eventually("the delivery has a verdict", || async {
            let delivery = api.get(name).await?;
            Ok(delivery.status.as_ref().and_then(|status| status.verdict).map(|verdict| (verdict, delivery)))
        })
        .await
    }

    /// The stored push of a replica that died before it worked on it.
    pub(crate) fn left_behind(&self, replica: &str, received: jiff::Timestamp) -> anyhow::Result<Delivery> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(push()?.to_string().as_bytes())?;
        let signer =
            SecretKeyRef { namespace: self.organization(), name: "webhook-web".into(), key: "secret".into() };
        let spec = DeliverySpec {
            listener: "github-listener".into(),
            delivery_id: "left-behind".into(),
            event: "push".into(),
            payload: STANDARD.encode(encoder.finish()?),
            verified_by: vec![signer],
            received_by: replica.to_owned(),
            received_time: Some(MicroTime(received)),
            ..DeliverySpec::default()
        };
        Ok(Delivery::new("left-behind", spec))
    }

    /// The runs in the tenant's namespace.
    pub(crate) async fn runs(&self) -> anyhow::Result<Vec<DynamicObject>> {
        Ok(self.run_api().list(&ListParams::default()).await?.items)
    }

    /// Where the runs of the tenant are.
    pub(crate) fn run_api(&self) -> Api<DynamicObject> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "PipelineRun"));
        Api::namespaced_with(self.client.clone(), &self.tenant(), &kind)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

fn post_to(address: SocketAddr, path: &str) -> reqwest::RequestBuilder {
    http().post(format!("http://{address}{path}"))
}

/// One client for all tests, which is costly to make; it keeps no connection, since each test has a runtime of its own.
pub(crate) fn http() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> =
        LazyLock::new(|| reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap_or_default());
    &CLIENT
}

/// GitHub's own example of a push to `refs/heads/master`.
pub(crate) fn push() -> anyhow::Result<Value> {
    Ok(serde_json::from_str(include_str!("../golden/push/event.json"))?)
}

/// A push whose payload takes two objects: no compression makes these letters much fewer than the bytes they stand for.
pub(crate) fn large_push() -> anyhow::Result<Value> {
    let mut noise = vec![0; 720_000];
    rand::fill(&mut noise[..]);
    let mut large = push()?;
    large["noise"] = STANDARD.encode(noise).into();
    Ok(large)
}

pub(crate) async fn install(client: &Client) -> anyhow::Result<()> {
    let mut definitions = vec![serde_json::to_value(Delivery::crd())?];
    for file in DEFINITIONS {
        for document in file.split("\n---\n") {
            definitions.push(serde_saphyr::from_str(document)?);
        }
    }
    for definition in definitions {
        apply(client, &definition).await?;
        let name = definition["metadata"]["name"].as_str().context("a definition has a name")?;
        eventually("the kind is served", || async {
            let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
            let conditions = api.get(name).await?.data["status"]["conditions"].clone();
            let served = conditions
                .as_array()
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "Established" && condition["status"] == "True");
            Ok(served.then_some(()))
        })
        .await?;
    }
    Ok(())
}

//! The corpus through this gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::Context as _;
use aphex_api::delivery::{Delivery, DeliveryStatus, TriggerVerdict};
use aphex_gateway::calls::Calls;
use aphex_gateway::{Settings, sign};
use aphex_runtime::Shutdown;
use aphex_testkit::{Cluster, eventually};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Outcomes;
use super::group::{Group, Request, quoted};
use super::outcome::{Answered, Made, Words, normal, reason};
use crate::world;

/// Label of everything that an event made.
const EVENT: &str = "triggers.tekton.dev/triggers-eventid";
const TRIGGER: &str = "triggers.tekton.dev/trigger";
/// The kinds that the corpus makes.
const KINDS: [(&str, &str, &str); 3] =
    [("", "v1", "ConfigMap"), ("", "v1", "ServiceAccount"), ("tekton.dev", "v1", "PipelineRun")];

/// Where the corpus plays.
pub(super) struct Place {
    pub(super) client: Client,
    /// The namespace of everything that names no other.
    pub(super) namespace: String,
    /// Address of the services, with the scheme.
    pub(super) services: String,
    gateway: SocketAddr,
    shutdown: Shutdown,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

impl Place {
    /// Applies all objects and starts a gateway.
    pub(super) async fn prepare(
        cluster: &Cluster,
        groups: &[Group],
        services: SocketAddr,
    ) -> anyhow::Result<Self> {
        let client = cluster.client();
        // As an organization's, since gateways of other tests on the same server see what is here.
        let namespace = format!("org-corpus-{:08x}", rand::random::<u32>());
        let services = format!("http://{services}");
        world::install(&client).await?;
        for object in surroundings(&namespace) {
            aphex_testkit::apply(&client, &object).await?;
        }
        aphex_testkit::apply(&client, &quoted(&namespace)).await?;
        let mut names = BTreeSet::new();
        for group in groups {
            for object in group.objects(&namespace, &services)? {
                let metadata = &object["metadata"];
                let name = format!("{} {}/{}", object["kind"], metadata["namespace"], metadata["name"]);
                anyhow::ensure!(names.insert(name.clone()), "{}: {name} is of another group", group.name);
                aphex_testkit::replace(&client, &object).await?;
            }
            aphex_testkit::replace(&client, &group.listener(&group.name, &namespace, &services)?).await?;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let gateway = listener.local_addr()?;
        let (shutdown, readiness) = (Shutdown::new(), aphex_runtime::admin::Readiness::default());
        let settings = Settings {
            server: aphex_runtime::serve::Server::new(listener, "webhooks"),
            domain: String::new(),
            identity: namespace.clone(),
            calls: Calls { allowed: vec!["127.0.0.1".parse()?], ..Calls::default() },
            inbox: aphex_gateway::Inbox::default(),
            clock: aphex_runtime::Clock::system(),
            metrics: aphex_runtime::Metrics::default(),
            readiness: readiness.clone(),
        };
        tokio::spawn(aphex_gateway::run(client.clone(), settings, shutdown.clone()));
        eventually("the gateway is ready", || async {
            Ok(readiness.is_met(aphex_gateway::READINESS).then_some(()))
        })
        .await?;
        Ok(Self { client, namespace, services, gateway, shutdown })
    }

    /// Sends all requests.
    pub(super) async fn deliver(&self, groups: &[Group]) -> anyhow::Result<Outcomes> {
        let mut outcomes = Outcomes::new();
        for group in groups {
            let mut requests = BTreeMap::new();
            for request in &group.requests {
                let answered = self.one(group, request).await;
                let answered = answered.with_context(|| format!("{}: {}", group.name, request.name))?;
                requests.insert(request.name.clone(), answered);
            }
            outcomes.insert(group.name.clone(), requests);
        }
        Ok(outcomes)
    }

    async fn one(&self, group: &Group, request: &Request) -> anyhow::Result<Answered> {
        let url = format!("http://{}/{}/{}{}", self.gateway, self.namespace, group.name, request.query);
        let id = format!("{:032x}", rand::random::<u128>());
        let response = send(&url, request).header("x-github-delivery", &id).send().await?;
        let status = response.status().as_u16();
        if status != 200 {
            return Ok(Answered { status, triggers: BTreeMap::new() });
        }
        let api: Api<Delivery> = Api::namespaced(self.client.clone(), &self.namespace);
        let status_of = eventually("the delivery was evaluated", || async {
            let status = api.get(&id).await?.status.unwrap_or_default();
            let decided = status.verdict.is_some() || !status.triggers.is_empty();
            Ok(decided.then_some(status))
        })
        .await?;
        let words =
            Words { namespace: &self.namespace, services: &self.services, event: &id, listener: &group.name };
        Ok(Answered { status, triggers: self.made(&status_of, &words).await? })
    }

    async fn made(
        &self,
        status: &DeliveryStatus,
        words: &Words<'_>,
    ) -> anyhow::Result<BTreeMap<String, Made>> {
        let mut made = BTreeMap::new();
        // An object's label has the trigger's name only; it is empty for the one trigger of a group without a name.
        let mut keys = BTreeMap::new();
        for result in &status.triggers {
            // Triggers of the same name are one case: the label does not tell them apart.
            let name = result.name.split('#').next().unwrap_or_default();
            let key = key(&result.namespace, name, &self.namespace);
            keys.insert(name.to_owned(), key.clone());
            let silence = (result.verdict != TriggerVerdict::Created).then(|| reason(&result.message));
            made.insert(key, Made { objects: Vec::new(), silence });
        }
        for (trigger, objects) in self.objects(words).await? {
            let unnamed =
                || keys.iter().find(|(name, _)| name.starts_with("trigger-")).map(|(_, key)| key.clone());
            let key = keys.get(&trigger).cloned().or_else(unnamed).context("an object has a trigger")?;
            made.entry(key).or_insert_with(Made::default).objects = objects;
        }
        Ok(made)
    }

    /// The objects that an event made, by the trigger's label.
    pub(super) async fn objects(&self, words: &Words<'_>) -> anyhow::Result<BTreeMap<String, Vec<Value>>> {
        let mut made: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (group, version, kind) in KINDS {
            let types = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &types);
            let params = ListParams::default().labels(&format!("{EVENT}={}", words.event));
            for mut object in api.list(&params).await?.items {
                let trigger = object.labels().get(TRIGGER).cloned().unwrap_or_default();
                object.types = Some(kube::core::TypeMeta {
                    api_version: types.api_version.clone(),
                    kind: kind.to_owned(),
                });
                made.entry(trigger).or_default().push(normal(&serde_json::to_value(object)?, words));
            }
        }
        for objects in made.values_mut() {
            objects.sort_by_key(Value::to_string);
        }
        Ok(made)
    }
}

/// A trigger's name in the outcome.
fn key(namespace: &str, name: &str, own: &str) -> String {
    if namespace == own {
        name.to_owned()
    } else {
        format!("{name} in {}", namespace.replace(own, "NAMESPACE"))
    }
}

/// A request, ready to be sent.
pub(super) fn send(url: &str, request: &Request) -> reqwest::RequestBuilder {
    let body = request.bytes();
    let mut builder = world::http().post(url);
    if !request.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
        builder = builder.header("content-type", "application/json");
    }
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    if let Some(secret) = &request.sign {
        builder = builder.header("x-hub-signature-256", sign(secret.as_bytes(), &body));
    }
    builder.body(body)
}

/// Namespaces, and the right of the accounts in the first to make what triggers ask for.
fn surroundings(namespace: &str) -> Vec<Value> {
    let subject = json!({ "kind": "ServiceAccount", "name": "default", "namespace": namespace });
    let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace });
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }),
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": format!("{namespace}-b") } }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": namespace },
            "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["create"] }],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": namespace }, "roleRef": role, "subjects": [subject],
        }),
    ]
}

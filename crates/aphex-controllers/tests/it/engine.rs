//! An engine with our definitions and all controllers, which have the rights of the committed manifests and no more.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use aphex_api::organization::Organization;
use aphex_api::repo_binding::{RepoBinding, RepoBindingStatus};
use aphex_controllers::tunnels::Tunnels;
use aphex_controllers::{Context, Settings};
use aphex_runtime::{Clock, Metrics, Shutdown};
use aphex_testkit::{Cluster, Requests, eventually, platform};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Namespace of our own objects.
pub(crate) const PLATFORM: &str = "platform-system";
/// The gateway's address in these tests.
pub(crate) const GATEWAY: &str = "http://127.0.0.1:8080";

/// An engine with all controllers running.
pub(crate) struct Engine {
    /// Does what users do.
    pub(crate) client: Client,
    /// What the controllers asked for.
    pub(crate) requests: Requests,
    /// Has the rights of the controllers.
    pub(crate) account: Client,
    shutdown: Shutdown,
    /// Gives clients of others.
    pub(crate) cluster: Cluster,
}

/// Running controllers; they end with the engine, or before.
pub(crate) struct Controllers {
    stop: Shutdown,
    task: JoinHandle<()>,
}

impl Controllers {
    /// Ends them, and waits until they have.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.stop.trigger();
        Ok(self.task.await?)
    }
}

impl Engine {
    /// Starts an engine, installs every definition, starts the controllers.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let engine = Self::without_controllers().await?;
        engine.run_controllers()?;
        Ok(engine)
    }

    /// Starts an engine and installs every definition.
    pub(crate) async fn without_controllers() -> anyhow::Result<Self> {
        // Names of tenants are the cluster's.
        let cluster = Cluster::alone().await?;
        let (account, requests) = prepare(&cluster).await?;
        let engine = Self { client: cluster.client(), requests, account, shutdown: Shutdown::new(), cluster };
        engine.install().await?;
        Ok(engine)
    }

    /// Starts the controllers.
    pub(crate) fn run_controllers(&self) -> anyhow::Result<()> {
        self.run_controllers_as(Settings::new(GATEWAY)?);
        Ok(())
    }

    /// Starts the controllers with other settings.
    pub(crate) fn run_controllers_as(&self, settings: Settings) {
        let client = self.account.clone();
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            aphex_controllers::run(client, settings, &Metrics::default(), &shutdown).await;
        });
    }

    /// Starts the controllers with another way in.
    pub(crate) fn run_controllers_with(
        &self,
        settings: Settings,
        clock: Clock,
        tunnels: Arc<dyn Tunnels>,
    ) -> Controllers {
        let context = Context::new(self.account.clone(), settings, clock, tunnels, &Metrics::default());
        let (stop, engine) = (Shutdown::new(), self.shutdown.token());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = aphex_controllers::run_with(Arc::new(context), &stopped) => {}
                () = engine.cancelled() => {}
            }
        });
        Controllers { stop, task }
    }

    async fn install(&self) -> anyhow::Result<()> {
        let ours =
            aphex_api::crds::all().iter().map(serde_json::to_value).collect::<Result<Vec<Value>, _>>()?;
        let mut definitions = ours;
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../aphex/foreign");
        for name in ["tekton", "triggers", "argocd", "external-secrets"] {
            let text = std::fs::read_to_string(folder.join(format!("{name}.yaml")))?;
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text)?;
            definitions.extend(documents.into_iter().filter(|document| !document.is_null()));
        }
        for definition in &definitions {
            self.apply(definition).await?;
        }
        for definition in &definitions {
            let name = definition["metadata"]["name"].as_str().unwrap_or_default();
            let api = self.dynamic("apiextensions.k8s.io", "v1", "CustomResourceDefinition", None);
            eventually(&format!("{name} is established"), || async {
                let conditions = api.get(name).await?.data["status"]["conditions"].clone();
                let established = conditions.as_array().into_iter().flatten();
                Ok(established
                    .into_iter()
                    .any(|c| c["type"] == "Established" && c["status"] == "True")
                    .then_some(()))
            })
            .await?;
        }
        self.apply(&namespace("argocd")).await?;
        platform::apply_policies(&self.client).await?;
        self.policies_hold().await
    }

    /// Waits until the policy that was applied last refuses something; those before it do so by then.
    async fn policies_hold(&self) -> anyhow::Result<()> {
        let object = json!({
            "apiVersion": "aphex.io/v1alpha1",
            "kind": "Organization",
            "metadata": { "name": "probe" },
            "spec": { "displayName": "probe", "adminUsers": ["ann@acme.com"] },
        });
        let object: DynamicObject = serde_json::from_value(object)?;
        let api = self.dynamic("aphex.io", "v1alpha1", "Organization", Some("default"));
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        eventually("the policies are enforced", || async {
            Ok(api.create(&dry, &object).await.is_err_and(is_denied).then_some(()))
        })
        .await
    }

    /// A client of another user.
    pub(crate) async fn acting_as(&self, name: &str, groups: &[&str]) -> anyhow::Result<Client> {
        self.cluster.acting_as(name, groups).await
    }

    /// A client of a ServiceAccount, which need not exist.
    pub(crate) async fn acting_as_account(&self, namespace: &str, name: &str) -> anyhow::Result<Client> {
        let own = format!("system:serviceaccounts:{namespace}");
        let user = format!("system:serviceaccount:{namespace}:{name}");
        self.acting_as(&user, &["system:serviceaccounts", &own]).await
    }

    /// Applies an object as a user does with `kubectl apply --server-side`.
    pub(crate) async fn apply(&self, object: &Value) -> anyhow::Result<DynamicObject> {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let api = self.dynamic(
            group,
            version,
            &kind,
            object.pointer("/metadata/namespace").and_then(Value::as_str),
        );
        let parameters = PatchParams::apply("a-user").force();
        api.patch(&name, &parameters, &Patch::Apply(object))
            .await
            .with_context(|| format!("apply {kind} {name}"))
    }

    /// Requests for objects of any kind.
    pub(crate) fn dynamic(
        &self,
        group: &str,
        version: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Requests for objects of a type in a namespace.
    pub(crate) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Creates an Organization.
    pub(crate) async fn organization(&self, name: &str) -> anyhow::Result<Organization> {
        let spec = json!({ "displayName": name, "adminUsers": ["ann@acme.com", "bob@acme.com"] });
        self.create(PLATFORM, "Organization", name, spec).await
    }

    /// Creates a binding of an organization; the pipeline has the binding's name.
    pub(crate) async fn binding(&self, name: &str, organization: &str) -> anyhow::Result<RepoBinding> {
        self.create(PLATFORM, "RepoBinding", name, binding_spec(name, organization)).await
    }

    /// Creates an object of ours.
    pub(crate) async fn create<K>(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
        spec: Value,
    ) -> anyhow::Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let object: K = serde_json::from_value(json!({
            "apiVersion": "aphex.io/v1alpha1",
            "kind": kind,
            "metadata": { "name": name, "namespace": namespace },
            "spec": spec,
        }))?;
        Ok(self.api::<K>(namespace).create(&PostParams::default(), &object).await?)
    }

    /// Waits until an object of a type exists and a test of it holds.
    pub(crate) async fn until<K>(
        &self,
        namespace: &str,
        name: &str,
        what: &str,
        holds: impl Fn(&K) -> bool,
    ) -> anyhow::Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api = self.api::<K>(namespace);
        let last = std::sync::Mutex::new(None);
        let found = eventually(what, || async {
            let found = api.get_opt(name).await?;
            last.lock().unwrap().clone_from(&found);
            Ok(found.filter(&holds))
        })
        .await;
        found.with_context(|| format!("{namespace}/{name} is {:?}", last.lock().unwrap()))
    }

    /// Waits until a binding's phase is this, and gives its status.
    pub(crate) async fn phase(&self, name: &str, phase: &str) -> anyhow::Result<RepoBindingStatus> {
        let is = |binding: &RepoBinding| {
            let generation = binding.metadata.generation;
            let status = binding.status.as_ref();
            status.is_some_and(|s| format!("{:?}", s.phase) == phase && s.observed_generation == generation)
        };
        let binding = self.until::<RepoBinding>(PLATFORM, name, &format!("{name} is {phase}"), is).await?;
        Ok(binding.status.unwrap_or_default())
    }

    /// Waits until an organization's phase is this.
    pub(crate) async fn organization_phase(&self, name: &str, phase: &str) -> anyhow::Result<Organization> {
        let is = |organization: &Organization| {
            let generation = organization.metadata.generation;
            let status = organization.status.as_ref();
            status.is_some_and(|s| format!("{:?}", s.phase) == phase && s.observed_generation == generation)
        };
        self.until(PLATFORM, name, &format!("{name} is {phase}"), is).await
    }

    /// Whether a namespace exists.
    pub(crate) async fn has_namespace(&self, name: &str) -> anyhow::Result<bool> {
        Ok(Api::<Namespace>::all(self.client.clone()).get_opt(name).await?.is_some())
    }

    /// Everything that carries a label, of every kind the platform makes.
    pub(crate) async fn labelled(&self, selector: &str) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        for (group, version, kind) in KINDS {
            let list = self
                .dynamic(group, version, kind, None)
                .list(&ListParams::default().labels(selector))
                .await?;
            found.extend(list.items.iter().map(|o| format!("{kind} {}", o.name_any())));
        }
        Ok(found)
    }

    /// Ends the test: takes back what is left on a shared cluster, and stops the controllers.
    pub(crate) async fn finish(self) -> anyhow::Result<()> {
        self.take_back().await?;
        self.shutdown.trigger();
        Ok(())
    }

    /// Takes back everything of ours, by controllers that run.
    pub(crate) async fn take_back(&self) -> anyhow::Result<()> {
        // A Pipeline would bring its binding back.
        for (group, kind) in [
            ("platform.dev", "Pipeline"),
            ("aphex.io", "RepoBinding"),
            ("aphex.io", "Organization"),
            ("aphex.io", "KnowledgeBase"),
        ] {
            let api = self.dynamic(group, "v1alpha1", kind, None);
            for object in api.list(&ListParams::default()).await?.items {
                let namespace = object.namespace();
                let api = self.dynamic(group, "v1alpha1", kind, namespace.as_deref());
                api.delete(&object.name_any(), &kube::api::DeleteParams::default()).await?;
            }
            eventually(&format!("every {kind} is gone"), || async {
                Ok(api.list(&ListParams::default()).await?.items.is_empty().then_some(()))
            })
            .await?;
        }
        Ok(())
    }
}

/// Makes the account of the controllers, with the rights that the committed manifests give it.
async fn prepare(cluster: &Cluster) -> anyhow::Result<(Client, Requests)> {
    let client = cluster.client();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let apply = PatchParams::apply("a-user").force();
    namespaces.patch(PLATFORM, &apply, &Patch::Apply(namespace(PLATFORM))).await?;
    for folder in ["controller", "gateway"] {
        platform::apply_rights(&client, folder).await?;
    }
    cluster.account(PLATFORM, "aphex-controller").await
}

fn is_denied(error: kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.message.contains("ValidatingAdmissionPolicy"))
}

fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// The spec of a binding whose pipeline has the binding's name.
pub(crate) fn binding_spec(name: &str, organization: &str) -> Value {
    json!({
        "aphexOrg": organization,
        "repoOrg": "Acme-GitHub",
        "repoName": format!("{name}.repo"),
        "pipelineName": name,
        "templateRef": "run-pipeline-v1",
        "pipelineSpec": pipeline(name, "  params: [{ name: git-url }, { name: repo-full-name, type: array }]"),
    })
}

/// The spec of a standalone tenant.
pub(crate) fn standalone_spec(tenant: &str, ingress_host: Option<&str>) -> Value {
    let mut spec =
        json!({ "repoOrg": "Acme-GitHub", "repoName": format!("{tenant}.repo"), "tenantName": tenant });
    if let Some(host) = ingress_host {
        spec["ingressHost"] = json!(host);
    }
    spec
}

/// A pipeline as YAML, with more of its spec given.
pub(crate) fn pipeline(name: &str, more: &str) -> String {
    format!(
        "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata:\n  name: {name}\nspec:\n{more}\n  tasks:\n    - name: build\n      taskRef:\n        name: build\n"
    )
}

/// Every kind the platform makes, its bindings too.
pub(crate) fn kinds() -> impl Iterator<Item = ApiResource> {
    let ours = [("aphex.io", "v1alpha1", "RepoBinding")];
    KINDS
        .into_iter()
        .chain(ours)
        .map(|(group, version, kind)| ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)))
}

/// Every kind the platform makes.
pub(crate) const KINDS: [(&str, &str, &str); 22] = [
    ("", "v1", "Namespace"),
    ("", "v1", "Secret"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "ServiceAccount"),
    ("apps", "v1", "Deployment"),
    ("networking.k8s.io", "v1", "Ingress"),
    ("", "v1", "ResourceQuota"),
    ("", "v1", "LimitRange"),
    ("", "v1", "Service"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("rbac.authorization.k8s.io", "v1", "Role"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"),
    ("external-secrets.io", "v1", "ClusterSecretStore"),
    ("argoproj.io", "v1alpha1", "AppProject"),
    ("argoproj.io", "v1alpha1", "Application"),
    ("tekton.dev", "v1", "Pipeline"),
    ("triggers.tekton.dev", "v1beta1", "EventListener"),
    ("triggers.tekton.dev", "v1beta1", "Trigger"),
    ("triggers.tekton.dev", "v1beta1", "TriggerBinding"),
    ("triggers.tekton.dev", "v1beta1", "TriggerTemplate"),
];

impl Engine {
    /// Creates an object of ours as it is written, or tells the API server's answer.
    pub(crate) async fn create_raw(
        &self,
        kind: &str,
        name: &str,
        spec: &Value,
    ) -> Result<DynamicObject, String> {
        let object = json!({
            "apiVersion": "aphex.io/v1alpha1",
            "kind": kind,
            "metadata": { "name": name, "namespace": PLATFORM },
            "spec": spec,
        });
        let object: DynamicObject = serde_json::from_value(object).map_err(|error| error.to_string())?;
        let api = self.dynamic("aphex.io", "v1alpha1", kind, Some(PLATFORM));
        api.create(&PostParams::default(), &object).await.map_err(|error| error.to_string())
    }

    /// Deletes an object that no controller holds.
    pub(crate) async fn delete_raw(&self, kind: &str, name: &str) -> anyhow::Result<()> {
        let api = self.dynamic("aphex.io", "v1alpha1", kind, Some(PLATFORM));
        api.delete(name, &kube::api::DeleteParams::default()).await?;
        Ok(())
    }
}

/// Whether somebody may; the resource is written as kubectl does, with its group behind a dot.
pub(crate) async fn may(
    client: &Client,
    verb: &str,
    resource: &str,
    namespace: &str,
) -> anyhow::Result<bool> {
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let group = if resource == "*" { "*" } else { group };
    let attributes = json!({
        "verb": verb, "resource": resource, "subresource": subresource, "group": group, "namespace": namespace,
    });
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": attributes },
    });
    let request = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header("content-type", "application/json")
        .body(review.to_string().into_bytes())?;
    let answer: Value = client.request(request).await?;
    answer["status"]["allowed"].as_bool().context("the review says neither yes nor no")
}

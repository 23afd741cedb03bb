//! Plans: what they say is what then happens, and nothing happens by them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use aphex_api::organization::Organization;
use aphex_controllers::Settings;
use aphex_controllers::context::Way;
use aphex_controllers::plan::{Action, Change, Plan, Shadow, SubjectKind, Verdict, plan};
use http::{Method, Request};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::client::Body;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::engine::{self, Engine, GATEWAY, PLATFORM, binding_spec};

/// Plans what applying some objects would change.
async fn planned(client: &Client, objects: &[Value]) -> anyhow::Result<Plan> {
    reached(client, objects, Way::Direct).await
}

/// The same on a platform that reaches organizations in some way.
async fn reached(client: &Client, objects: &[Value], way: Way) -> anyhow::Result<Plan> {
    let shadow = Shadow::new(client.clone());
    for object in objects {
        put(&shadow.client(), object).await?;
    }
    let mut settings = Settings::new(GATEWAY)?;
    settings.exposure.way = way;
    Ok(plan(&shadow, settings).await?)
}

/// Applies an object as a user does.
async fn put(client: &Client, object: &Value) -> kube::Result<DynamicObject> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
    let api: Api<DynamicObject> = match text("/metadata/namespace") {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let parameters = PatchParams::apply("a-user").force();
    api.patch(text("/metadata/name"), &parameters, &Patch::Apply(object)).await
}

fn ours(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "aphex.io/v1alpha1", "kind": kind,
        "metadata": { "name": name, "namespace": PLATFORM }, "spec": spec,
    })
}

fn organization(name: &str, admins: &[&str]) -> Value {
    ours("Organization", name, &json!({ "displayName": name, "adminUsers": admins }))
}

fn binding(name: &str, organization: &str) -> Value {
    ours("RepoBinding", name, &binding_spec(name, organization))
}

/// A team's namespace, and a Pipeline in it.
fn pipeline(namespace: &str, name: &str, organization: &str) -> [Value; 2] {
    let team = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": namespace, "labels": { "aphex.dev/org": organization } },
    });
    let pipeline = json!({
        "apiVersion": "platform.dev/v1alpha1", "kind": "Pipeline",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "organization": organization,
            "repository": { "org": "Acme-GitHub", "name": format!("{name}.repo") },
            "pipeline": { "spec": { "tasks": [{ "name": "build", "taskRef": { "name": "build" } }] } },
        },
    });
    [team, pipeline]
}

/// Kind, namespace and name of everything that an action is planned for.
fn named(plan: &Plan, action: Action) -> BTreeSet<String> {
    let shown = |change: &Change| {
        format!("{} {}/{}", change.kind, change.namespace.as_deref().unwrap_or_default(), change.name)
    };
    plan.changes.iter().filter(|change| change.action == action).map(shown).collect()
}

fn verdict<'a>(plan: &'a Plan, kind: SubjectKind, name: &str) -> &'a Verdict {
    plan.verdicts.iter().find(|(subject, _)| subject.kind == kind && subject.name == name).unwrap().1
}

/// Everything on the engine that carries the platform's label for its owner.
async fn owned(engine: &Engine) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for resource in engine::kinds() {
        let api: Api<DynamicObject> = Api::all_with(engine.client.clone(), &resource);
        for object in api.list(&ListParams::default().labels("platform.aphex/owner-uid")).await?.items {
            let namespace = object.namespace().unwrap_or_default();
            found.insert(format!("{} {namespace}/{}", resource.kind, object.name_any()));
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_planned_before_anything_exists_is_what_is_then_made() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    // The organization comes last: the order of the files does not matter.
    let [team, web] = pipeline("team-foresee", "foresee-web", "foresee");
    let objects = [
        binding("foresee-app", "foresee"),
        team.clone(),
        web.clone(),
        organization("foresee", &["ann@acme.com", "bob@acme.com"]),
    ];
    let before = owned(&engine).await?;
    let plan = planned(&engine.client, &objects).await?;
    assert_eq!(owned(&engine).await?, before, "nothing was made");
    assert_eq!(named(&plan, Action::Change), BTreeSet::new());
    assert!(plan.verdicts.values().all(|verdict| verdict.outcome == "applied"), "{:?}", plan.verdicts);
    assert_eq!(plan.verdicts.len(), 4, "{:?}", plan.verdicts);

    for object in &objects {
        put(&engine.client, object).await?;
    }
    engine.run_controllers()?;
    engine.phase("foresee-app", "Ready").await?;
    engine.phase("team-foresee.foresee-web", "Ready").await?;
    engine.organization_phase("foresee", "Active").await?;
    let asked = [
        "RepoBinding platform-system/foresee-app",
        "Organization platform-system/foresee",
        "Pipeline team-foresee/foresee-web",
        "Namespace /team-foresee",
    ];
    let mut made = owned(&engine).await?;
    made.retain(|object| !before.contains(object));
    made.extend(asked.map(str::to_owned));
    assert_eq!(named(&plan, Action::Create), made);

    let again = planned(&engine.client, &objects).await?;
    assert!(again.changes.is_empty(), "{:?}", again.changes);
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_shows_what_changes_and_what_is_pruned() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    // Whoever applied an item of a set is who can take it out.
    put(&engine.client, &organization("edited", &["ann@acme.com", "bob@acme.com"])).await?;
    engine.binding("edited-app", "edited").await?;
    engine.phase("edited-app", "Ready").await?;
    engine.organization_phase("edited", "Active").await?;
    let mut grown = binding("edited-app", "edited");
    grown["spec"]["permissionProfile"] = json!("elevated");
    let plan = planned(&engine.client, &[organization("edited", &["ann@acme.com"]), grown]).await?;
    let pruned = BTreeSet::from(["RoleBinding org-edited/organization-admin-bob@acme.com".to_owned()]);
    assert_eq!(named(&plan, Action::Prune), pruned);
    let changed = named(&plan, Action::Change);
    for expected in [
        "Organization platform-system/edited",
        "RepoBinding platform-system/edited-app",
        "ResourceQuota edited-app/tenant-quota",
        "ClusterRole /pipeline-runner-edited-app",
    ] {
        assert!(changed.contains(expected), "{changed:?}");
    }
    assert!(named(&plan, Action::Create).is_empty() && plan.changes.iter().all(|change| change.tried));
    let quota = plan.changes.iter().find(|change| change.kind == "ResourceQuota").unwrap();
    let cpu = |object: &Option<Value>| object.as_ref().unwrap()["spec"]["hard"]["requests.cpu"].clone();
    assert_eq!((cpu(&quota.before), cpu(&quota.after)), (json!("2"), json!("4")));
    let live = engine.api::<ResourceQuota>("edited-app").get("tenant-quota").await?;
    assert_eq!(live.spec.unwrap_or_default().hard.unwrap_or_default()["requests.cpu"].0, "2");
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_sends_reads_and_dry_runs_alone() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let sent = Arc::new(Mutex::new(Vec::new()));
    let client = recording(engine.client.clone(), &sent);
    let version = || async {
        let list = engine.api::<Organization>(PLATFORM).list(&ListParams::default()).await?;
        anyhow::Ok(list.metadata.resource_version)
    };
    // On a shared server others write meanwhile; there the requests alone tell.
    let before = version().await?;
    let [team, web] = pipeline("team-quiet", "quiet-web", "quiet");
    let objects = [organization("quiet", &["ann@acme.com"]), binding("quiet-app", "quiet"), team, web];
    let plan = planned(&client, &objects).await?;
    assert!(plan.changes.len() > 40, "{}", plan.changes.len());
    if engine.cluster.is_embedded() {
        assert_eq!(version().await?, before, "the engine's revision moved");
    }
    let sent = sent.lock().unwrap().clone();
    let writes: Vec<&(Method, String)> = sent.iter().filter(|(method, _)| *method != Method::GET).collect();
    assert!(writes.len() > 4, "{writes:?}");
    for (method, query) in writes {
        assert!(*method == Method::PATCH || *method == Method::POST, "{method} was sent");
        assert!(query.split('&').any(|part| part == "dryRun=All"), "{method} ?{query}");
    }
    engine.finish().await
}

/// A client that notes method and query of every request.
fn recording(inner: Client, sent: &Arc<Mutex<Vec<(Method, String)>>>) -> Client {
    let sent = Arc::clone(sent);
    let send = move |request: Request<Body>| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        sent.lock().unwrap().push((request.method().clone(), query));
        let inner = inner.clone();
        async move { inner.send(request).await }
    };
    Client::new(tower::service_fn(send), "default")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_is_told_with_the_controllers_own_message() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("stern").await?;
    engine.organization_phase("stern", "Active").await?;
    let mut wrong = binding("stern-app", "stern");
    wrong["spec"]["templateRef"] = json!("no-such-template");
    let privileged = binding("kube-evil", "stern");
    let waiting = binding("stern-early", "nobody-yet");
    let plan = planned(&engine.client, &[wrong.clone(), privileged.clone(), waiting.clone()]).await?;
    let created = named(&plan, Action::Create);
    assert_eq!(created.len(), 3, "a rejection provisions nothing: {created:?}");
    for (object, name, outcome) in [
        (&wrong, "stern-app", "rejected"),
        (&privileged, "kube-evil", "rejected"),
        (&waiting, "stern-early", "waiting"),
    ] {
        let told = verdict(&plan, SubjectKind::RepoBinding, name);
        assert_eq!(told.outcome, outcome);
        put(&engine.client, object).await?;
        let phase = if outcome == "rejected" { "Failed" } else { "Pending" };
        assert_eq!(told.message.as_deref(), Some(engine.phase(name, phase).await?.message.as_str()));
    }
    assert!(verdict(&plan, SubjectKind::RepoBinding, "stern-app").is_bad());
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_that_is_made_shows_what_its_waiting_bindings_become() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.binding("patient-app", "patient").await?;
    engine.phase("patient-app", "Pending").await?;
    let plan = planned(&engine.client, &[organization("patient", &["ann@acme.com"])]).await?;
    let created = named(&plan, Action::Create);
    assert!(
        created.contains("Namespace /patient-app") && created.contains("Namespace /org-patient"),
        "{created:?}"
    );
    let listener = plan.changes.iter().find(|change| change.kind == "EventListener").unwrap();
    let names = &listener.after.as_ref().unwrap()["spec"]["namespaceSelector"]["matchNames"];
    assert_eq!(*names, json!(["org-patient", "patient-app"]));
    assert!(!listener.tried, "its namespace is not there");
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_write_what_the_controllers_make_still_has_a_plan() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("humble").await?;
    engine.binding("humble-app", "humble").await?;
    engine.phase("humble-app", "Ready").await?;
    let rights = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": "test-planner" },
        "rules": [
            { "apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"] },
            { "apiGroups": ["aphex.io"], "resources": ["organizations", "repobindings"], "verbs": ["create", "patch"] },
        ],
    });
    let given = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": "test-planner" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "test-planner" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "planner" }],
    });
    engine.apply(&rights).await?;
    engine.apply(&given).await?;
    let client = engine.acting_as("planner", &[]).await?;
    let mut grown = binding("humble-app", "humble");
    grown["spec"]["permissionProfile"] = json!("elevated");
    let plan = planned(&client, &[grown]).await?;
    let quota = plan.changes.iter().find(|change| change.kind == "ResourceQuota").unwrap();
    assert!(!quota.tried && quota.action == Action::Change, "{quota:?}");
    assert_eq!(quota.after.as_ref().unwrap()["spec"]["hard"]["requests.cpu"], "4");
    let asked = plan.changes.iter().find(|change| change.kind == "RepoBinding").unwrap();
    assert!(asked.tried, "what the user may write is tried");
    let refused = put(&Shadow::new(client).client(), &pipeline("team-humble", "x", "humble")[0]).await;
    assert!(
        refused.is_err_and(|error| error.to_string().contains("forbidden")),
        "what is asked for is no computation"
    );
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_in_no_plan() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("hush").await?;
    engine.organization_phase("hush", "Active").await?;
    let mut chosen = organization("hush", &["ann@acme.com", "bob@acme.com"]);
    chosen["spec"]["webhookSecret"] = json!("very-secret-and-long-enough");
    let plan = planned(&engine.client, &[chosen, binding("hush-app", "hush")]).await?;
    let changed = named(&plan, Action::Change);
    assert!(changed.contains("Secret org-hush/github-webhook-secret"), "{changed:?}");
    let shown = format!("{plan:?}{}", serde_json::to_string(&plan.changes)?);
    assert!(
        !shown.contains("very-secret") && !shown.contains("whsec_") && !shown.contains("d2hzZWNf"),
        "{shown}"
    );
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strayed_is_part_of_the_plan() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let objects = [organization("astray", &["ann@acme.com"])];
    put(&engine.client, &objects[0]).await?;
    let plan = planned(&engine.client, &objects).await?;
    let created = named(&plan, Action::Create);
    assert!(
        created.contains("EventListener org-astray/github-listener"),
        "no controller ever ran: {created:?}"
    );
    assert!(named(&plan, Action::Change).contains("Organization platform-system/astray"), "its finalizer");
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_that_would_be_made_is_in_the_plan_and_is_not_made() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let objects = [organization("dug", &["ann@acme.com"]), binding("dug-app", "dug")];
    let plan = reached(&engine.client, &objects, Way::Tunnel("example.com".to_owned())).await?;
    let created = named(&plan, Action::Create);
    for expected in
        ["Deployment org-dug/cloudflared-dug", "ConfigMap org-dug/cloudflared-config", "Namespace /dug-app"]
    {
        assert!(created.contains(expected), "{expected} is not in {created:?}");
    }
    let told = verdict(&plan, SubjectKind::Organization, "dug");
    assert!(told.message.as_ref().is_some_and(|message| message.contains("to become available")), "{told:?}");
    let plan = reached(&engine.client, &objects, Way::Ingress("example.com".to_owned())).await?;
    let created = named(&plan, Action::Create);
    assert!(created.iter().any(|object| object.starts_with("Ingress ")), "{created:?}");
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_what_would_be_made_at_cloudflare_and_asks_nobody_there() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    let tunnels = Way::Tunnel("example.com".to_owned());
    let outside = |plan: &Plan| {
        let said = plan.outside.iter().map(|o| format!("{:?} {} {}", o.action, o.kind.as_str(), o.name));
        said.collect::<Vec<_>>()
    };
    let objects = [organization("far", &["ann@acme.com"])];
    let plan = reached(&engine.client, &objects, tunnels.clone()).await?;
    let both = ["Create Cloudflare tunnel webhooks-far", "Create Cloudflare DNS record far.example.com"];
    assert_eq!(outside(&plan), both);
    assert_eq!(outside(&planned(&engine.client, &objects).await?), Vec::<String>::new());

    // As if a tunnel had been made for it below that domain.
    engine.organization("near").await?;
    engine.organization_phase("near", "Active").await?;
    let uid = engine.api::<Organization>(PLATFORM).get("near").await?.uid().unwrap_or_default();
    let file = json!({ "AccountTag": "a", "TunnelSecret": "c2VjcmV0", "TunnelID": "t" }).to_string();
    let credentials = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": "cloudflared-credentials-near", "namespace": "org-near",
            "annotations": { "platform.aphex/tunnel-host": "near.example.com" },
            "labels": {
                "platform.aphex/owner-kind": "Organization", "platform.aphex/owner-name": "near",
                "platform.aphex/owner-uid": uid,
            },
        },
        "stringData": { "credentials.json": file },
    });
    let near = [organization("near", &["ann@acme.com"]), credentials];
    assert_eq!(outside(&reached(&engine.client, &near, tunnels).await?), Vec::<String>::new());
    let moved = reached(&engine.client, &near, Way::Tunnel("other.example".to_owned())).await?;
    let expected = [
        "Prune Cloudflare DNS record near.example.com".to_owned(),
        "Create Cloudflare DNS record near.other.example".to_owned(),
    ];
    assert_eq!(outside(&moved), expected);
    let local = reached(&engine.client, &near, Way::Direct).await?;
    let expected = [
        "Prune Cloudflare tunnel webhooks-near".to_owned(),
        "Prune Cloudflare DNS record near.example.com".to_owned(),
    ];
    assert_eq!(outside(&local), expected);
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_of_a_knowledge_base_says_what_its_status_would() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let server = aphex_testkit::git::GitServer::start().await?;
    let commit = server.repository("app.git").await?;
    let repositories = json!([{ "url": server.url("app.git") }, { "url": server.url("none.git") }]);
    let docs = |repositories: &Value| {
        [ours("KnowledgeBase", "docs", &json!({ "displayName": "Docs", "repositories": repositories }))]
    };
    let shadow = Shadow::new(engine.client.clone());
    put(&shadow.client(), &docs(&repositories)[0]).await?;
    let policy = aphex_controllers::GitPolicy { hosts: None, allow_private: true };
    let git = aphex_controllers::GitSettings { policy, ..aphex_controllers::GitSettings::default() };
    let found = plan(&shadow, Settings { git, ..Settings::new(GATEWAY)? }).await?;
    let said = |plan: &Plan| {
        let verdict = plan.verdicts.iter().find(|(subject, _)| subject.kind == SubjectKind::KnowledgeBase);
        verdict.map(|(_, verdict)| (verdict.outcome, verdict.message.clone().unwrap_or_default()))
    };
    let (outcome, message) = said(&found).unwrap();
    assert!(outcome == "applied" && message.starts_with("Tracking 1 of 2 repositories; "), "{message}");
    assert!(message.contains(&format!("{} main {commit}", server.url("app.git"))), "{message}");
    assert_eq!(found.changes.len(), 1, "nothing but the object itself");
    let (outcome, message) = said(&planned(&engine.client, &docs(&repositories)).await?).unwrap();
    assert!(
        outcome == "rejected"
            && message.starts_with("spec.repositories[0].url must start with https://github.com/"),
        "{message}"
    );
    assert!(
        engine.api::<aphex_api::knowledge_base::KnowledgeBase>(PLATFORM).get_opt("docs").await?.is_none()
    );
    engine.finish().await
}

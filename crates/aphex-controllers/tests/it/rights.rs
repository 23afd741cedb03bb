//! The committed roles against what the controllers ask for: enough, and nothing besides.

use std::collections::BTreeSet;
use std::sync::Arc;

use aphex_api::knowledge_base::KnowledgeBase;
use aphex_api::organization::Organization;
use aphex_api::pipeline::Pipeline;
use aphex_api::repo_binding::RepoBinding;
use aphex_controllers::Settings as CoreSettings;
use aphex_controllers::tunnels::{Local, ThroughIngress};
use aphex_runtime::lease::{Elector, Settings};
use aphex_runtime::{Clock, Metrics, Shutdown};
use aphex_testkit::cloudflare::Cloudflare;
use aphex_testkit::{eventually, platform};
use k8s_openapi::api::core::v1::LimitRange;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::cloudflare;
use crate::engine::{Engine, GATEWAY, PLATFORM, binding_spec, standalone_spec};

/// Rules that one session does not come to use, and when they are.
const SELDOM: [(&str, &str); 3] = [
    // An event that comes again within minutes is counted in the one that is there.
    ("events.events.k8s.io", "patch"),
    // Objects that a newer version does not want any more; else they go with their namespace.
    ("", "delete"),
    // Given away, not asked for.
    (
        "clusterroles.rbac.authorization.k8s.io aphex-gateway-listener,aphex-gateway-payloads,aphex-gateway-tenant,aphex-listener-dispatcher,aphex-listener-reader",
        "bind",
    ),
];

/// Everything a controller does in its life: provision, repair, prune, take back, and compete for the lead.
async fn session() -> anyhow::Result<(Engine, BTreeSet<(String, String)>)> {
    let engine = Engine::without_controllers().await?;
    let local = Arc::new(Local::new(GATEWAY));
    let controllers = engine.run_controllers_with(CoreSettings::new(GATEWAY)?, Clock::system(), local);
    engine.organization("rights").await?;
    engine.binding("rights-app", "rights").await?;
    let mut elevated = binding_spec("rights-infra", "rights");
    elevated["permissionProfile"] = json!("elevated");
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", "rights-infra", elevated).await?;
    let alone = standalone_spec("rights-alone", Some("hooks.example.com"));
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", "rights-alone", alone).await?;
    engine.phase("rights-alone", "Ready").await?;
    // A host that is not asked: the status is written all the same.
    let elsewhere =
        json!({ "displayName": "Docs", "repositories": [{ "url": "https://git.example.com/acme/docs" }] });
    engine.create::<KnowledgeBase>(PLATFORM, "KnowledgeBase", "rights-docs", elsewhere).await?;
    let failed = |docs: &KnowledgeBase| docs.status.is_some();
    engine.until::<KnowledgeBase>(PLATFORM, "rights-docs", "its status is written", failed).await?;
    engine.ready_pipeline("team-rights", "rights-web", "rights").await?;
    engine.phase("rights-app", "Ready").await?;
    engine.phase("rights-infra", "Ready").await?;
    crate::runs::every_change(&engine, "rights-app").await?;
    let given = given(&engine).await?;

    let limits = engine.api::<LimitRange>("rights-app");
    limits.delete("tenant-limits", &DeleteParams::default()).await?;
    eventually("the limits are back", || async { Ok(limits.get_opt("tenant-limits").await?) }).await?;

    let fewer = json!({ "spec": { "adminUsers": ["ann@acme.com"] } });
    let organizations = engine.api::<Organization>(PLATFORM);
    let before = engine.api::<RoleBinding>("org-rights").list(&ListParams::default()).await?.items.len();
    organizations.patch("rights", &PatchParams::default(), &Patch::Merge(&fewer)).await?;
    eventually("an administrator's binding is pruned", || async {
        let now = engine.api::<RoleBinding>("org-rights").list(&ListParams::default()).await?.items.len();
        Ok((now < before).then_some(()))
    })
    .await?;

    engine.api::<Pipeline>("team-rights").delete("rights-web", &DeleteParams::default()).await?;
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    for name in ["rights-app", "rights-infra", "rights-alone"] {
        bindings.delete(name, &DeleteParams::default()).await?;
    }
    organizations.delete("rights", &DeleteParams::default()).await?;
    eventually("everything is taken back", || async {
        Ok(organizations.get_opt("rights").await?.is_none().then_some(()))
    })
    .await?;
    controllers.end().await?;
    other_ways_in(&engine).await?;
    lead(&engine).await?;
    Ok((engine, given))
}

/// Organizations behind a tunnel, and behind an Ingress.
async fn other_ways_in(engine: &Engine) -> anyhow::Result<()> {
    let stand_in = Cloudflare::start().await?;
    let controllers = cloudflare::run(engine, &stand_in, &Clock::system())?;
    engine.organization("rights-tunnel").await?;
    cloudflare::connectors_run(engine, "rights-tunnel").await?;
    come_and_go(engine, "rights-tunnel").await?;
    controllers.end().await?;

    let ingress = Arc::new(ThroughIngress::new("hooks.example.com"));
    let controllers = engine.run_controllers_with(CoreSettings::new(GATEWAY)?, Clock::system(), ingress);
    engine.organization("rights-ingress").await?;
    come_and_go(engine, "rights-ingress").await?;
    controllers.end().await
}

/// Waits until an organization is in place, then takes it back.
async fn come_and_go(engine: &Engine, name: &str) -> anyhow::Result<()> {
    engine.organization_phase(name, "Active").await?;
    let organizations = engine.api::<Organization>(PLATFORM);
    organizations.delete(name, &DeleteParams::default()).await?;
    eventually(&format!("{name} is gone"), || async {
        Ok(organizations.get_opt(name).await?.is_none().then_some(()))
    })
    .await
}

/// Takes the Lease, renews it, and gives it up.
async fn lead(engine: &Engine) -> anyhow::Result<()> {
    let settings = Settings::new(PLATFORM, "aphex-controller", "replica");
    let elector = Elector::new(engine.account.clone(), settings, Clock::system(), &Metrics::default());
    let led = elector.acquire(&Shutdown::new()).await;
    led.ok_or_else(|| anyhow::anyhow!("stopped"))?.release().await;
    Ok(())
}

/// The rules of all roles that the controllers made, taken apart.
async fn given(engine: &Engine) -> anyhow::Result<BTreeSet<(String, String)>> {
    let mut given = BTreeSet::new();
    for kind in ["Role", "ClusterRole"] {
        let made = ListParams::default().labels("platform.aphex/managed-by");
        for role in engine.dynamic("rbac.authorization.k8s.io", "v1", kind, None).list(&made).await?.items {
            given.extend(platform::single(&platform::rules(&serde_json::to_value(&role)?)?));
        }
    }
    Ok(given)
}

fn role(name: &str) -> anyhow::Result<Value> {
    let all = platform::manifests("controller")?;
    let found = all.into_iter().find(|object| {
        object["kind"].as_str().is_some_and(|kind| kind.ends_with("Role"))
            && object["metadata"]["name"] == name
    });
    found.ok_or_else(|| anyhow::anyhow!("there is no role {name}"))
}

fn seldom(kind: &str, verb: &str) -> bool {
    SELDOM.iter().any(|(known, of)| *of == verb && (known.is_empty() || *known == kind))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_roles_give_what_is_asked_for_and_nothing_else() -> anyhow::Result<()> {
    let (engine, given) = session().await?;
    let asked = engine.requests.asked();
    let rules = platform::rules(&role("aphex-controller")?)?;
    let lease = platform::rules(&role("aphex-controller-lease")?)?;
    let refused: Vec<String> = asked
        .iter()
        .filter(|asked| {
            let here = asked.namespace == PLATFORM && platform::allow(&lease, asked);
            !here && !platform::allow(&rules, asked)
        })
        .map(ToString::to_string)
        .collect();
    assert_eq!(refused, Vec::<String>::new(), "asked for and not allowed");

    let used: BTreeSet<(String, String)> =
        asked.iter().map(|asked| (asked.kind(), asked.verb.clone())).collect();
    let held = platform::single(&rules).into_iter().chain(platform::single(&lease));
    let idle: Vec<_> = held
        .filter(|(kind, verb)| {
            let plain = kind.split(' ').next().unwrap_or_default().to_owned();
            !used.contains(&(plain, verb.clone())) && !seldom(kind, verb)
        })
        .collect();
    assert_eq!(idle, Vec::new(), "allowed and never asked for");

    let grants = platform::single(&platform::rules(&role("aphex-controller-grants")?)?);
    assert_eq!(
        grants.difference(&given).collect::<Vec<_>>(),
        Vec::<&(String, String)>::new(),
        "held, never given"
    );
    assert_eq!(
        given.difference(&grants).collect::<Vec<_>>(),
        Vec::<&(String, String)>::new(),
        "given, not held"
    );
    engine.finish().await
}

#[test]
fn no_committed_rule_is_about_everything() -> anyhow::Result<()> {
    for object in platform::manifests(".")? {
        for rule in platform::rules(&object)? {
            let parts = [&rule.verbs, &rule.api_groups, &rule.resources, &rule.non_resource_urls];
            let all = parts.iter().any(|part| part.iter().any(|text| text.contains('*')));
            assert!(!all, "{}: {rule:?}", object["metadata"]["name"]);
        }
    }
    Ok(())
}

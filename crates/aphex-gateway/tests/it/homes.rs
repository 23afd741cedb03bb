//! Where Deliveries are kept: a tenant's in its namespace, and nobody's in the namespace of another.

use aphex_api::delivery::{Delivery, DeliveryVerdict, SecretKeyRef};
use aphex_testkit::eventually;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use super::world::{PLATFORM, SECRET, World, push};

const ID: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
const OTHER: &str = "whsec_of_the_other_repository";

impl World {
    /// The organization's listener, which listens for these tenants.
    pub(crate) fn listener_for(&self, tenants: &[&str]) -> Value {
        let mut names = vec![self.organization()];
        names.extend(tenants.iter().map(ToString::to_string));
        json!({
            "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "EventListener",
            "metadata": { "name": "github-listener", "namespace": self.organization() },
            "spec": { "namespaceSelector": { "matchNames": names } },
        })
    }

    /// Secret, account and trigger of a repository whose Deliveries are wanted in this namespace.
    pub(crate) fn binding_at(&self, name: &str, secret: &str, home: &str) -> [Value; 3] {
        let [secret, account, mut trigger] = self.binding(name, secret);
        trigger["metadata"]["annotations"] = json!({ "platform.aphex/deliveries-namespace": home });
        [secret, account, trigger]
    }

    /// What the controllers write into a tenant's namespace, so that the gateway can keep Deliveries there.
    pub(crate) fn admitted_at(tenant: &str) -> [Value; 2] {
        let gateway = json!({ "kind": "ServiceAccount", "name": "aphex-gateway", "namespace": PLATFORM });
        [
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": tenant } }),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": { "name": "aphex-gateway", "namespace": tenant },
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "aphex-gateway-tenant",
                },
                "subjects": [gateway],
            }),
        ]
    }

    /// Lets Deliveries of the repository `web` be kept in the tenant's namespace, and waits until the gateway knows it.
    pub(crate) async fn at_home(&self) -> anyhow::Result<()> {
        let tenant = self.tenant();
        self.apply(self.listener_for(&[&tenant])).await?;
        for object in Self::admitted_at(&tenant).into_iter().chain(self.binding_at("web", SECRET, &tenant)) {
            self.apply(object).await?;
        }
        let mut attempt = 0;
        eventually("the gateway knows where Deliveries are kept", || {
            attempt += 1;
            let id = format!("probe-{attempt}");
            async move {
                self.deliver(&id, "ping", &json!({}), SECRET).await?;
                Ok(self.names_in(&self.tenant()).await?.contains(&id).then_some(()))
            }
        })
        .await
    }

    /// Names of the Deliveries in a namespace, but for those by which [`Self::at_home`] found out.
    async fn names_in(&self, namespace: &str) -> anyhow::Result<Vec<String>> {
        let deliveries: Api<Delivery> = Api::namespaced(self.client.clone(), namespace);
        let found = deliveries.list(&ListParams::default()).await?.items;
        Ok(found.into_iter().filter_map(|delivery| delivery.metadata.name).collect())
    }

    pub(crate) async fn kept_in(&self, namespace: &str) -> anyhow::Result<Vec<String>> {
        let mut names = self.names_in(namespace).await?;
        names.retain(|name| !name.starts_with("probe-"));
        Ok(names)
    }
}

#[tokio::test]
async fn a_tenants_deliveries_are_kept_in_its_namespace() -> anyhow::Result<()> {
    let world = World::start("home").await?;
    world.at_home().await?;
    let answer = world.deliver(ID, "push", &push()?, SECRET).await?;
    assert_eq!(answer["namespace"], world.organization(), "the answer names the listener's namespace");
    let (verdict, delivery) = world.verdict_in(&world.tenant(), ID).await?;
    assert_eq!(verdict, DeliveryVerdict::Created);
    assert_eq!(delivery.spec.listener_namespace, world.organization());
    world.deliver(ID, "push", &push()?, SECRET).await?;
    assert_eq!(world.kept_in(&world.organization()).await?, Vec::<String>::new());
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn one_event_for_two_tenants_is_kept_in_both() -> anyhow::Result<()> {
    let world = World::start("both").await?;
    let (tenant, other) = (world.tenant(), format!("{}-other", world.name));
    world.at_home().await?;
    world.apply(world.listener_for(&[&tenant, &other])).await?;
    for object in World::admitted_at(&other).into_iter().chain(world.binding_at("other", OTHER, &other)) {
        world.apply(object).await?;
    }
    world.apply(world.permission("other")).await?;
    world.deliver(ID, "push", &push()?, SECRET).await?;
    eventually("the other secret is known, and where its events are kept", || async {
        let sent = world.deliver(ID, "push", &push()?, OTHER).await.is_ok();
        Ok((sent && world.kept_in(&other).await? == [ID]).then_some(()))
    })
    .await?;
    world.verdict_in(&tenant, ID).await?;
    world.verdict_in(&other, ID).await?;
    let triggers = |delivery: Delivery| {
        let triggers = delivery.status.unwrap_or_default().triggers;
        triggers.into_iter().map(|trigger| trigger.name).collect::<Vec<_>>()
    };
    assert_eq!(triggers(world.verdict_in(&tenant, ID).await?.1), ["web-trigger"]);
    assert_eq!(triggers(world.verdict_in(&other, ID).await?.1), ["other-trigger"]);
    Ok(())
}

#[tokio::test]
async fn what_a_full_namespace_has_already_is_not_kept_once_more_beside_the_listener() -> anyhow::Result<()> {
    let world = World::start("full").await?;
    world.at_home().await?;
    let mut topic = push()?;
    topic["ref"] = "refs/heads/topic".into();
    world.deliver(ID, "push", &topic, SECRET).await?;
    assert_eq!(world.kept_in(&world.tenant()).await?, [ID]);
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": "deliveries", "namespace": world.tenant() },
        "spec": { "hard": { "count/deliveries.aphex.io": "1" } },
    });
    world.apply(quota).await?;
    let mut attempt = 0;
    // Who counts them learns of the quota a moment later.
    eventually("the namespace takes no more", || {
        attempt += 1;
        let (id, world, topic) = (format!("after-{attempt}"), &world, &topic);
        async move {
            world.deliver(&id, "push", topic, SECRET).await?;
            Ok(world.kept_in(&world.organization()).await?.contains(&id).then_some(()))
        }
    })
    .await?;
    world.deliver(ID, "push", &topic, SECRET).await?;
    assert!(!world.kept_in(&world.organization()).await?.contains(&ID.to_owned()));
    Ok(())
}

#[tokio::test]
async fn what_a_full_namespace_refuses_makes_one_run_though_its_name_is_taken_beside_the_listener()
-> anyhow::Result<()> {
    let world = World::start("full-run").await?;
    world.at_home().await?;
    for object in world.binding("other", OTHER) {
        world.apply(object).await?;
    }
    world.apply(world.permission("other")).await?;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": "deliveries", "namespace": world.tenant() },
        "spec": { "hard": { "count/deliveries.aphex.io": "0" } },
    });
    world.apply(quota).await?;
    eventually("the other secret is known", || async {
        Ok(world.deliver(ID, "push", &push()?, OTHER).await.ok())
    })
    .await?;
    let mut attempt = 0;
    eventually("the namespace takes no more", || {
        attempt += 1;
        let (id, world) = (format!("after-{attempt}"), &world);
        async move {
            world.deliver(&id, "ping", &json!({}), SECRET).await?;
            Ok(world.kept_in(&world.organization()).await?.contains(&id).then_some(()))
        }
    })
    .await?;
    assert_eq!(world.runs().await?.len(), 1);
    world.deliver(ID, "push", &push()?, SECRET).await?;
    let of_the_event = |name: &&String| name.starts_with(ID);
    assert_eq!(world.kept_in(&world.organization()).await?.iter().filter(of_the_event).count(), 2);
    assert_eq!(world.runs().await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn what_the_tenants_namespace_does_not_take_is_kept_beside_the_listener() -> anyhow::Result<()> {
    let world = World::start("away").await?;
    world.at_home().await?;
    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), &world.tenant());
    world.deliver("before", "push", &push()?, SECRET).await?;
    world.verdict_in(&world.tenant(), "before").await?;
    bindings.delete("aphex-gateway", &DeleteParams::default()).await?;
    // A real API server forgets the right a moment later.
    let mut attempt = 0;
    let id = eventually("the gateway may not write there any more", || {
        attempt += 1;
        let (id, world) = (format!("after-{attempt}"), &world);
        async move {
            world.deliver(&id, "push", &push()?, SECRET).await?;
            Ok(world.kept_in(&world.organization()).await?.contains(&id).then_some(id))
        }
    })
    .await?;
    let (verdict, delivery) = world.verdict(&id).await?;
    assert_eq!((verdict, delivery.spec.listener_namespace.as_str()), (DeliveryVerdict::Created, ""));
    // Sent again once the namespace takes it, the event makes no second run.
    let runs = world.runs().await?.len();
    for object in World::admitted_at(&world.tenant()) {
        world.apply(object).await?;
    }
    eventually("the gateway may write there again", || async {
        world.deliver(&id, "push", &push()?, SECRET).await?;
        Ok(world.kept_in(&world.tenant()).await?.contains(&id).then_some(()))
    })
    .await?;
    assert_eq!(world.verdict_in(&world.tenant(), &id).await?.0, DeliveryVerdict::Created);
    assert_eq!(world.runs().await?.len(), runs);
    Ok(())
}

#[tokio::test]
async fn nobody_has_deliveries_written_to_the_namespace_of_another() -> anyhow::Result<()> {
    let world = World::start("thief").await?;
    let (tenant, thief) = (world.tenant(), format!("{}-thief", world.name));
    world.at_home().await?;
    world.apply(world.listener_for(&[&tenant, &thief])).await?;
    for object in World::admitted_at(&thief) {
        world.apply(object).await?;
    }
    let mut reads = world.admitted();
    reads["metadata"] = json!({ "name": "aphex-gateway-secrets", "namespace": thief });
    world.apply(reads).await?;
    // A trigger in the thief's own namespace, verified by a secret of its own, names the victim's.
    for mut object in world.binding_at("evil", OTHER, &tenant) {
        object["metadata"]["namespace"] = json!(thief);
        world.apply(object).await?;
    }
    // One beside the listener names a namespace that is none of its tenants.
    let stray = "whsec_of_the_stray_repository";
    for object in world.binding_at("stray", stray, "default") {
        world.apply(object).await?;
    }
    for (id, secret) in [("stolen", OTHER), ("strayed", stray)] {
        eventually("the gateway may read the secret, and knows it", || async {
            Ok(world.deliver(id, "ping", &json!({}), secret).await.ok())
        })
        .await?;
        world.verdict(id).await?;
        assert_eq!(world.kept_in(&tenant).await?, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test]
async fn a_secret_that_the_gateway_may_not_read_keeps_no_other_sender_out() -> anyhow::Result<()> {
    let world = World::start("unreadable").await?;
    world.at_home().await?;
    let thief = format!("{}-thief", world.name);
    world.apply(world.listener_for(&[&world.tenant(), &thief])).await?;
    for object in World::admitted_at(&thief) {
        world.apply(object).await?;
    }
    for mut object in world.binding_at("evil", OTHER, &thief) {
        object["metadata"]["namespace"] = json!(thief);
        world.apply(object).await?;
    }
    eventually("the gateway knows the trigger whose secret it may not read", || async {
        Ok(world
            .deliver("evil", "ping", &json!({}), OTHER)
            .await
            .err()
            .filter(|e| e.to_string().starts_with("503")))
    })
    .await?;
    world.deliver(ID, "push", &push()?, SECRET).await?;
    assert_eq!(world.verdict_in(&world.tenant(), ID).await?.0, DeliveryVerdict::Created);
    Ok(())
}

#[tokio::test]
async fn a_delivery_that_a_tenant_made_up_fires_no_trigger_of_another() -> anyhow::Result<()> {
    let world = World::start("forger").await?;
    world.at_home().await?;
    let thief = format!("{}-thief", world.name);
    for object in World::admitted_at(&thief) {
        world.apply(object).await?;
    }
    let mut forged = world.left_behind("lost-replica", jiff::Timestamp::now())?;
    forged.spec.listener_namespace = world.organization();
    let signer =
        SecretKeyRef { namespace: world.organization(), name: "webhook-web".into(), key: "secret".into() };
    assert_eq!(forged.spec.verified_by, [signer]);
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &thief);
    deliveries.create(&PostParams::default(), &forged).await?;
    assert_eq!(world.verdict_in(&thief, "left-behind").await?.0, DeliveryVerdict::NoTrigger);
    // The same in the namespace that the trigger names does.
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.tenant());
    deliveries.create(&PostParams::default(), &forged).await?;
    assert_eq!(world.verdict_in(&world.tenant(), "left-behind").await?.0, DeliveryVerdict::Created);
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

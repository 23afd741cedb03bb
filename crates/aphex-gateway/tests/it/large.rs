//! Payloads too large for one object: whose their Deliveries are, where their parts lie, and when these go.

use std::time::Duration;

use aphex_api::delivery::{
    DELIVERY_NAMESPACE_LABEL, Delivery, DeliveryVerdict, REPLAY_ANNOTATION, STORED_ANNOTATION, SecretKeyRef,
};
use aphex_gateway::Inbox;
use aphex_gateway::deliveries::{UnpackError, fetch_payload};
use aphex_gateway::inbox::SpoolSettings;
use aphex_runtime::Shutdown;
use aphex_testkit::eventually;
use aphex_testkit::faults::{Call, Fault};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::world::{SECRET, World, large_push};

const OTHER: &str = "whsec_of_the_other_repository";

impl World {
    fn deliveries_in(&self, namespace: &str) -> Api<Delivery> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn secrets_in(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Names of the parts that lie beside the listener for Deliveries elsewhere.
    async fn parts(&self) -> anyhow::Result<Vec<String>> {
        let labelled = ListParams::default().labels(DELIVERY_NAMESPACE_LABEL);
        let found = self.secrets_in(&self.organization()).list_metadata(&labelled).await?;
        let names = found.items.iter().map(kube::ResourceExt::name_any);
        Ok(names.filter(|name| name.starts_with("delivery-payload-")).collect())
    }

    /// No parts are left for Deliveries elsewhere.
    pub(crate) async fn parts_are_gone(&self) -> anyhow::Result<()> {
        eventually("the parts are gone", || async { Ok(self.parts().await?.is_empty().then_some(())) }).await
    }

    /// Makes a Delivery look so old that it is not kept.
    async fn received_long_ago(&self, namespace: &str, name: &str) -> anyhow::Result<()> {
        let received = MicroTime(Timestamp::now() - Duration::from_hours(8 * 24));
        let patch = json!({ "spec": { "receivedTime": received }, "status": { "completedTime": received } });
        let patch = Patch::Merge(patch);
        self.deliveries_in(namespace).patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Makes all parts look older than any that are being stored.
    async fn stored_hours_ago(&self) -> anyhow::Result<()> {
        let stored = (Timestamp::now() - Duration::from_hours(2)).to_string();
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { STORED_ANNOTATION: stored } } }));
        for part in self.parts().await? {
            self.secrets_in(&self.organization()).patch(&part, &PatchParams::default(), &patch).await?;
        }
        Ok(())
    }

    /// Asks for a replay; gives verdict and message of it.
    async fn replay(&self, name: &str, token: &str) -> anyhow::Result<(DeliveryVerdict, String)> {
        let deliveries = self.deliveries_in(&self.tenant());
        let annotation = json!({ "metadata": { "annotations": { REPLAY_ANNOTATION: token } } });
        deliveries.patch(name, &PatchParams::default(), &Patch::Merge(annotation)).await?;
        eventually("the replay has its verdict", || async {
            let status = deliveries.get(name).await?.status.unwrap_or_default();
            let answered = status.observed_replay.as_deref() == Some(token);
            Ok(status.verdict.filter(|_| answered).map(|verdict| (verdict, status.message)))
        })
        .await
    }

    /// The engine refuses the next Delivery of the tenant, as if the gateway had died before it: its parts are there.
    async fn dies_before(&self, id: &str, large: &Value) -> anyhow::Result<()> {
        self.faults.stage("died");
        let call = Call {
            stage: "died",
            verb: "create".into(),
            kind: "deliveries.aphex.io".into(),
            object: "NAME-web/".into(),
            occurrence: 1,
        };
        self.faults.arm(call, Fault::Internal);
        let refused = self.deliver(id, "push", large, SECRET).await.err();
        let refused = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.starts_with("503") && self.faults.struck(), "{refused}");
        assert_eq!(self.deliveries_in(&self.tenant()).get_opt(id).await?, None);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_large_payloads_with_one_id_at_once_keep_a_payload_each() -> anyhow::Result<()> {
    let world = World::start("large-pair").await?;
    world.deliver("warm", "ping", &json!({}), SECRET).await?;
    let (one, two) = (large_push()?, large_push()?);
    // Once the parts of one are there and its Delivery is not, the other comes.
    world.faults.stage("pair");
    world.faults.hold(|call| {
        let of_a_delivery = call.verb == "create" && call.kind == "deliveries.aphex.io";
        of_a_delivery && call.stage == "pair" && call.object == "org-NAME/" && call.occurrence == 1
    });
    let other = async {
        eventually("one has its parts", || async { Ok((world.faults.holding() == 1).then_some(())) }).await?;
        let answer = world.deliver("pair", "push", &two, SECRET).await?;
        world.faults.release();
        anyhow::Ok(answer)
    };
    let (first, second) = tokio::join!(world.deliver("pair", "push", &one, SECRET), other);
    let mut ids = Vec::new();
    for (answer, body) in [(first?, &one), (second?, &two)] {
        let id = answer["eventID"].as_str().unwrap_or_default().to_owned();
        let (verdict, delivery) = world.verdict(&id).await?;
        assert_eq!(verdict, DeliveryVerdict::Created, "{id}: {:?}", delivery.status);
        assert_eq!(&fetch_payload(&world.client, &delivery).await?.body, body, "{id}");
        assert_eq!(world.deliver("pair", "push", body, SECRET).await?["eventID"], id.as_str());
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(world.runs().await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_large_delivery_is_the_tenants_and_its_parts_lie_where_no_tenant_reads_secrets()
-> anyhow::Result<()> {
    let world = World::start("large-home").await?;
    world.at_home().await?;
    let large = large_push()?;
    world.deliver("large", "push", &large, SECRET).await?;
    let (verdict, delivery) = world.verdict_in(&world.tenant(), "large").await?;
    let spec = &delivery.spec;
    assert_eq!((verdict, spec.repository.as_str()), (DeliveryVerdict::Created, "Codertocat/Hello-World"));
    assert_eq!((spec.payload.as_str(), spec.payload_digest.len()), ("", 64));
    assert_eq!(world.kept_in(&world.organization()).await?, Vec::<String>::new());
    let parts = world.parts().await?;
    assert_eq!((parts.len(), spec.payload_parts), (2, 2));
    let of_the_tenant = world.secrets_in(&world.tenant()).list(&ListParams::default()).await?.items;
    assert!(!of_the_tenant.iter().any(|secret| secret.type_.as_deref() == Some("aphex.io/delivery-payload")));
    assert_eq!(fetch_payload(&world.client, &delivery).await?.body, large);

    // The same once more changes nothing, another payload under its id is another Delivery, and a replay is a second run.
    world.deliver("large", "push", &large, SECRET).await?;
    assert_eq!((world.parts().await?, world.runs().await?.len()), (parts, 1));
    let other = world.deliver("large", "push", &large_push()?, SECRET).await?["eventID"].clone();
    let other = other.as_str().unwrap_or_default().to_owned();
    assert_ne!(other, "large");
    assert_eq!(world.verdict_in(&world.tenant(), &other).await?.0, DeliveryVerdict::Created);
    assert_eq!(world.replay("large", "again").await?.0, DeliveryVerdict::Created);
    assert_eq!((world.parts().await?.len(), world.runs().await?.len()), (4, 3));
    Ok(())
}

#[tokio::test]
async fn parts_go_when_their_delivery_goes_by_hand_or_with_the_tenants_namespace() -> anyhow::Result<()> {
    let world = World::start("large-gone").await?;
    world.at_home().await?;
    let deliveries = world.deliveries_in(&world.tenant());
    world.deliver("by-hand", "push", &large_push()?, SECRET).await?;
    world.verdict_in(&world.tenant(), "by-hand").await?;
    assert_eq!(world.parts().await?.len(), 2);
    deliveries.delete("by-hand", &DeleteParams::default()).await?;
    world.parts_are_gone().await?;

    world.deliver("with-it", "push", &large_push()?, SECRET).await?;
    world.verdict_in(&world.tenant(), "with-it").await?;
    assert_eq!(world.parts().await?.len(), 2);
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(&world.tenant(), &DeleteParams::default()).await?;
    world.parts_are_gone().await
}

#[tokio::test]
async fn retention_takes_the_parts_of_a_delivery_along() -> anyhow::Result<()> {
    let world = World::start("large-old").await?;
    world.at_home().await?;
    world.deliver("old", "push", &large_push()?, SECRET).await?;
    world.verdict_in(&world.tenant(), "old").await?;
    assert_eq!(world.parts().await?.len(), 2);
    world.received_long_ago(&world.tenant(), "old").await?;
    let world = world.gateway().await?;
    world.parts_are_gone().await?;
    assert_eq!(world.kept_in(&world.tenant()).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn who_dies_between_parts_and_delivery_has_accepted_nothing_and_another_finishes() -> anyhow::Result<()>
{
    let world = World::start("large-died").await?;
    world.at_home().await?;
    let (lost, found) = (large_push()?, large_push()?);
    world.dies_before("found", &found).await?;
    assert_eq!((world.parts().await?.len(), world.runs().await?.len()), (2, 0));
    let stop = Shutdown::new();
    let other = world.replica("other", &stop).await?;
    world.deliver_to(other, "found", "push", &found, SECRET).await?;
    assert_eq!(world.verdict_in(&world.tenant(), "found").await?.0, DeliveryVerdict::Created);
    let kept = world.parts().await?;
    assert_eq!((kept.len(), world.runs().await?.len()), (2, 1));
    stop.drain(Duration::from_secs(10)).await;

    // What nobody sends again is swept when it is old; what a Delivery names is not.
    world.faults.stage("");
    let before = world.parts().await?;
    let orphan = world.deliver("orphan", "push", &lost, SECRET).await?;
    world.verdict_in(&world.tenant(), "orphan").await?;
    assert_eq!((orphan["eventID"].as_str(), world.parts().await?.len()), (Some("orphan"), 4));
    world.stop().await;
    world.stored_hours_ago().await?;
    // Its own gateway does not watch while its Delivery goes.
    world.deliveries_in(&world.tenant()).delete("orphan", &DeleteParams::default()).await?;
    let world = world.gateway().await?;
    eventually("the old parts are swept", || async { Ok((world.parts().await? == before).then_some(())) })
        .await?;
    assert_eq!(before, kept);
    assert_eq!(world.replay("found", "after").await?.0, DeliveryVerdict::Created);
    Ok(())
}

#[tokio::test]
async fn an_event_that_comes_again_while_its_parts_are_deleted_keeps_them() -> anyhow::Result<()> {
    let world = World::start("large-race").await?;
    world.at_home().await?;
    let deliveries = world.deliveries_in(&world.tenant());
    let large = large_push()?;
    world.deliver("again", "push", &large, SECRET).await?;
    world.verdict_in(&world.tenant(), "again").await?;
    let parts = world.parts().await?;

    // They have been read and no Delivery was there; then the event comes again before they are deleted.
    world.faults.hold(|call| call.verb == "delete" && call.kind == "secrets");
    deliveries.delete("again", &DeleteParams::default()).await?;
    // On a server that several tests share, another test's gateway may have been first.
    let held = eventually("the first is about to be deleted", || async {
        let held = world.faults.holding() == 1;
        Ok((held || world.parts().await?.is_empty()).then_some(held))
    })
    .await?;
    world.deliver("again", "push", &large, SECRET).await?;
    world.faults.release();
    eventually("the first could not be deleted, and the second is not either", || async {
        let calls = world.faults.calls();
        let asked = calls.iter().filter(|call| call.verb == "delete" && call.kind == "secrets").count();
        Ok((!held || asked == 2).then_some(()))
    })
    .await?;
    let (_, delivery) = world.verdict_in(&world.tenant(), "again").await?;
    assert_eq!(fetch_payload(&world.client, &delivery).await?.body, large);

    // They are deleted after all, when the Delivery is there and not yet tied to them: they are stored once more.
    deliveries.delete("again", &DeleteParams::default()).await?;
    world.parts_are_gone().await?;
    world.faults.stage("anew");
    let is_tie = |call: &Call| {
        call.stage == "anew" && call.verb == "patch" && call.kind == "secrets" && call.occurrence == 2
    };
    world.faults.hold(is_tie);
    let meddle = async {
        eventually("the Delivery is there", || async { Ok((world.faults.holding() == 1).then_some(())) })
            .await?;
        for part in &parts {
            world.secrets_in(&world.organization()).delete(part, &DeleteParams::default()).await?;
        }
        world.faults.release();
        anyhow::Ok(())
    };
    let (sent, meddled) = tokio::join!(world.deliver("again", "push", &large, SECRET), meddle);
    meddled?;
    assert_eq!(sent?["eventID"], "again");
    let (verdict, delivery) = world.verdict_in(&world.tenant(), "again").await?;
    assert_eq!((verdict, world.parts().await?), (DeliveryVerdict::Created, parts));
    assert_eq!(fetch_payload(&world.client, &delivery).await?.body, large);
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_somebody_deleted_of_a_payload_a_redelivery_brings_back() -> anyhow::Result<()> {
    let world = World::start("large-mended").await?;
    world.at_home().await?;
    let large = large_push()?;
    world.deliver("mended", "push", &large, SECRET).await?;
    world.verdict_in(&world.tenant(), "mended").await?;
    let parts = world.parts().await?;
    world.secrets_in(&world.organization()).delete(&parts[0], &DeleteParams::default()).await?;
    let (verdict, message) = world.replay("mended", "without").await?;
    assert_eq!((verdict, message.as_str()), (DeliveryVerdict::Failed, "part 1 of the payload is missing"));
    // What lies under its name is not taken for it.
    world
        .apply(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": { "name": parts[0], "namespace": world.organization() }, "stringData": { "payload": "H4sI" },
        }))
        .await?;
    assert_eq!(world.replay("mended", "forged").await?.0, DeliveryVerdict::Failed);
    world.secrets_in(&world.organization()).delete(&parts[0], &DeleteParams::default()).await?;

    world.deliver("mended", "push", &large, SECRET).await?;
    let deliveries = world.deliveries_in(&world.tenant());
    eventually("it is decided once more", || async {
        let status = deliveries.get("mended").await?.status.unwrap_or_default();
        Ok((status.verdict == Some(DeliveryVerdict::Created)).then_some(()))
    })
    .await?;
    assert_eq!(world.parts().await?, parts);
    Ok(())
}

/// A Delivery beside its listener whose only part somebody has deleted.
async fn without_its_part(world: &World, large: &Value) -> anyhow::Result<Api<Secret>> {
    world.deliver("beside", "push", large, SECRET).await?;
    assert_eq!(world.verdict("beside").await?.1.spec.payload_parts, 1);
    let secrets = world.secrets_in(&world.organization());
    secrets.delete("beside-payload-1", &DeleteParams::default()).await?;
    Ok(secrets)
}

#[tokio::test]
async fn what_somebody_deleted_of_a_payload_beside_its_listener_comes_back() -> anyhow::Result<()> {
    let world = World::start("beside-mended").await?;
    let large = large_push()?;
    let secrets = without_its_part(&world, &large).await?;
    assert_eq!(world.deliver("beside", "push", &large, SECRET).await?["eventID"], "beside");
    let part = secrets.get("beside-payload-1").await?;
    let owners = part.metadata.owner_references.unwrap_or_default();
    assert_eq!(owners.first().map(|owner| owner.name.as_str()), Some("beside"));
    let delivery = world.deliveries_in(&world.organization()).get("beside").await?;
    assert_eq!(fetch_payload(&world.client, &delivery).await?.body, large);
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_event_is_stored_though_of_another_with_its_id_a_part_is_missing() -> anyhow::Result<()> {
    let world = World::start("beside-other").await?;
    let secrets = without_its_part(&world, &large_push()?).await?;
    let other = large_push()?;
    let id = world.deliver("beside", "push", &other, SECRET).await?["eventID"].clone();
    assert_ne!(id, "beside");
    let (verdict, delivery) = world.verdict(id.as_str().unwrap_or_default()).await?;
    assert_eq!((verdict, world.runs().await?.len()), (DeliveryVerdict::Created, 2));
    assert_eq!(fetch_payload(&world.client, &delivery).await?.body, other);
    assert_eq!(secrets.get_opt("beside-payload-1").await?, None);
    Ok(())
}

#[tokio::test]
async fn parts_beside_the_listener_whose_delivery_was_never_stored_are_swept() -> anyhow::Result<()> {
    let world = World::start("beside-swept").await?;
    let tenant = world.tenant();
    world.apply(world.listener_for(&[&tenant])).await?;
    let secrets = world.secrets_in(&world.organization());
    world.deliver("kept", "push", &large_push()?, SECRET).await?;
    world.verdict("kept").await?;
    world.faults.stage("died");
    let call = Call {
        stage: "died",
        verb: "create".into(),
        kind: "deliveries.aphex.io".into(),
        object: "org-NAME/".into(),
        occurrence: 1,
    };
    world.faults.arm(call, Fault::Internal);
    assert!(world.deliver("lost", "push", &large_push()?, SECRET).await.is_err() && world.faults.struck());
    world.stop().await;
    let stored = (Timestamp::now() - Duration::from_hours(2)).to_string();
    let old = Patch::Merge(json!({ "metadata": { "annotations": { STORED_ANNOTATION: stored } } }));
    for part in ["kept-payload-1", "lost-payload-1"] {
        secrets.patch(part, &PatchParams::default(), &old).await?;
    }
    let world = world.gateway().await?;
    eventually("the part that no Delivery names is swept", || async {
        Ok(secrets.get_opt("lost-payload-1").await?.is_none().then_some(()))
    })
    .await?;
    assert!(secrets.get_opt("kept-payload-1").await?.is_some());
    drop(world);
    Ok(())
}

#[tokio::test]
async fn a_delivery_that_a_tenant_made_up_gets_no_payload_of_another() -> anyhow::Result<()> {
    let world = World::start("large-forger").await?;
    let (tenant, thief) = (world.tenant(), format!("{}-thief", world.name));
    world.at_home().await?;
    world.apply(world.listener_for(&[&tenant, &thief])).await?;
    for object in World::admitted_at(&thief).into_iter().chain(world.binding_at("thief", OTHER, &thief)) {
        world.apply(object).await?;
    }
    world.apply(world.permission("thief")).await?;
    eventually("the other tenant's events are kept in its namespace", || async {
        let sent = world.deliver("probe-thief", "ping", &json!({}), OTHER).await.is_ok();
        Ok((sent && world.deliveries_in(&thief).get_opt("probe-thief").await?.is_some()).then_some(()))
    })
    .await?;
    world.deliver("large", "push", &large_push()?, SECRET).await?;
    let (_, victims) = world.verdict_in(&tenant, "large").await?;
    let parts = world.parts().await?;

    // He knows all that the victim's Delivery says, and names its parts; the event would be his, or the victim's.
    let own =
        SecretKeyRef { namespace: world.organization(), name: "webhook-thief".into(), key: "secret".into() };
    for (name, signers) in [("large", vec![own]), ("other", victims.spec.verified_by.clone())] {
        let mut forged = Delivery::new(name, victims.spec.clone());
        forged.spec.verified_by = signers;
        forged.spec.received_by = "nobody".into();
        let forged = world.deliveries_in(&thief).create(&PostParams::default(), &forged).await?;
        let (verdict, decided) = world.verdict_in(&thief, name).await?;
        let message = decided.status.unwrap_or_default().message;
        assert_eq!(
            (verdict, message.as_str()),
            (DeliveryVerdict::Failed, "part 1 of the payload is missing")
        );
        // Nor does anybody see it there who may read all Secrets.
        assert!(matches!(fetch_payload(&world.client, &forged).await, Err(UnpackError::Missing(1))));
        world.deliveries_in(&thief).delete(name, &DeleteParams::default()).await?;
    }
    // Parts of his own Delivery go once it is told that it is deleted; the forged ones were before it.
    world.deliver("his", "push", &large_push()?, OTHER).await?;
    world.verdict_in(&thief, "his").await?;
    assert_eq!(world.parts().await?.len(), parts.len() + 2);
    world.deliveries_in(&thief).delete("his", &DeleteParams::default()).await?;
    eventually("his parts are gone", || async {
        Ok((world.parts().await?.len() == parts.len()).then_some(()))
    })
    .await?;
    assert_eq!(world.parts().await?, parts);
    assert_eq!(world.replay("large", "still").await?.0, DeliveryVerdict::Created);
    assert_eq!(world.runs().await?.len(), 3, "the victim's, its replay's, and that of the other's own event");
    Ok(())
}

#[tokio::test]
async fn who_may_see_a_delivery_and_not_its_parts_is_told_so() -> anyhow::Result<()> {
    let world = World::start("large-seen").await?;
    world.at_home().await?;
    let large = large_push()?;
    world.deliver("large", "push", &large, SECRET).await?;
    world.verdict_in(&world.tenant(), "large").await?;
    let person = format!("ann-{}", world.name);
    let metadata = json!({ "name": "sees-deliveries", "namespace": world.tenant() });
    world
        .apply(json!({ "kind": "List", "items": [
            {
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata,
                "rules": [{ "apiGroups": ["aphex.io"], "resources": ["deliveries"], "verbs": ["get"] }],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "sees-deliveries" },
                "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": person }],
            },
        ] }))
        .await?;
    let client = world.acting_as(&person).await?;
    let deliveries: Api<Delivery> = Api::namespaced(client.clone(), &world.tenant());
    let seen = eventually("the person may look", || async { Ok(deliveries.get("large").await.ok()) }).await?;
    match fetch_payload(&client, &seen).await {
        Err(UnpackError::Refused { namespace, .. }) => assert_eq!(namespace, world.organization()),
        other => panic!("{other:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn a_large_event_goes_over_the_disk_into_the_tenants_namespace() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = World::start("large-disk").await?;
    let spool = SpoolSettings { folder: folder.path().to_owned(), limit: 1 << 26 };
    world.inbox = Inbox { spool: Some(spool), engine_timeout: Duration::from_secs(1), ..Inbox::default() };
    let world = world.gateway().await?;
    world.at_home().await?;
    world.faults.pause(true);
    let large = large_push()?;
    world.deliver("large", "push", &large, SECRET).await?;
    world.faults.pause(false);
    let (verdict, delivery) = world.verdict_in(&world.tenant(), "large").await?;
    assert_eq!((verdict, delivery.spec.payload_parts), (DeliveryVerdict::Created, 2));
    assert_eq!(fetch_payload(&world.client, &delivery).await?.body, large);
    assert_eq!((world.parts().await?.len(), world.runs().await?.len()), (2, 1));
    Ok(())
}

#[tokio::test]
async fn a_large_event_that_the_tenants_namespace_does_not_take_is_kept_beside_the_listener()
-> anyhow::Result<()> {
    let world = World::start("large-away").await?;
    world.at_home().await?;
    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), &world.tenant());
    bindings.delete("aphex-gateway", &DeleteParams::default()).await?;
    let large = large_push()?;
    // A real API server forgets the right a moment later.
    let mut attempt = 0;
    let id = eventually("the gateway may not write there any more", || {
        attempt += 1;
        let (id, world, large) = (format!("large-{attempt}"), &world, &large);
        async move {
            world.deliver(&id, "push", large, SECRET).await?;
            Ok(world.kept_in(&world.organization()).await?.contains(&id).then_some(id))
        }
    })
    .await?;
    let (verdict, delivery) = world.verdict(&id).await?;
    assert_eq!((verdict, delivery.spec.payload_digest.as_str()), (DeliveryVerdict::Created, ""));
    let owned = eventually("the part is owned", || async {
        let part = world.secrets_in(&world.organization()).get(&format!("{id}-payload-1")).await?;
        Ok(part.metadata.owner_references)
    })
    .await?;
    assert_eq!(Some(&owned[0].uid), delivery.metadata.uid.as_ref());
    assert_eq!(fetch_payload(&world.client, &delivery).await?.body, large);
    Ok(())
}

#[tokio::test]
async fn what_an_earlier_release_kept_in_parts_beside_the_listener_is_worked_on_and_retained()
-> anyhow::Result<()> {
    let world = World::start("large-before").await?;
    world.at_home().await?;
    let organization = world.organization();
    let mut left = world.left_behind("lost-replica", Timestamp::now())?;
    let rest = left.spec.payload.split_off(left.spec.payload.len() / 2);
    left.spec.payload_parts = 1;
    let part = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "aphex.io/delivery-payload",
        "metadata": { "name": "left-behind-payload-1", "namespace": organization }, "stringData": { "payload": rest },
    });
    world.apply(part).await?;
    world.deliveries_in(&organization).create(&PostParams::default(), &left).await?;
    assert_eq!(world.verdict("left-behind").await?.0, DeliveryVerdict::Created);
    assert_eq!(world.runs().await?.len(), 1);
    world.received_long_ago(&organization, "left-behind").await?;
    let world = world.gateway().await?;
    eventually("it has expired with its part", || async {
        let part = world.secrets_in(&organization).get_opt("left-behind-payload-1").await?;
        let delivery = world.deliveries_in(&organization).get_opt("left-behind").await?;
        Ok((part.is_none() && delivery.is_none()).then_some(()))
    })
    .await
}

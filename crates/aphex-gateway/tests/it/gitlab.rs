//! Events whose senders give one id to several of them.

use anyhow::Context as _;
use aphex_api::delivery::DeliveryVerdict;
use serde_json::{Value, json};

use super::world::{SECRET, World, push};

const LAB: &str = "token_of_the_gitlab_project";

impl World {
    /// A repository at GitLab, beside the one at GitHub.
    async fn at_gitlab(&self) -> anyhow::Result<()> {
        let [secret, account, mut trigger] = self.binding("lab", LAB);
        let github = trigger["spec"]["interceptors"][0]["params"][0].clone();
        trigger["spec"]["interceptors"] =
            json!([{ "ref": { "name": "gitlab", "kind": "ClusterInterceptor" }, "params": [github] }]);
        for object in [secret, account, trigger, self.permission("lab")] {
            self.apply(object).await?;
        }
        Ok(())
    }

    /// Sends an event of GitLab's; gives its id.
    async fn send_as_gitlab(&self, uuid: &str, key: Option<&str>, body: String) -> anyhow::Result<String> {
        let mut request = self
            .post(&format!("/{}", self.name))
            .header("content-type", "application/json")
            .header("x-gitlab-event", "Push Hook")
            .header("x-gitlab-event-uuid", uuid)
            .header("x-gitlab-token", LAB);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = request.body(body).send().await?;
        anyhow::ensure!(response.status() == 200, "{}", response.status());
        let answer: Value = response.json().await?;
        Ok(answer["eventID"].as_str().context("an answer has an id")?.to_owned())
    }

    /// Gives the number of runs once this event has its verdict, which is that there is one of it.
    async fn runs_with(&self, id: &str) -> anyhow::Result<usize> {
        let (verdict, delivery) = self.verdict(id).await?;
        let message = delivery.status.unwrap_or_default().message;
        anyhow::ensure!(verdict == DeliveryVerdict::Created, "{id}: {verdict:?}: {message}");
        Ok(self.runs().await?.len())
    }
}

#[tokio::test]
async fn events_of_gitlab_that_follow_from_each_other_have_a_run_each_and_retries_have_none()
-> anyhow::Result<()> {
    let world = World::start("gitlab").await?;
    world.at_gitlab().await?;
    let world = world.gateway().await?;
    let body = |after: &str| json!({ "object_kind": "push", "after": after }).to_string();
    let uuid = "13792a34-cac6-4fda-95a8-c58e00a3954e";
    for (key, runs) in [("key-1", 1), ("key-1", 1), ("key-2", 2), ("key-1", 2), ("key-2", 2)] {
        let id = world.send_as_gitlab(uuid, Some(key), body("one")).await?;
        assert_eq!((id.as_str(), world.runs_with(&id).await?), (key, runs));
    }
    // Releases before the key: the payload tells them apart.
    let first = world.send_as_gitlab(uuid, None, body("one")).await?;
    assert_eq!((first.as_str(), world.runs_with(&first).await?), (uuid, 3));
    let second = world.send_as_gitlab(uuid, None, body("two")).await?;
    assert_eq!(world.runs_with(&second).await?, 4);
    assert!(second != first && second.starts_with(uuid), "{second}");
    let third = world.send_as_gitlab(uuid, None, body("three")).await?;
    assert_eq!(world.runs_with(&third).await?, 5);
    for (after, id) in [("one", &first), ("two", &second), ("three", &third)] {
        assert_eq!(&world.send_as_gitlab(uuid, None, body(after)).await?, id);
        let spaced = body(after).replace(':', " : ");
        assert_eq!(&world.send_as_gitlab(uuid, None, spaced).await?, id, "the same JSON");
    }
    assert_eq!(world.runs().await?.len(), 5);
    Ok(())
}

#[tokio::test]
async fn an_id_that_two_events_share_drops_neither_where_the_tenant_keeps_them() -> anyhow::Result<()> {
    let world = World::start("shared").await?;
    world.at_home().await?;
    let mut other = push()?;
    other["after"] = "0123456789012345678901234567890123456789".into();
    for _ in 0..2 {
        for body in [&push()?, &other] {
            let answer = world.deliver("shared", "push", body, SECRET).await?;
            let id = answer["eventID"].as_str().context("an answer has an id")?;
            assert_eq!(world.verdict_in(&world.tenant(), id).await?.0, DeliveryVerdict::Created);
        }
        assert_eq!(world.runs().await?.len(), 2);
    }
    Ok(())
}

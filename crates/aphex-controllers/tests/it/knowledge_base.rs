//! KnowledgeBases, with git's own server behind them.

use std::time::Duration;

use aphex_api::conditions;
use aphex_api::knowledge_base::{KnowledgeBase, KnowledgeBasePhase, KnowledgeBaseStatus, ObservedRepository};
use aphex_controllers::{GitPolicy, GitSettings, Settings};
use aphex_testkit::git::{GitServer, READER};
use aphex_testkit::sshd::Sshd;
use aphex_testkit::{eventually, eventually_for, left_out};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::engine::{Engine, GATEWAY, PLATFORM};

/// An engine whose controllers look at any git server, every second.
async fn start() -> anyhow::Result<Engine> {
    let engine = Engine::without_controllers().await?;
    let policy = GitPolicy { hosts: None, allow_private: true };
    let git = GitSettings { policy, interval: Duration::from_secs(1) };
    engine.run_controllers_as(Settings { git, ..Settings::new(GATEWAY)? });
    Ok(engine)
}

async fn create(engine: &Engine, name: &str, repositories: Value) -> anyhow::Result<()> {
    let spec = json!({ "displayName": "Docs", "repositories": repositories });
    engine.create::<KnowledgeBase>(PLATFORM, "KnowledgeBase", name, spec).await?;
    Ok(())
}

/// Waits until the status of the present spec holds.
async fn status(
    engine: &Engine,
    name: &str,
    what: &str,
    holds: impl Fn(&KnowledgeBaseStatus) -> bool,
) -> anyhow::Result<KnowledgeBaseStatus> {
    let now = |docs: &KnowledgeBase| {
        let status = docs.status.as_ref();
        status.is_some_and(|s| s.observed_generation == docs.metadata.generation && holds(s))
    };
    let docs = engine.until::<KnowledgeBase>(PLATFORM, name, what, now).await?;
    Ok(docs.status.unwrap_or_default())
}

fn commit(repository: &ObservedRepository) -> Option<&str> {
    repository.commit.as_deref()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_are_tracked_and_what_cannot_be_read_fails_nothing_else() -> anyhow::Result<()> {
    let (engine, server) = (start().await?, GitServer::start().await?);
    let main = server.repository("app.git").await?;
    let dev = server.commit("app.git", "dev").await?;
    let secret = server.repository("private/app.git").await?;
    let credentials: Secret = serde_json::from_value(json!({
        "metadata": { "name": "reader" }, "type": "kubernetes.io/basic-auth",
        "stringData": { "username": READER.0, "password": READER.1 },
    }))?;
    engine.api::<Secret>(PLATFORM).create(&PostParams::default(), &credentials).await?;
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let private = server.url("private/app.git");
    create(
        &engine,
        "docs",
        json!([
            { "url": server.url("app.git") },
            { "url": server.url("app.git"), "branch": "dev", "paths": [".kiro/docs/runbooks"] },
            { "url": server.url("app.git"), "branch": "none" },
            { "url": private, "secretRef": { "name": "reader" } },
            { "url": private },
            { "url": private, "secretRef": { "name": "nobody" } },
            { "url": format!("http://{free}/app.git") },
        ]),
    )
    .await?;
    let found = status(&engine, "docs", "everything was looked at", |s| s.repositories.len() == 7).await?;
    assert_eq!(found.phase, KnowledgeBasePhase::Ready);
    let commits: Vec<Option<&str>> = found.repositories.iter().map(commit).collect();
    let (main, dev, secret) = (Some(main.as_str()), Some(dev.as_str()), Some(secret.as_str()));
    assert_eq!(commits, [main, dev, None, secret, None, None, None]);
    let errors: Vec<&str> =
        found.repositories.iter().map(|r| r.error.as_deref().unwrap_or_default()).collect();
    assert_eq!(
        errors[..6],
        [
            "",
            "",
            "branch none does not exist",
            "",
            "the server asks for credentials: name a Secret with them in secretRef",
            "Secret platform-system/nobody does not exist",
        ]
    );
    assert!(errors[6].starts_with("cannot connect to 127.0.0.1: "), "{}", errors[6]);
    assert!(found.message.starts_with("Tracking 3 of 7 repositories; "), "{}", found.message);
    let condition = |name| conditions::find(&found.conditions, name).map(|c| c.status.as_str());
    assert_eq!((condition("Ready"), condition("RepositoriesReachable")), (Some("True"), Some("False")));
    assert!(found.last_reconcile_time.is_some() && found.repositories[0].observed_time.is_some());
    let docs = engine.api::<KnowledgeBase>(PLATFORM).get("docs").await?;
    assert!(docs.finalizers().is_empty(), "there is nothing to take back");

    // A branch that moves is seen, and credentials are nowhere to be read.
    let moved = server.commit("app.git", "main").await?;
    let is_moved = |s: &KnowledgeBaseStatus| commit(&s.repositories[0]) == Some(moved.as_str());
    let later = status(&engine, "docs", "the move is seen", is_moved).await?;
    assert_eq!(commit(&later.repositories[1]), dev);
    let events = engine.api::<Event>(PLATFORM).list(&ListParams::default()).await?;
    let written = format!("{}{}", serde_json::to_string(&later)?, serde_json::to_string(&events.items)?);
    assert!(!written.contains(READER.1));
    engine.api::<Secret>(PLATFORM).delete("reader", &kube::api::DeleteParams::default()).await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_repository_answers_it_is_not_ready_until_one_does() -> anyhow::Result<()> {
    let (engine, server) = (start().await?, GitServer::start().await?);
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let (later, never) = (server.url("later.git"), format!("http://{free}/app.git"));
    create(&engine, "dark", json!([{ "url": later }, { "url": never }])).await?;
    let ready = |s: &KnowledgeBaseStatus| {
        let ready = conditions::find(&s.conditions, "Ready");
        ready.map(|c| (c.status.clone(), c.reason.clone()))
    };
    let is = |status: &str, reason: &str| Some((status.to_owned(), reason.to_owned()));
    let dark = status(&engine, "dark", "none answered", |s| ready(s) == is("False", "Unreachable")).await?;
    assert_eq!(dark.phase, KnowledgeBasePhase::Failed);
    assert!(dark.message.starts_with("Tracking 0 of 2 repositories; "), "{}", dark.message);
    let reachable = conditions::find(&dark.conditions, "RepositoriesReachable").map(|c| c.status.as_str());
    assert_eq!(reachable, Some("False"));
    // Another repository: one that failed is left alone for a while.
    let main = server.repository("app.git").await?;
    let mended = json!({ "spec": { "repositories": [{ "url": server.url("app.git") }, { "url": never }] } });
    let docs = engine.api::<KnowledgeBase>(PLATFORM);
    docs.patch("dark", &PatchParams::default(), &Patch::Merge(&mended)).await?;
    let lit = status(&engine, "dark", "one answers", |s| ready(s) == is("True", "Tracking")).await?;
    assert_eq!((lit.phase, commit(&lit.repositories[0])), (KnowledgeBasePhase::Ready, Some(main.as_str())));
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_steady_state_is_looked_at_and_nothing_is_written() -> anyhow::Result<()> {
    let (engine, server) = (start().await?, GitServer::start().await?);
    server.repository("app.git").await?;
    create(&engine, "steady", json!([{ "url": server.url("app.git") }, { "url": server.url("none.git") }]))
        .await?;
    status(&engine, "steady", "both were looked at", |s| s.repositories.len() == 2).await?;
    let before = engine.api::<KnowledgeBase>(PLATFORM).get("steady").await?;
    let looks = server.requests("/app.git/git-upload-pack");
    eventually("it is looked at again", || async {
        Ok((server.requests("/app.git/git-upload-pack") >= looks + 3).then_some(()))
    })
    .await?;
    let after = engine.api::<KnowledgeBase>(PLATFORM).get("steady").await?;
    assert_eq!(after.resource_version(), before.resource_version());
    // What fails is asked ever more seldom, and nothing else with it.
    assert!(server.requests("/none.git") <= 8, "{}", server.requests("/none.git"));
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_repositories_fit_into_one_object() -> anyhow::Result<()> {
    const MANY: usize = 500;
    let (engine, server) = (start().await?, GitServer::start().await?);
    let main = server.repository("app.git").await?;
    let names: Vec<String> = (0..MANY).map(|number| format!("r{number}.git")).collect();
    for name in &names {
        server.alias(name, "app.git")?;
    }
    let repositories: Vec<Value> = names.iter().map(|name| json!({ "url": server.url(name) })).collect();
    create(&engine, "many", json!(repositories)).await?;
    let docs = engine.api::<KnowledgeBase>(PLATFORM);
    let found = eventually_for(Duration::from_mins(3), "all were looked at", || async {
        let status = docs.get("many").await?.status.unwrap_or_default();
        Ok((status.phase == KnowledgeBasePhase::Ready).then_some(status))
    })
    .await?;
    assert_eq!(found.repositories.len(), MANY);
    let other = found.repositories.iter().find(|found| commit(found) != Some(main.as_str()));
    assert_eq!(other, None);
    assert_eq!(found.message, "Tracking 500 repositories");
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_ssh_the_key_is_the_secrets_and_a_host_that_is_another_is_refused() -> anyhow::Result<()> {
    let Some(sshd) = Sshd::start().await? else {
        left_out("KnowledgeBases over ssh", "there is no sshd: install openssh-server");
        return Ok(());
    };
    let (engine, server) = (start().await?, GitServer::start().await?);
    let main = server.repository("app.git").await?;
    let url = sshd.url(&server.root().join("app.git"));
    let secrets = [
        ("ssh-right", sshd.private_key()?, sshd.known_hosts()?),
        ("ssh-other-host", sshd.private_key()?, sshd.wrong_known_hosts()?),
        ("ssh-no-host", sshd.private_key()?, "elsewhere.example ssh-ed25519 AAAA\n".to_owned()),
        ("ssh-other-key", sshd.unknown_key()?, sshd.known_hosts()?),
    ];
    let api = engine.api::<Secret>(PLATFORM);
    let mut repositories = Vec::new();
    for (name, key, hosts) in &secrets {
        let secret = json!({
            "metadata": { "name": name }, "type": "kubernetes.io/ssh-auth",
            "stringData": { "ssh-privatekey": key, "known_hosts": hosts },
        });
        api.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
        repositories.push(json!({ "url": url, "secretRef": { "name": name } }));
    }
    create(&engine, "by-ssh", json!(repositories)).await?;
    let looked = |s: &KnowledgeBaseStatus| s.repositories.len() == secrets.len();
    let found = status(&engine, "by-ssh", "all were looked at", looked).await?;
    let commits: Vec<Option<&str>> = found.repositories.iter().map(commit).collect();
    assert_eq!(commits, [Some(main.as_str()), None, None, None], "{found:?} {}", sshd.log());
    let errors: Vec<&str> =
        found.repositories.iter().map(|found| found.error.as_deref().unwrap_or_default()).collect();
    assert!(errors[1].contains("key") && errors[2].contains("key"), "the host's: {errors:?}");
    assert_eq!(errors[3], "the server refused the credentials");
    let moved = server.commit("app.git", "main").await?;
    let is_moved = |s: &KnowledgeBaseStatus| commit(&s.repositories[0]) == Some(moved.as_str());
    let later = status(&engine, "by-ssh", "the move is seen", is_moved).await?;
    let written = serde_json::to_string(&later)?;
    assert!(
        !written.contains("PRIVATE KEY") && !written.contains(secrets[0].1.lines().nth(1).unwrap_or("-"))
    );
    for (name, _, _) in &secrets {
        api.delete(name, &kube::api::DeleteParams::default()).await?;
    }
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_that_cannot_be_tracked_fails_until_it_is_mended_and_asks_nobody() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    let server = GitServer::start().await?;
    server.repository("app.git").await?;
    create(&engine, "elsewhere", json!([{ "url": server.url("app.git") }])).await?;
    let failed = |s: &KnowledgeBaseStatus| s.phase == KnowledgeBasePhase::Failed;
    let found = status(&engine, "elsewhere", "it fails", failed).await?;
    assert_eq!(
        found.message,
        "spec.repositories[0].url must start with https://github.com/, or with git@github.com: and have a key in \
         secretRef"
    );
    assert_eq!(found.repositories, []);
    let patch =
        json!({ "spec": { "repositories": [{ "url": "https://github.com/acme/app", "branch": "a..b" }] } });
    let docs = engine.api::<KnowledgeBase>(PLATFORM);
    docs.patch("elsewhere", &PatchParams::default(), &Patch::Merge(&patch)).await?;
    let found = status(&engine, "elsewhere", "it fails otherwise", failed).await?;
    assert_eq!(found.message, "spec.repositories[0].branch: invalid branch name 'a..b'");
    assert_eq!(server.requests("/"), 0);
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_schema_can_refuse_is_never_stored() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let spec = |repositories: Value| json!({ "displayName": "Docs", "repositories": repositories });
    let one = |field: &str, value: Value| {
        let mut repository = json!({ "url": "https://github.com/acme/app" });
        repository[field] = value;
        spec(json!([repository]))
    };
    for (spec, expected) in [
        (spec(json!([])), "should have at least 1 items"),
        (one("url", json!("github.com/acme/app")), "URL must be https://host/path, ssh://user@host/path or"),
        (one("url", json!("https://me:secret@github.com/a")), "URL must not carry credentials"),
        (one("url", json!("ssh://me:secret@github.com/a")), "URL must not carry credentials"),
        (one("paths", json!(["docs"])), "path must start with .kiro/docs"),
        (one("paths", json!([".kiro/docs/../x"])), "path must not contain '..'"),
        (one("branch", json!("a b")), "should match"),
    ] {
        let message = engine.create_raw("KnowledgeBase", "refused", &spec).await.expect_err(expected);
        assert!(message.contains(expected), "{expected}: {message}");
    }
    for url in ["git@github.com:acme/app", "ssh://git@github.com/acme/app", "git://localhost/app"] {
        engine
            .create_raw("KnowledgeBase", "fine", &one("url", json!(url)))
            .await
            .map_err(anyhow::Error::msg)?;
        let docs = engine.api::<KnowledgeBase>(PLATFORM).get("fine").await?;
        assert_eq!(docs.spec.repositories[0].branch, "main");
        assert_eq!(docs.spec.repositories[0].paths, [".kiro/docs"]);
        engine.delete_raw("KnowledgeBase", "fine").await?;
    }
    engine.finish().await
}

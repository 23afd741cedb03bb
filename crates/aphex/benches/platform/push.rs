//! The main job under load: signed pushes in, PipelineRuns out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aphex_api::repo_binding::RepoBinding;
use futures::StreamExt as _;
use kube::Api;
use kube::api::{DynamicObject, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};

use crate::embedded::Up;
use crate::load::{Measured, client, rate};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
const PUSHES: usize = 2_000;
/// Hooks under way at once.
const SENDERS: usize = 32;
/// Long beyond what the runs of all pushes should take.
const PATIENCE: Duration = Duration::from_mins(2);

/// Binds the example repository, sends it many pushes, and waits until each has its run.
pub async fn platform(up: &Up) -> anyhow::Result<Vec<Measured>> {
    let file = |name: &str| format!("{EXAMPLES}/{name}");
    up.run(&["apply", "-f", &file("organization.yaml"), "--wait", "60"])?;
    let bound = up.run(&["apply", "-f", &file("repo-binding.yaml"), "--wait", "60"])?;
    let mut measured = vec![("binding applied to Ready, CLI, ms".to_owned(), millis(bound), false)];
    let payload = Arc::new(std::fs::read(file("github-push.json"))?);
    let (mut answers, runs) = pushes(up, &payload).await?;
    answers.sort_by(f64::total_cmp);
    measured.push(("pushes to runs stored/s".to_owned(), runs, true));
    measured.push((
        "answer to a push under that load, p50, ms".to_owned(),
        answers[answers.len() / 2],
        false,
    ));
    measured.push((
        "answer to a push under that load, p99, ms".to_owned(),
        answers[answers.len() * 99 / 100],
        false,
    ));
    Ok(measured)
}

/// Times of the answers, ms; runs stored a second, from the first push to the last run.
async fn pushes(up: &Up, payload: &Arc<Vec<u8>>) -> anyhow::Result<(Vec<f64>, f64)> {
    let client = client(&up.kubeconfig).await?;
    let bindings: Api<RepoBinding> = Api::namespaced(client.clone(), "platform-system");
    let status = bindings.get("hello-world").await?.status.context("the binding has no status")?;
    let url = status.webhook_url.context("the binding has no webhook URL")?;
    let secret = status.webhook_secret.context("the binding has no webhook secret")?;
    let signature = aphex_gateway::sign(secret.as_bytes(), payload);

    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "PipelineRun"));
    let runs: Api<DynamicObject> = Api::namespaced_with(client, "hello-world", &kind);
    let mut events = runs.watch(&WatchParams::default(), "0").await?.boxed();
    let counted = tokio::spawn(async move {
        let mut seen = 0;
        while seen < PUSHES {
            match events.next().await {
                Some(Ok(WatchEvent::Added(_))) => seen += 1,
                Some(Ok(_)) => {}
                other => anyhow::bail!("the watch of runs ended early: {:?}", other.map(Result::err)),
            }
        }
        Ok(())
    });

    let hooks = reqwest::Client::new();
    let since = Instant::now();
    let sent = futures::stream::iter(0..PUSHES).map(|number| {
        let post = hooks
            .post(&url)
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", "push")
            .header("X-GitHub-Delivery", format!("00000000-0000-4000-8000-{number:012}"))
            .header("X-Hub-Signature-256", &signature)
            .body(payload.to_vec());
        async move {
            let since = Instant::now();
            let status = post.send().await?.status();
            anyhow::ensure!(status.is_success(), "a push was answered {status}");
            Ok(millis(since.elapsed()))
        }
    });
    let answers: Vec<anyhow::Result<f64>> = sent.buffer_unordered(SENDERS).collect().await;
    tokio::time::timeout(PATIENCE, counted).await.context("not every push became a run")???;
    Ok((answers.into_iter().collect::<anyhow::Result<_>>()?, rate(PUSHES, since)))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

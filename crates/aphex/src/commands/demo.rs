//! `aphex demo`: the main job from start to end, in a temporary folder, on real input.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aphex_api::repo_binding::RepoBinding;
use aphex_runtime::Shutdown;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kube::api::{DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt as _};

use super::{apply, push};
use crate::cli::Demo;
use crate::local::{self, Platform, Settings};
use crate::output::{paint, say};

/// The examples, for those who have only the program.
const ORGANIZATION: &str = include_str!("../../../../examples/organization.yaml");
const BINDING: &str = include_str!("../../../../examples/repo-binding.yaml");
const PUSH: &str = include_str!("../../../../examples/github-push.json");
/// How long an object may take to become Ready.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) async fn run(arguments: Demo) -> anyhow::Result<()> {
    let folder =
        tempfile::Builder::new().prefix("aphex-demo-").tempdir().context("cannot make a temporary folder")?;
    let settings = Settings {
        data_dir: folder.path().to_owned(),
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        api_port: 0,
        gateway_port: 0,
        issuer_port: None,
        upstream: None,
        kubeconfig: None,
        authentication_config: None,
        history: None,
        housekeeping: true,
        calls: aphex_gateway::calls::Calls::default(),
        inbox: aphex_gateway::Inbox::default(),
    };
    let shutdown = Shutdown::on_signals()?;
    let steps = Steps::new();
    let platform = steps.step("start the platform", local::start(&settings, shutdown.clone())).await?;
    let shown = tokio::select! {
        shown = show(&platform, arguments.examples.as_deref(), &steps) => shown,
        () = shutdown.triggered() => Err(anyhow::anyhow!("stopped before the end")),
    };
    if shown.is_ok() {
        say(&next(&platform, arguments.keep));
        if arguments.keep {
            shutdown.triggered().await;
        }
    }
    platform.stop().await;
    shown
}

/// Organization, binding, push, run.
async fn show(platform: &Platform, examples: Option<&Path>, steps: &Steps) -> anyhow::Result<()> {
    let (organization, binding, payload) = (
        text(examples, "organization.yaml", ORGANIZATION)?,
        text(examples, "repo-binding.yaml", BINDING)?,
        text(examples, "github-push.json", PUSH)?,
    );
    let mut name = String::new();
    for document in [&organization, &binding] {
        for object in apply::parse(document)? {
            let applied = apply::apply(&platform.client, &object, false).await?;
            let what = format!("{} becomes Ready", applied.title);
            let ready = steps
                .step(&what, apply::wait_until_ready(&applied, PATIENCE, |line| steps.say(line)))
                .await?;
            name = ready.name_any();
        }
    }
    let bindings: Api<RepoBinding> = Api::namespaced(platform.client.clone(), "platform-system");
    let binding = bindings.get(&name).await.with_context(|| format!("cannot get binding {name:?}"))?;
    let event = push::Event { kind: "push", delivery: None, url: None };
    let delivery = steps
        .step("a signed push becomes a PipelineRun", async {
            let sent = push::send(&binding, &event, payload.into_bytes()).await?;
            anyhow::ensure!(sent.accepted, "the gateway answered {} {}", sent.status, sent.body);
            push::verdict(&platform.client, &sent).await
        })
        .await?;
    say("");
    for line in push::describe(&delivery) {
        say(&format!("  {line}"));
    }
    let created =
        delivery.status.iter().flat_map(|status| &status.created).find(|one| one.kind == "PipelineRun");
    let created = created.context("the push created no PipelineRun; the delivery says why")?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "PipelineRun"));
    let namespace = created.namespace.clone().unwrap_or_default();
    let runs: Api<DynamicObject> = Api::namespaced_with(platform.client.clone(), &namespace, &kind);
    let run = runs.get(&created.name).await.context("cannot get the PipelineRun")?;
    for parameter in run.data["spec"]["params"].as_array().into_iter().flatten() {
        let value = match &parameter["value"] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        say(&format!("    {:16} {value}", parameter["name"].as_str().unwrap_or_default()));
    }
    let count = runs.list(&ListParams::default()).await.context("cannot list PipelineRuns")?.items.len();
    anyhow::ensure!(count == 1, "one push made {count} PipelineRuns");
    Ok(())
}

/// An example from the folder, or the built-in one.
fn text(folder: Option<&Path>, name: &str, built_in: &str) -> anyhow::Result<String> {
    match folder {
        Some(folder) => {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        }
        None => Ok(built_in.to_owned()),
    }
}

fn next(platform: &Platform, keep: bool) -> String {
    let kubeconfig = platform.kubeconfig.display();
    if keep {
        format!(
            "\nStill serving until Ctrl-C. In another terminal:\n\n  export KUBECONFIG={kubeconfig}\n  aphex repo list\n  aphex delivery list\n  \
             kubectl get pipelineruns -A\n\nAPI {}, webhooks {}",
            platform.api_url, platform.gateway_url
        )
    } else {
        "\nTry next:\n  aphex demo --keep      leave it serving and look around with kubectl\n  aphex up               the same, kept in your data folder".to_owned()
    }
}

/// Progress for people: a spinner on a terminal, plain lines elsewhere.
struct Steps {
    terminal: bool,
}

impl Steps {
    fn new() -> Self {
        Self { terminal: std::io::IsTerminal::is_terminal(&std::io::stderr()) }
    }

    /// Runs one step and says how long it took.
    async fn step<T>(&self, what: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let target = if self.terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target).with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        let since = Instant::now();
        let result = work.await;
        bar.finish_and_clear();
        let (mark, seconds) = match &result {
            Ok(_) => (paint("ok", "1;32"), since.elapsed().as_secs_f32()),
            Err(_) => (paint("failed", "1;31"), since.elapsed().as_secs_f32()),
        };
        say(&format!("{mark}  {what} ({seconds:.2} s)"));
        result
    }

    fn say(&self, line: &str) {
        if !self.terminal {
            say(line);
        }
    }
}

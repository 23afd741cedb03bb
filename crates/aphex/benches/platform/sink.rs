//! Our gateway beside the sink and interceptors of Tekton Triggers, on one kube-apiserver with etcd.
//!
//! Both evaluate the Trigger that our controller wrote for the example's binding, and make runs of the same
//! TriggerTemplate; the sink does so as itself, because outside of a pod it cannot act as the Trigger's account. An
//! organization's sink is a process (on a cluster: a pod) of its own; the gateway is one for all.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use aphex_testkit::real::{Disk, Programs, Real};
use aphex_testkit::{engine, eventually_for};
use serde_json::{Value, json};

use crate::embedded::{processor, resident};
use crate::floor::{self, Floor};
use crate::payload;
use crate::push::{EXAMPLES, Flow, Hook, Load, PUSHES};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// At five requests a second, more would take minutes.
const PUSHES_AS_SHIPPED: usize = 60;
/// Organizations whose memory is measured, each with a listener of its own.
const ORGANIZATIONS: usize = 1_000;
/// Sinks that stand for so many organizations' sinks, which are all alike.
const SINKS: usize = 10;
/// The namespace of the example's organization.
const NAMESPACE: &str = "org-acme-corp";
/// The EventListener that the sink serves.
const LISTENER: &str = "measured";
const PATIENCE: Duration = Duration::from_mins(2);

/// What was measured of one of them.
pub struct Measured {
    flow: Flow,
    /// Pushes of 60 kB.
    heavy: Flow,
    /// Seconds of the processor for a push that matches nothing.
    unwanted: f64,
    /// Resident, with one organization and with a thousand, MiB.
    memory: [f64; 2],
}

/// What was measured of the gateway alone.
struct Alone {
    /// At half the rate of the full load.
    half: Flow,
    /// With a thousand listeners.
    crowded: Flow,
    /// Seconds of the processor for a push that matches nothing, until its Delivery is deleted again.
    to_the_end: f64,
    /// What a plain client can create at most.
    floor: Floor,
    /// The same client at the rate of `half`.
    half_floor: Floor,
}

/// Measures both; nothing when Tekton's programs are not built.
pub async fn compare(programs: &Programs) -> anyhow::Result<Option<String>> {
    let (Some(sink), Some(interceptors)) =
        (engine("tekton-triggers-eventlistenersink")?, engine("tekton-triggers-interceptors")?)
    else {
        return Ok(None);
    };
    let real = Real::start(programs, Disk::Durable).await.context("cannot start kube-apiserver")?;
    let bench = Bench { kubeconfig: real.kubeconfig(), kubectl: programs.kubectl.clone() };
    bench.install()?;
    let (_controller, ours, alone) = ours(&bench).await?;
    let tekton = Tekton { sink, interceptors };
    let (shipped, raised) = theirs(&bench, &tekton).await?;
    Ok(Some(table(&ours, &raised, &shipped) + &alone.rows(&ours)))
}

/// The gateway, with a controller that stays for what the sinks need.
async fn ours(bench: &Bench) -> anyhow::Result<(Process, Measured, Alone)> {
    let port = free_port()?;
    let url = format!("http://127.0.0.1:{port}");
    let controller = bench.aphex(&["controller", "--leader-elect=false", "--gateway-url", &url])?;
    let gateway = bench.aphex(&["gateway", "--bind", "127.0.0.1", "--port", &port.to_string()])?;
    for file in ["organization.yaml", "repo-binding.yaml"] {
        bench.run_aphex(&["apply", "-f", &format!("{EXAMPLES}/{file}"), "--wait", "60"])?;
    }
    let hook = Hook::of_binding(&bench.kubeconfig).await?;
    until_answers(&format!("{url}/")).await?;
    eprintln!("pushes to the gateway");
    let flow = hook.send(&Load::full(PUSHES)?).await?;
    let one = resident(&[gateway.id()])?;
    let half = hook.send(&Load { rate: Some(flow.rate / 2.0), ..Load::full(PUSHES)? }).await?;
    let heavy =
        hook.send(&Load { payload: payload::bytes(&payload::large()?)?, ..Load::full(PUSHES)? }).await?;
    // What the pushes before these left is not charged to them.
    hook.swept().await?;
    let spent = processor(gateway.id())?;
    let unwanted = unwanted(&hook, &[gateway.id()]).await?;
    hook.swept().await?;
    let to_the_end = each(processor(gateway.id())? - spent);
    let floor = floor::pairs(&bench.kubeconfig, None).await?;
    let half_floor = floor::pairs(&bench.kubeconfig, Some(flow.rate / 2.0)).await?;
    let many: Vec<String> = (1..ORGANIZATIONS).map(organization).collect();
    bench.apply(&many.join("\n---\n"))?;
    bench.kubectl(&[
        "wait",
        "-n",
        "platform-system",
        "--for=condition=Ready",
        "organizations",
        "--all",
        "--timeout=900s",
    ])?;
    // The last of them reaches the gateway a moment later than kubectl.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let memory = [one, resident(&[gateway.id()])?];
    let crowded = hook.send(&Load::full(PUSHES)?).await?;
    Ok((
        controller,
        Measured { flow, heavy, unwanted, memory },
        Alone { half, crowded, to_the_end, floor, half_floor },
    ))
}

/// The sink with the client limits that it is shipped with, and with limits it never meets.
async fn theirs(bench: &Bench, tekton: &Tekton) -> anyhow::Result<(Measured, Measured)> {
    let namespace = "kind: Namespace\napiVersion: v1\nmetadata: {name: tekton-pipelines}";
    let secret = "kind: Secret\napiVersion: v1\nmetadata: {name: tekton-triggers-core-interceptors-certs, namespace: tekton-pipelines}";
    let mut objects =
        vec![namespace.to_owned(), secret.to_owned(), interceptor("github"), interceptor("cel")];
    objects.extend(listener(bench)?);
    bench.apply(&objects.join("\n---\n"))?;
    let unlimited = ["-kube-api-qps=10000", "-kube-api-burst=10000"];
    let mut measured = Vec::new();
    for (limits, pushes) in [(&[][..], PUSHES_AS_SHIPPED), (&unlimited[..], PUSHES)] {
        let interceptors = tekton.interceptors(bench, limits)?;
        until_answers("https://localhost:8443/ready").await?;
        let (first, url) = tekton.sink(bench, limits)?;
        until_answers(&format!("{url}/live")).await?;
        let mut hook = Hook::of_binding(&bench.kubeconfig).await?;
        hook.url = url;
        eprintln!("pushes to Tekton's sink {}", limits.join(" "));
        let flow = hook.send(&Load::full(pushes)?).await?;
        let one = resident(&[first.id(), interceptors.id()])?;
        let heavy = Load { payload: payload::bytes(&payload::large()?)?, ..Load::full(pushes)? };
        let heavy = hook.send(&heavy).await?;
        let unwanted = unwanted(&hook, &[first.id(), interceptors.id()]).await?;
        let mut more = Vec::new();
        for _ in 0..SINKS {
            let (sink, url) = tekton.sink(bench, limits)?;
            until_answers(&format!("{url}/live")).await?;
            more.push(sink);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let ids: Vec<u32> = more.iter().map(Process::id).collect();
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let others = resident(&ids)? * ((ORGANIZATIONS - 1) as f64 / SINKS as f64);
        measured.push(Measured { flow, heavy, unwanted, memory: [one, one + others] });
    }
    let raised = measured.pop().context("two were measured")?;
    Ok((measured.pop().context("two were measured")?, raised))
}

/// Seconds of the processor that some processes have for a push that matches nothing.
async fn unwanted(hook: &Hook, processes: &[u32]) -> anyhow::Result<f64> {
    let spent = || processes.iter().map(|process| processor(*process)).sum::<anyhow::Result<f64>>();
    let before = spent()?;
    hook.send_unwanted(&Load { payload: payload::bytes(&payload::unwanted()?)?, ..Load::full(PUSHES)? })
        .await?;
    Ok(each(spent()? - before))
}

/// What one of all pushes comes to.
fn each(all: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let pushes = PUSHES as f64;
    all / pushes
}

impl Alone {
    /// More rows of the table, for which the sink has no counterpart.
    fn rows(&self, full: &Measured) -> String {
        let Self { half, crowded, to_the_end, floor, half_floor } = self;
        format!(
            "| | processor for a push that matches nothing, until its Delivery is deleted, µs | {:.0} | | |\n\
             | | at half the load: push to answer, p50 and p99, ms | {:.0} and {:.0} | | |\n\
             | | at half the load: push to run stored, p99, ms | {:.0} | | |\n\
             | | with 1,000 listeners: pushes to runs stored/s | {:.0} | | |\n\
             | | floor at half the load: run and Delivery created by a plain client, p50 and p99, ms | {:.0} and {:.0} | | |\n\
             | | floor: run and Delivery created by a plain client, pairs/s | {:.0} | | |\n\
             | {:.2}× | of that floor | {:.0} | | |\n",
            to_the_end * 1e6,
            half.answers.at(50),
            half.answers.at(99),
            half.runs.at(99),
            crowded.rate,
            half_floor.times.at(50),
            half_floor.times.at(99),
            floor.rate,
            full.flow.rate / floor.rate,
            full.flow.rate,
        )
    }
}

/// A table in Markdown, the ratio to the better of Tekton's two first; above 1 is in our favour.
fn table(ours: &Measured, raised: &Measured, shipped: &Measured) -> String {
    let mut text = "| ratio | what | aphex gateway | Tekton, limits raised | Tekton as shipped |\n|---:|---|---:|---:|---:|\n"
        .to_owned();
    let row = |what: &str, more_is_better: bool, figure: fn(&Measured) -> f64| {
        let [ours, raised, shipped] = [ours, raised, shipped].map(figure);
        let ratio = if more_is_better { ours / raised } else { raised / ours };
        format!("| {ratio:.1}× | {what} | {ours:.0} | {raised:.0} | {shipped:.0} |\n")
    };
    text += &row("pushes to runs stored/s", true, |m| m.flow.rate);
    // Writing to a string cannot fail.
    let lost = [ours, raised, shipped].map(|measured| measured.flow.lost);
    let _ = writeln!(
        text,
        "| | of {PUSHES} pushes, answered and without a run | {} | {} | {} of {PUSHES_AS_SHIPPED} |",
        lost[0], lost[1], lost[2]
    );
    let [ours_writes, raised_writes, shipped_writes] = [ours, raised, shipped].map(|m| m.flow.writes);
    let _ = writeln!(
        text,
        "| | writes to etcd for a push | {ours_writes:.1} | {raised_writes:.1} | {shipped_writes:.1} |"
    );
    text += &row("push to run stored, p50, ms", false, |m| m.flow.runs.at(50));
    text += &row("push to run stored, p99, ms", false, |m| m.flow.runs.at(99));
    text += &row("push to answer, p99, ms", false, |m| m.flow.answers.at(99));
    text += &row("pushes of 60 kB to runs stored/s", true, |m| m.heavy.rate);
    text += &row("processor for a push that matches nothing, µs", false, |m| m.unwanted * 1e6);
    text += &row("resident memory, 1 organization, MiB", false, |m| m.memory[0]);
    text += &row("resident memory, 1,000 organizations, MiB", false, |m| m.memory[1]);
    text
}

fn organization(number: usize) -> String {
    format!(
        "apiVersion: aphex.io/v1alpha1\nkind: Organization\nmetadata: {{name: customer-{number}, namespace: platform-system}}\n\
         spec: {{displayName: Customer {number}, adminUsers: [admin@customer-{number}.example.com]}}"
    )
}

fn interceptor(name: &str) -> String {
    format!(
        "apiVersion: triggers.tekton.dev/v1alpha1\nkind: ClusterInterceptor\n\
         metadata: {{name: {name}, labels: {{server/type: https}}}}\nspec: {{clientConfig: {{url: 'https://localhost:8443/{name}'}}}}"
    )
}

/// A listener with a copy of the binding's Trigger that names no account.
fn listener(bench: &Bench) -> anyhow::Result<[String; 2]> {
    let trigger = bench.kubectl(&["get", "trigger", "-n", NAMESPACE, "hello-world-trigger", "-o", "json"])?;
    let mut trigger: Value = serde_json::from_str(&trigger)?;
    trigger["metadata"] = json!({ "name": LISTENER, "namespace": NAMESPACE });
    trigger["spec"].as_object_mut().context("a Trigger has no spec")?.remove("serviceAccountName");
    let listener = json!({
        "apiVersion": "triggers.tekton.dev/v1beta1",
        "kind": "EventListener",
        "metadata": { "name": LISTENER, "namespace": NAMESPACE },
        "spec": { "triggers": [{ "triggerRef": LISTENER }] },
    });
    Ok([trigger.to_string(), listener.to_string()])
}

struct Tekton {
    sink: PathBuf,
    interceptors: PathBuf,
}

impl Tekton {
    fn interceptors(&self, bench: &Bench, limits: &[&str]) -> anyhow::Result<Process> {
        // Its port is its own choice.
        drop(
            TcpListener::bind((Ipv4Addr::LOCALHOST, 8443))
                .context("port 8443, which Tekton's interceptors want")?,
        );
        let mut command = bench.tekton(&self.interceptors);
        command
            .env("INTERCEPTOR_TLS_SVC_NAME", "localhost")
            .env("INTERCEPTOR_TLS_SECRET_NAME", "tekton-triggers-core-interceptors-certs")
            .args(limits);
        Process::start(&mut command)
    }

    fn sink(&self, bench: &Bench, limits: &[&str]) -> anyhow::Result<(Process, String)> {
        let port = free_port()?;
        let mut command = bench.tekton(&self.sink);
        command
            .env("NAMESPACE", NAMESPACE)
            .env("NAME", LISTENER)
            .env("K_SINK_TIMEOUT", "30")
            .env("EL_EVENT", "disable")
            .args(["-el-name", LISTENER, "-el-namespace", NAMESPACE])
            .args(["-port", &port.to_string()])
            .args(limits);
        Ok((Process::start(&mut command)?, format!("http://127.0.0.1:{port}")))
    }
}

/// The cluster that both work on.
struct Bench {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
}

impl Bench {
    /// Definitions of ours and of others, and the namespaces that the controller wants.
    fn install(&self) -> anyhow::Result<()> {
        for file in ["argocd.yaml", "external-secrets.yaml", "tekton.yaml", "triggers.yaml"] {
            self.kubectl(&["apply", "--server-side", "-f", &format!("{ROOT}/crates/aphex/foreign/{file}")])?;
        }
        self.kubectl(&["apply", "--server-side", "-k", &format!("{ROOT}/platform/crds")])?;
        self.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"])?;
        self.kubectl(&["create", "namespace", "platform-system"])?;
        self.kubectl(&["create", "namespace", "argocd"])?;
        Ok(())
    }

    fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run(Command::new(&self.kubectl).arg("--kubeconfig").arg(&self.kubeconfig).args(arguments))
    }

    fn apply(&self, objects: &str) -> anyhow::Result<()> {
        let file = tempfile::NamedTempFile::with_suffix(".yaml")?;
        std::fs::write(file.path(), objects)?;
        self.kubectl(&["apply", "--server-side", "-f", &file.path().to_string_lossy()])?;
        Ok(())
    }

    fn run_aphex(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run(self.command(Path::new(env!("CARGO_BIN_EXE_aphex"))).args(arguments))
    }

    fn aphex(&self, arguments: &[&str]) -> anyhow::Result<Process> {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_aphex")));
        Process::start(command.args(arguments).args(["--admin", "127.0.0.1:0"]))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        command
    }

    fn tekton(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .arg("-kubeconfig")
            .arg(&self.kubeconfig)
            .env("SYSTEM_NAMESPACE", "tekton-pipelines")
            .env("METRICS_DOMAIN", "tekton.dev/triggers")
            .env("METRICS_PROMETHEUS_PORT", "0")
            .env("KUBERNETES_MIN_VERSION", "v1.28.0");
        command
    }
}

/// Runs a command to its end; what it printed.
fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?} ended with {}: {}", output.status, said.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// A program that runs beside; killed when dropped.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(silent.spawn().with_context(|| format!("cannot run {command:?}"))?))
    }

    fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something answers there, whatever it says.
async fn until_answers(url: &str) -> anyhow::Result<()> {
    // The interceptors' certificate is of an authority that they made for themselves.
    let client = reqwest::Client::builder().danger_accept_invalid_certs(true).build()?;
    eventually_for(PATIENCE, &format!("{url} answers"), || async {
        Ok(client.get(url).send().await.ok().map(drop))
    })
    .await
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

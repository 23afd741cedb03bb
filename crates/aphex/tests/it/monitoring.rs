//! The dashboard, the alerts and the page on metrics, against what a running platform exports.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aphex_testkit::{engine, left_out};
use kube::config::{KubeConfigOptions, Kubeconfig};
use regex::Regex;
use serde_json::Value;

use super::program::{Up, aphex, example};

const PATIENCE: Duration = Duration::from_secs(30);

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root(path)).with_context(|| path.to_owned())
}

/// The names of our metrics in a text.
fn named(text: &str) -> anyhow::Result<BTreeSet<String>> {
    let name = Regex::new(r"\baphex_[a-z_]+[a-z]")?;
    Ok(name.find_iter(text).map(|found| found.as_str().to_owned()).collect())
}

/// The expressions of the dashboard.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| queries(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

/// The names of all samples and families that are exported.
fn exported(text: &str) -> BTreeSet<String> {
    let of = |line: &str| {
        let line = line.strip_prefix("# TYPE ").unwrap_or(line);
        line.split([' ', '{']).next().unwrap_or_default().to_owned()
    };
    text.lines().map(of).filter(|name| name.starts_with("aphex_")).collect()
}

/// A controller that leads, beside the one of `aphex up`; killed when dropped.
struct Controller(Child);

impl Controller {
    fn start(up: &Up, admin: &str) -> anyhow::Result<Self> {
        let child = aphex()
            .arg("--kubeconfig")
            .arg(&up.kubeconfig)
            .args(["controller", "--admin", admin, "--gateway-url", "http://127.0.0.1:9"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the platform of `aphex up` exports, at the API server's own path.
async fn of_platform(kubeconfig: &Path) -> anyhow::Result<String> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let client = kube::Client::try_from(config)?;
    Ok(client.request_text(http::Request::get("/metrics").body(Vec::new())?).await?)
}

/// What a process exports once it serves and leads.
async fn of_process(address: &str) -> anyhow::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(response) = reqwest::get(format!("http://{address}/metrics")).await {
            let text = response.text().await?;
            if text.contains("aphex_leader 1") {
                return Ok(text);
            }
        }
        anyhow::ensure!(Instant::now() < deadline, "no controller at {address} came to lead");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Counters that have no lines before the first count, of what does not happen here: a run was changed, Cloudflare asked, a
/// limit was reached.
const SELDOM: [&str; 3] =
    ["aphex_controller_runs_total", "aphex_cloudflare_requests_total", "aphex_gateway_held_back_total"];

#[test]
fn every_metric_that_is_named_is_exported_and_every_exported_one_is_explained() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(&folder.path().join("data"))?;
    let paths = ["organization.yaml", "repo-binding.yaml", "github-push.json"]
        .map(|name| example(name).to_string_lossy().into_owned());
    up.ok(&["apply", "-f", &paths[0], "-f", &paths[1], "--wait", "60"])?;
    up.ok(&["push", "hello-world", "--payload", &paths[2]])?;
    let admin = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let _controller = Controller::start(&up, &admin)?;
    let (platform, process) = tokio::runtime::Runtime::new()?
        .block_on(async { anyhow::Ok((of_platform(&up.kubeconfig).await?, of_process(&admin).await?)) })?;
    let mut exported = exported(&platform);
    exported.extend(self::exported(&process));
    for line in [
        r#"aphex_controller_objects{controller="organization",phase="Active"} 1"#,
        r#"aphex_controller_objects{controller="repobinding",phase="Ready"} 1"#,
    ] {
        assert!(platform.contains(line), "{line} is not in\n{platform}");
    }

    let mut expressions = Vec::new();
    queries(&serde_json::from_str(&read("platform/integrations/grafana-dashboard.json")?)?, &mut expressions);
    assert!(expressions.len() > 10);
    let rules = read("platform/integrations/prometheus-rules.yaml")?;
    let used: BTreeSet<String> = named(&expressions.join("\n"))?.union(&named(&rules)?).cloned().collect();
    let seldom = |name: &String| SELDOM.contains(&name.as_str());
    let missing: Vec<&String> =
        used.iter().filter(|name| !exported.contains(*name) && !seldom(name)).collect();
    assert!(missing.is_empty(), "named and not exported: {missing:?} of {exported:?}");

    let explained = named(&read("docs/metrics.md")?)?;
    let unexplained: Vec<&String> = exported
        .iter()
        .filter(|name| {
            !explained.iter().any(|known| known.strip_suffix("_total").unwrap_or(known) == family(name))
        })
        .collect();
    assert!(unexplained.is_empty(), "exported and not in docs/metrics.md: {unexplained:?}");
    let gone: Vec<&String> =
        explained.iter().filter(|name| !exported.contains(*name) && !seldom(name)).collect();
    assert!(gone.is_empty(), "in docs/metrics.md and not exported: {gone:?}");
    Ok(())
}

/// The family of a sample.
fn family(name: &str) -> &str {
    let suffixes = ["_total", "_bucket", "_count", "_sum"];
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

#[test]
fn the_rules_are_what_prometheus_reads_and_the_same_for_its_operator() -> anyhow::Result<()> {
    let rules: Value = serde_saphyr::from_str(&read("platform/integrations/prometheus-rules.yaml")?)?;
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
    };
    let duration = Regex::new(r"^([0-9]+(ms|[smhdwy]))+$")?;
    let mut alerts = BTreeSet::new();
    assert_eq!(keys(&rules), BTreeSet::from(["groups".to_owned()]));
    for group in rules["groups"].as_array().context("groups")? {
        assert_eq!(keys(group), BTreeSet::from(["name".to_owned(), "rules".to_owned()]));
        for rule in group["rules"].as_array().context("rules")? {
            let known = ["alert", "expr", "for", "labels", "annotations"];
            let strange: Vec<String> =
                keys(rule).into_iter().filter(|key| !known.contains(&key.as_str())).collect();
            assert!(strange.is_empty(), "{rule}: {strange:?}");
            let text = |field: &str| rule[field].as_str().unwrap_or_default();
            assert!(alerts.insert(text("alert").to_owned()), "{rule}: two of one name");
            assert!(
                rule.get("for").is_none_or(|time| time.as_str().is_some_and(|t| duration.is_match(t))),
                "{rule}"
            );
            assert!(balanced(text("expr")), "{rule}");
            assert!(
                ["info", "warning", "critical"]
                    .contains(&rule["labels"]["severity"].as_str().unwrap_or_default())
            );
            assert!(
                rule["annotations"]["summary"].is_string() && rule["annotations"]["description"].is_string()
            );
        }
    }
    let path = "platform/integrations/prometheus-operator/prometheus-rule.yaml";
    let operator: Value = serde_saphyr::from_str(&read(path)?)?;
    assert_eq!(operator["spec"]["groups"], rules["groups"], "{path} has other groups");
    Ok(())
}

#[test]
fn prometheus_own_judge_finds_that_each_alert_rings_when_it_should() -> anyhow::Result<()> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut programs = std::env::split_paths(&folders).map(|folder| folder.join("promtool"));
    let Some(promtool) = programs.find(|program| program.exists()) else {
        left_out("alerts judged by promtool", "promtool (Debian: prometheus) is not in $PATH");
        return Ok(());
    };
    let (rules, cases) = ("prometheus-rules.yaml", "prometheus-rules.test.yaml");
    for arguments in [["check", "rules", rules], ["test", "rules", cases]] {
        let output =
            Command::new(&promtool).args(arguments).current_dir(root("platform/integrations")).output()?;
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }
    let named = |text: &str, pattern: &str| -> anyhow::Result<BTreeSet<String>> {
        let alert = Regex::new(pattern)?;
        Ok(alert.captures_iter(text).map(|found| found[1].to_owned()).collect())
    };
    let alerts = named(&read("platform/integrations/prometheus-rules.yaml")?, r"alert: (\w+)")?;
    let cases = read("platform/integrations/prometheus-rules.test.yaml")?;
    let rings = named(&cases, r"alertname: (\w+)\n\s+exp_alerts:")?;
    let rests = named(&cases, r"alertname: (\w+) \}")?;
    assert_eq!(
        (&rings, &rests),
        (&alerts, &alerts),
        "an alert has no case in which it rings, or none in which not"
    );
    Ok(())
}

/// Whether every bracket of an expression is closed.
fn balanced(expression: &str) -> bool {
    let mut open = Vec::new();
    for character in expression.chars() {
        match character {
            '(' | '[' | '{' => open.push(character),
            ')' | ']' | '}' => {
                let wanted = match character {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                if open.pop() != Some(wanted) {
                    return false;
                }
            }
            _ => {}
        }
    }
    open.is_empty() && !expression.is_empty()
}

#[test]
fn the_integrations_build_with_plain_kubectl() -> anyhow::Result<()> {
    let Some(kubectl) = engine("kubectl")? else {
        left_out("integrations with plain kubectl", "kubectl is not built");
        return Ok(());
    };
    for (path, kinds) in [
        ("platform/integrations", vec!["ConfigMap", "ConfigMap"]),
        ("platform/integrations/prometheus-operator", vec!["PodMonitor", "PrometheusRule"]),
    ] {
        let output = Command::new(&kubectl).arg("kustomize").arg(root(path)).output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let objects: Vec<Value> = serde_saphyr::from_multiple(&String::from_utf8(output.stdout)?)?;
        let mut found: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, kinds);
        if path == "platform/integrations" {
            let dashboard = objects.iter().find_map(|object| object["data"]["aphex.json"].as_str());
            let dashboard: Value = serde_json::from_str(dashboard.context("no dashboard")?)?;
            assert_eq!(dashboard["title"], "Aphex");
        }
    }
    Ok(())
}

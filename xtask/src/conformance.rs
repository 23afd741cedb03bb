//! Kubernetes' own conformance specs that need no running pods, against the embedded engine.
//!
//! The suite is `e2e.test`, built from the pinned Kubernetes module. The specs are dealt out to several engines, each
//! a fresh `aphex up`, because most of their time is waiting. Beside each engine runs the part of the real
//! kube-controller-manager that workloads need (Deployments, ReplicaSets): the embedded engine stores those, no more.
//!
//! - `specs` asks the suite what there is, `bench` starts engines, `report` reads what came of it.

mod bench;
mod report;
mod specs;

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::engines;
use crate::progress::Step;
use crate::run::{cargo, say, succeed};
use bench::Bench;
use report::Outcome;

/// Specs that every conforming cluster passes, of the areas that an API server without nodes can be held to; and those
/// outside of that set about the same areas, and about what kubectl says of objects.
const FOCUS: &str = r"\[sig-(api-machinery|auth|instrumentation)\].*\[Conformance\]|\[sig-(api-machinery|auth)\] (ServerSideApply|CustomResourceValidationRules|CRDValidationRatcheting|OpenAPIV3|ResourceQuota|Garbage collector|API Streaming|Discovery|Servers with support|client-go should|Server request timeout|SelfSubjectReview|ServiceAccounts no secret|Namespaces)|\[sig-cli\] Kubectl (client )?(Kubectl (validation|create quota|apply|prune|get componentstatuses)|kubectl (subresource flag|wait))|\[sig-cli\] kubectl kuberc";
/// What needs pods that run (webhooks and other API servers behind services, collected pods, mounted tokens, jobs), or
/// answers in protobuf, or an API that is off by default.
const NEEDS_MORE: &str = r#"AdmissionWebhook|Aggregat(or|ed) |ConversionWebhook|CustomResourceFieldSelectors|Garbage collector should .*(pods|cronjob)|all pods are removed|OrderedNamespaceDeletion|mount|opting out|OIDC discovery|existing RC|accept "application/vnd.kubernetes.protobuf"|metadatainformer|metadata client's List|ResourceClaim|OffByDefault|VolumeAttributesClass"#;

/// What `cargo xtask conformance` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only specs whose names match (Go's regular expressions)
    #[arg(long, value_name = "REGEX", default_value = FOCUS)]
    focus: String,
    /// Not those that match
    #[arg(long, value_name = "REGEX", default_value = NEEDS_MORE)]
    skip: String,
    /// Engines to deal the specs out to
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=8))]
    engines: u8,
    /// Write the result into docs/fidelity.md
    #[arg(long)]
    write: bool,
}

/// Runs the specs; fails when one does.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let programs = engines::folder_with(&["e2e.test", "kubectl", "kube-controller-manager"])?;
    succeed(cargo().args(["build", "--quiet", "--package", "aphex"]))?;
    let specs = specs::select(&programs, &arguments.focus, &arguments.skip)?;
    if specs.is_empty() {
        bail!("the suite has no spec that matches {:?}", arguments.focus);
    }
    let step = Step::start(format!("{} specs on {} engines", specs.len(), arguments.engines));
    let mut outcomes = Vec::new();
    std::thread::scope(|scope| {
        let hands = specs::deal(&specs, usize::from(arguments.engines));
        let running: Vec<_> = hands
            .into_iter()
            .filter(|hand| !hand.is_empty())
            .map(|hand| {
                let programs = programs.clone();
                scope.spawn(move || play(&programs, &hand))
            })
            .collect();
        for one in running {
            let played = one.join().map_err(|_| anyhow::anyhow!("a run of the suite panicked"))?;
            outcomes.extend(played?);
        }
        anyhow::Ok(())
    })?;
    step.done();
    outcomes.sort_by(|a, b| a.name.cmp(&b.name));
    let judged = judge(&specs, &outcomes);
    if arguments.write {
        report::write(&outcomes)?;
    }
    judged
}

/// Runs some specs on an engine of their own.
fn play(programs: &std::path::Path, specs: &[String]) -> anyhow::Result<Vec<Outcome>> {
    let bench = Bench::start(programs)?;
    let results = bench.folder().join("report.json");
    let log = std::fs::File::create(bench.folder().join("e2e.log"))?;
    let status = Command::new(programs.join("e2e.test"))
        .arg(format!("--kubeconfig={}", bench.kubeconfig().display()))
        .arg(format!("--kubectl-path={}", programs.join("kubectl").display()))
        // There is one node, and it is an object.
        .args(["--allowed-not-ready-nodes=-1", "--minStartupPods=0", "--system-pods-startup-timeout=1s"])
        .args(["--ginkgo.no-color", "--ginkgo.timeout=40m"])
        .arg(format!("--ginkgo.focus={}", specs::exactly(specs)))
        .arg(format!("--ginkgo.json-report={}", results.display()))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .context("cannot run e2e.test")?;
    report::read(&results).with_context(|| {
        let kept = bench.keep();
        format!("the suite ended with {status} and left no report; its logs: {}", kept.display())
    })
}

fn judge(specs: &[String], outcomes: &[Outcome]) -> anyhow::Result<()> {
    let (skipped, ran): (Vec<&Outcome>, Vec<&Outcome>) = outcomes.iter().partition(|one| one.skipped);
    let (passed, failed): (Vec<&Outcome>, Vec<&Outcome>) = ran.iter().partition(|one| one.passed);
    for one in &skipped {
        say(&format!("left out by the suite: {} ({})", one.name, one.message));
    }
    for one in &failed {
        say(&format!("failed: {}\n{}\n", one.name, indented(&one.message)));
    }
    say(&format!("conformance: {} specs, {} passed, {} failed", ran.len(), passed.len(), failed.len()));
    let lost = specs.len() - outcomes.len().min(specs.len());
    if lost > 0 {
        bail!("{lost} specs did not run");
    }
    if !failed.is_empty() {
        bail!("{} specs failed", failed.len());
    }
    Ok(())
}

fn indented(text: &str) -> String {
    text.lines().take(30).map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

//! The tests that can run on a real kube-apiserver, run on one.
//!
//! With `APHEX_TEST_KUBECONFIG` the component suites of controllers and gateway work on those clusters instead of the
//! embedded engine, and the merge and rule comparisons ask its API server. The comparisons want a server on which nobody
//! else writes; the suites want kube-controller-manager.

use anyhow::{Context as _, bail};

use crate::cluster::{Cluster, Kind, Options};
use crate::engines;
use crate::progress::Step;
use crate::run::cargo;
use crate::suite;

/// Clusters, and what is run on them.
struct Round {
    name: &'static str,
    /// How many clusters; a test of the controllers has one for itself, and waits there for namespaces to go.
    clusters: usize,
    controllers: bool,
    crates: &'static [&'static str],
}

impl Round {
    /// The clusters' names.
    fn names(&self) -> impl Iterator<Item = String> {
        (1..=self.clusters).map(|number| format!("{}-{number}", self.name))
    }
}

const ROUNDS: &[Round] = &[
    Round { name: "live-api", clusters: 1, controllers: false, crates: &["aphex-merge", "aphex-schema"] },
    Round {
        name: "live-all",
        clusters: 4,
        controllers: true,
        crates: &["aphex-controllers", "aphex-gateway"],
    },
];

/// Runs them all; every cluster is taken down again, however its tests end.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for round in ROUNDS {
        let ended = play(round);
        for name in round.names() {
            Cluster::down(&name).with_context(|| format!("cannot take down cluster {name}"))?;
        }
        if let Err(error) = ended {
            failed.push(format!("{error:#}"));
        }
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

fn play(round: &Round) -> anyhow::Result<()> {
    let kind = Kind::Api { controllers: round.controllers };
    let mut kubeconfigs = Vec::new();
    for name in round.names() {
        kubeconfigs.push(Cluster::up(&Options { name, kind, port: None, oidc: None })?.kubeconfig());
    }
    let kubeconfigs = std::env::join_paths(kubeconfigs).context("a kubeconfig's path has a ':' in it")?;
    let what = round.crates.join(", ");
    let step = Step::start(format!("{what} on kube-apiserver"));
    // Comparisons send what kubectl sends.
    let mut path = engines::folder_with(&["kubectl"])?.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let tests = || {
        let mut tests = cargo();
        tests.args(["test", "--no-fail-fast", "--test", "it"]);
        for name in round.crates {
            tests.args(["--package", name]);
        }
        tests.env("PATH", &path).env("APHEX_TEST_KUBECONFIG", &kubeconfigs);
        if std::env::var_os("RUST_TEST_THREADS").is_none() {
            // They wait for the cluster more than they work.
            let processors = std::thread::available_parallelism().map_or(2, usize::from);
            tests.env("RUST_TEST_THREADS", (processors * 2).to_string());
        }
        tests
    };
    if !suite::twice(tests)?.well {
        bail!("tests of {what} failed on kube-apiserver");
    }
    step.done();
    Ok(())
}

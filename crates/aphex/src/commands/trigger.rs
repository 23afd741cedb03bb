//! `aphex trigger test|backtest`: triggers that are not applied, on events that are made up or stored.

mod backtest;
mod changes;
mod fresh;
mod outcome;
mod test;

use std::collections::BTreeSet;

use aphex_api::foreign::triggers::EventListener;
use aphex_gateway::snapshot::Snapshot;
use kube::ResourceExt as _;

use crate::cli::{Global, TriggerVerb};

use super::trial::objects::Problem;
use crate::output::{note, paint, value};

/// The exit code tells the outcome: see docs/exit-codes.md.
pub(crate) async fn run(global: &Global, verb: TriggerVerb) -> anyhow::Result<u8> {
    match verb {
        TriggerVerb::Test(arguments) => test::run(global, arguments).await,
        TriggerVerb::Backtest(arguments) => backtest::run(global, arguments).await,
    }
}

/// Says which kinds of files are left out.
fn left_out(others: &BTreeSet<String>) {
    if !others.is_empty() {
        let kinds: Vec<&str> = others.iter().map(String::as_str).collect();
        note(&value(&format!("of no part in triggers, and left out: {}", kinds.join(", "))));
    }
}

/// A problem for each Trigger beside a listener that no secret guards.
fn unguarded(listener: &EventListener, snapshot: &Snapshot) -> Vec<Problem> {
    let object =
        format!("EventListener {}/{}", listener.namespace().unwrap_or_default(), listener.name_any());
    let told = aphex_gateway::problems::unguarded(listener, snapshot);
    told.into_iter().map(|message| Problem { object: object.clone(), message }).collect()
}

/// Says what is wrong with the objects of files, to people.
fn tell(problems: &[Problem]) {
    for Problem { object, message } in problems {
        note(&value(&format!("{} {object}: {message}", paint("problem:", "1;31"))));
    }
}

/// The same for programs.
fn documents(problems: &[Problem]) -> Vec<serde_json::Value> {
    let one = |problem: &Problem| serde_json::json!({ "object": problem.object, "message": problem.message });
    problems.iter().map(one).collect()
}

//! `aphex trigger test|backtest`: triggers that are not applied, on events that are made up or stored.

mod backtest;
mod test;

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

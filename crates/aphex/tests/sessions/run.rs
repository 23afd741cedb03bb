//! The test: every session on both engines, at once where it may be.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use aphex_testkit::left_out;
use aphex_testkit::real::{Disk, Programs, Real};
use futures::StreamExt as _;
use serde_json::Value;

use super::compare::{Difference, compare};
use super::engine;
use super::known::{self, Known};
use super::normal::Normal;
use super::play::{Observed, Player};
use super::script::{self, Script};

/// Only these sessions, by name, with commas between.
const ONLY: &str = "SESSIONS";
/// A folder for what both engines said.
const OUT: &str = "SESSIONS_OUT";
/// Sessions at a time; each keeps two engines and a kubectl busy.
const AT_ONCE: usize = 3;
/// Of a long text only this many differing lines are shown.
const LINES: usize = 12;

/// A session on both engines.
struct Played {
    script: Script,
    /// For each step, what was unexpected of the real engine, and what differs.
    steps: Vec<(Option<String>, Vec<Difference>)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_as_on_a_real_kube_apiserver() -> anyhow::Result<()> {
    let programs = match Programs::find()? {
        Ok(programs) => Arc::new(programs),
        Err(missing) => {
            left_out("sessions against kube-apiserver", &format!("{missing} is not built"));
            return Ok(());
        }
    };
    let list = known::read()?;
    let (first, rest): (Vec<_>, Vec<_>) = wanted()?.into_iter().partition(|script| script.first);
    let real = Real::start(&programs, Disk::Quick).await?;
    let play = |script| play(script, &real, &programs);
    let mut results: Vec<_> = futures::stream::iter(first).then(play).collect().await;
    results.extend(futures::stream::iter(rest).map(play).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
    let mut broken = Vec::new();
    let played: Vec<Played> =
        results.into_iter().filter_map(|result| result.map_err(|error| broken.push(error)).ok()).collect();
    let mut failed = report(&played, &list)?;
    broken.iter().try_for_each(|error| writeln!(failed, "\n{error:#}"))?;
    anyhow::ensure!(failed.is_empty(), "{failed}");
    Ok(())
}

fn wanted() -> anyhow::Result<Vec<Script>> {
    let mut scripts = script::all()?;
    if let Ok(names) = std::env::var(ONLY) {
        scripts.retain(|script| names.split(',').any(|name| name == script.name));
        anyhow::ensure!(!scripts.is_empty(), "no session is called {names}");
    }
    Ok(scripts)
}

async fn play(script: Script, real: &Real, programs: &Programs) -> anyhow::Result<Played> {
    let (cluster, access) = engine::embedded().await?;
    let mut ours = Player::new(&access, &programs.kubectl, &script.name)?;
    let mut theirs = Player::new(&real.access, &programs.kubectl, &script.name)?;
    let (a, b) = tokio::join!(ours.play(&script), theirs.play(&script));
    let (a, b) = match (a.context("on the embedded engine"), b.context("on the real engine")) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(a), Err(b)) => anyhow::bail!("{a:#}\n{b:#}"),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    drop(cluster);
    let mut ours = Normal::new(&access.server, &ours.folder().to_string_lossy());
    let mut theirs = Normal::new(&real.access.server, &theirs.folder().to_string_lossy());
    for body in script.steps.iter().filter_map(|step| step.body.as_ref()) {
        ours.learn(body);
        theirs.learn(body);
    }
    let (a, b) = (normal(&mut ours, &a), normal(&mut theirs, &b).into_iter().zip(b));
    let mut steps = Vec::new();
    let mut text = String::new();
    for ((step, ours), (theirs, observed)) in script.steps.iter().zip(a).zip(b) {
        writeln!(text, "# {}\n{}\n{}\n", step.title(), shown(&theirs)?, shown(&ours)?)?;
        steps.push((observed.unexpected, compare(&ours, &theirs)));
    }
    if let Some(folder) = std::env::var_os(OUT).map(PathBuf::from) {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(&script.name), text)?;
    }
    Ok(Played { script, steps })
}

fn normal(normal: &mut Normal, seen: &[Observed]) -> Vec<Value> {
    seen.iter().map(|seen| normal.value(&seen.said)).collect()
}

fn shown(value: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)?.replace("\\n", "\n    "))
}

/// One line for each session; everything that is wrong.
fn report(played: &[Played], list: &[Known]) -> anyhow::Result<String> {
    let mut failed = String::new();
    for Played { script, steps } in played {
        let (mut same, mut listed) = (0, 0);
        for (number, (step, (unexpected, differences))) in script.steps.iter().zip(steps).enumerate() {
            let title = step.title();
            let (known, new): (Vec<_>, Vec<_>) =
                differences.iter().partition(|found| known::is_known(list, &script.name, &title, found));
            listed += known.len();
            same += usize::from(differences.is_empty());
            if unexpected.is_some() || !new.is_empty() {
                writeln!(failed, "\n{}, step {}: {title}", script.name, number + 1)?;
            }
            if let Some(unexpected) = unexpected {
                writeln!(failed, "  the script is wrong: the real engine {unexpected}")?;
            }
            new.iter().try_for_each(|found| write!(failed, "{}", told(found)))?;
        }
        // Straight to the file descriptor: the test harness swallows what passes quietly.
        writeln!(
            std::io::stdout().lock(),
            "session {}: {} steps, {same} the same, {listed} listed differences",
            script.name,
            steps.len()
        )?;
    }
    let names: Vec<String> = played.iter().map(|played| played.script.name.clone()).collect();
    for place in known::unmet(list, &names) {
        writeln!(failed, "\nlisted and no longer so: {}, {}, {}", place.session, place.step, place.at)?;
    }
    Ok(failed)
}

fn told(found: &Difference) -> String {
    let mut text = format!("  {}\n", found.at);
    match (&found.ours, &found.theirs) {
        (Some(ours), Some(theirs)) if ours.contains('\n') || theirs.contains('\n') => {
            let (ours, theirs): (Vec<&str>, Vec<&str>) = (ours.lines().collect(), theirs.lines().collect());
            let only = |sign: &str, lines: &[&str], others: &[&str]| -> String {
                let lone = lines.iter().filter(|line| !others.contains(line)).take(LINES);
                lone.flat_map(|line| ["    ", sign, " ", line, "\n"]).collect()
            };
            let lone = only("+", &ours, &theirs) + &only("-", &theirs, &ours);
            text += if lone.is_empty() { "    (lines in another order, or repeated)\n" } else { &lone };
        }
        (ours, theirs) => {
            for (sign, said) in [("+", ours), ("-", theirs)] {
                if let Some(said) = said {
                    text.extend(["    ", sign, " ", said, "\n"]);
                }
            }
        }
    }
    text
}

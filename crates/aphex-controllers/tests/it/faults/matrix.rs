//! The matrix: every call of the recording times the faults that can strike at it.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aphex_testkit::faults::{Call, Fault};
use aphex_testkit::left_out;

use super::life::{Life, Undisturbed};
use super::table::Table;
use crate::engine::Engine;

/// Engines that are used at once; much of a cell is waiting.
const ENGINES: usize = 4;
/// A kube-apiserver takes seconds to take down namespaces: of the cells that are usual, it gets one in so many.
const OF_A_REAL_ONE: usize = 72;

/// After so many failures the rest of the matrix would tell nothing new.
const ENOUGH: usize = 10;
/// The environment variable that names a file for results as they come.
const LOG: &str = "APHEX_FAULTS_LOG";
/// The environment variable that names what cells have in their description, to look at a few.
const ONLY: &str = "APHEX_FAULTS_ONLY";

/// What `APHEX_FAULTS` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Every call meets every fault.
    pub(super) all: bool,
    /// docs/faults.md is written.
    write: bool,
}

impl Wanted {
    pub(super) fn read() -> anyhow::Result<Self> {
        let mut wanted = Self::default();
        for word in std::env::var("APHEX_FAULTS").unwrap_or_default().split(',') {
            match word {
                "all" => wanted.all = true,
                "write" => wanted.write = true,
                "" => {}
                other => anyhow::bail!("APHEX_FAULTS has {other}: it can have all and write"),
            }
        }
        Ok(wanted)
    }
}

/// A call and the fault that strikes at it.
#[derive(Clone, Debug)]
struct Cell {
    call: Call,
    fault: Fault,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.call, self.fault.title())
    }
}

/// How a cell ended.
#[derive(Debug)]
enum Ended {
    Passed,
    /// The call did not come: some are made only when things happen in a certain order.
    Spared,
    Failed(String),
}

/// The cells of a recording, in the order of the calls.
///
/// Usually the first call of a stage to each verb and kind meets one fault: about 180 cells.
fn cells(calls: &[Call], wanted: Wanted) -> VecDeque<Cell> {
    let first = calls.iter().filter(|call| call.occurrence == 1);
    let mut seen = BTreeSet::new();
    let chosen: Vec<&Call> =
        first.filter(|call| wanted.all || seen.insert((call.stage, &call.verb, &call.kind))).collect();
    let mut cells = VecDeque::new();
    for (index, call) in chosen.into_iter().enumerate() {
        let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| fault.strikes(&call.verb)).collect();
        // Calls of a kind follow each other, so neighbours meet different faults.
        let faults = if wanted.all { faults } else { vec![faults[index % faults.len()]] };
        cells.extend(faults.into_iter().map(|fault| Cell { call: call.clone(), fault }));
    }
    cells
}

/// Appends how a cell ended to the file that `APHEX_FAULTS_LOG` names, for who waits.
fn log(cell: &Cell, ended: &Ended) -> anyhow::Result<()> {
    let Some(path) = std::env::var_os(LOG) else { return Ok(()) };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    Ok(writeln!(file, "{cell}: {ended:?}")?)
}

async fn attempt(engine: &Engine, cell: &Cell, undisturbed: &Undisturbed) -> Ended {
    let life = Life::new(engine);
    let faults = life.faults();
    faults.arm(cell.call.clone(), cell.fault);
    match life.repeat(&faults, undisturbed).await {
        Ok(()) if faults.struck() => Ended::Passed,
        Ok(()) => Ended::Spared,
        Err(error) => Ended::Failed(format!("{cell}: {error:#}")),
    }
}

/// Works through the cells on one engine; after one that failed on a new engine, for what is left may disturb the next.
async fn work(
    mut engine: Engine,
    cells: Arc<Mutex<VecDeque<Cell>>>,
    failures: Arc<AtomicUsize>,
    undisturbed: Arc<Undisturbed>,
) -> anyhow::Result<Vec<(Cell, Ended)>> {
    let mut results = Vec::new();
    loop {
        let Some(cell) = cells.lock().unwrap().pop_front() else { return Ok(results) };
        let ended = attempt(&engine, &cell, &undisturbed).await;
        log(&cell, &ended)?;
        if matches!(ended, Ended::Failed(_)) {
            if failures.fetch_add(1, Ordering::AcqRel) > ENOUGH {
                cells.lock().unwrap().clear();
            }
            if engine.cluster.is_embedded() {
                engine = Engine::without_controllers().await?;
            }
        }
        results.push((cell, ended));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_call_goes_wrong_everything_is_as_without_it() -> anyhow::Result<()> {
    let wanted = Wanted::read()?;
    let engine = Engine::without_controllers().await?;
    let embedded = engine.cluster.is_embedded();
    let life = Life::new(&engine);
    let faults = life.faults();
    let undisturbed = Arc::new(life.record(&faults).await?);
    let calls = faults.calls();
    let mut cells = cells(&calls, wanted);
    if !embedded {
        let mut index = 0;
        cells.retain(|_| {
            index += 1;
            index % OF_A_REAL_ONE == 0
        });
        left_out("most of the fault matrix", "APHEX_TEST_KUBECONFIG is set, and a real API server is slow");
    }
    if let Ok(only) = std::env::var(ONLY) {
        cells.retain(|cell| cell.to_string().contains(&only));
    }
    let total = cells.len();
    let (cells, failures) = (Arc::new(Mutex::new(cells)), Arc::default());
    let start = |engine| {
        tokio::spawn(work(engine, Arc::clone(&cells), Arc::clone(&failures), Arc::clone(&undisturbed)))
    };
    let mut workers = vec![start(engine)];
    for _ in 1..if embedded { ENGINES } else { 1 } {
        workers.push(start(Engine::without_controllers().await?));
    }
    let mut results = Vec::new();
    for worker in workers {
        results.extend(worker.await??);
    }
    let failed: BTreeSet<&str> = results
        .iter()
        .filter_map(|(_, ended)| if let Ended::Failed(why) = ended { Some(why.as_str()) } else { None })
        .collect();
    assert!(failed.is_empty(), "{} of {total} cells failed:\n{}", failed.len(), join(&failed));
    let passed: Vec<(&Call, Fault)> = results
        .iter()
        .filter(|(_, ended)| matches!(ended, Ended::Passed))
        .map(|(cell, _)| (&cell.call, cell.fault))
        .collect();
    // Calls of controllers that run once for all lives, such as lists of runs, do not come again in each.
    assert!(passed.len() * 5 >= total * 4, "only {} of {total} faults struck", passed.len());
    if wanted.write {
        Table::of(&passed).write(wanted.all)?;
    }
    if embedded {
        Table::committed()?.covers(&calls);
    }
    Ok(())
}

fn join(lines: &BTreeSet<&str>) -> String {
    lines.iter().copied().collect::<Vec<_>>().join("\n")
}

//! Cells of a matrix: a call of a recording and the fault that strikes at it. Which there are, and how they are worked through.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aphex_testkit::faults::{Call, Fault};

use crate::engine::Engine;

/// How often the same read is struck: at what comes later it would tell nothing new. Writes are struck however often they come.
const READS: usize = 2;
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
    pub(super) write: bool,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// Which life the call is from.
    pub(super) life: usize,
    pub(super) call: Call,
    pub(super) fault: Fault,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.call, self.fault.title())
    }
}

fn faults(call: &Call) -> Vec<Fault> {
    Fault::ALL.into_iter().filter(|fault| fault.strikes(&call.verb)).collect()
}

/// Whether a call is struck at all.
fn counts(call: &Call) -> bool {
    call.occurrence <= READS || !call.is_read()
}

/// Every call with every fault that can strike at it, in the order of the calls.
pub(super) fn all(calls: &[(usize, &Call)]) -> Vec<Cell> {
    let struck = calls.iter().filter(|(_, call)| counts(call));
    struck
        .flat_map(|&(life, call)| {
            faults(call).into_iter().map(move |fault| Cell { life, call: call.clone(), fault })
        })
        .collect()
}

/// Every call that is struck at all, with one fault: each with another one than its neighbours.
pub(super) fn each(calls: &[(usize, &Call)]) -> Vec<Cell> {
    let cell = |(index, &(life, call)): (usize, &(usize, &Call))| {
        let faults = faults(call);
        Cell { life, call: call.clone(), fault: faults[index % faults.len()] }
    };
    calls.iter().filter(|(_, call)| counts(call)).enumerate().map(cell).collect()
}

/// One call of each verb and kind with one fault: from kind to kind another one, of another place in the recordings.
pub(super) fn sample(calls: &[(usize, &Call)]) -> Vec<Cell> {
    let mut groups: BTreeMap<(&str, &str), Vec<(usize, &Call)>> = BTreeMap::new();
    for &(life, call) in calls.iter().filter(|(_, call)| counts(call)) {
        groups.entry((&call.verb, &call.kind)).or_default().push((life, call));
    }
    let mut cells = Vec::new();
    for (index, group) in groups.into_values().enumerate() {
        // The step is prime, so that neighbours do not all take what is near the beginning.
        let (life, call) = group[index * 7 % group.len()];
        let faults = faults(call);
        cells.push(Cell { life, call: call.clone(), fault: faults[index % faults.len()] });
    }
    cells
}

/// Leaves the cells whose description has what the environment names.
pub(super) fn keep_named(cells: &mut Vec<Cell>) {
    if let Ok(only) = std::env::var(ONLY) {
        cells.retain(|cell| cell.to_string().contains(&only));
    }
}

/// How a cell ended.
#[derive(Debug)]
pub(super) enum Ended {
    Passed,
    /// The call did not come: some are made only when things happen in a certain order.
    Spared,
    Failed(String),
}

impl Ended {
    /// From a life that was lived with the cell's fault, and whether it struck.
    pub(super) fn of(cell: &Cell, lived: anyhow::Result<()>, struck: bool) -> Self {
        match lived {
            Ok(()) if struck => Self::Passed,
            Ok(()) => Self::Spared,
            Err(error) => Self::Failed(format!("{cell}: {error:#}")),
        }
    }
}

/// The lives that the calls are from.
pub(super) trait Lives: Send + Sync + 'static {
    /// Lives one again, with the cell's fault.
    fn attempt(&self, engine: &Engine, cell: &Cell) -> impl Future<Output = Ended> + Send;
}

/// What came of a matrix.
#[derive(Debug, Default)]
pub(super) struct Results(Vec<(Cell, Ended)>);

impl Results {
    /// Fails with all failures, and when too few faults struck to tell much.
    pub(super) fn check(&self) {
        let failed = self.0.iter().filter_map(|(_, ended)| match ended {
            Ended::Failed(why) => Some(why.as_str()),
            _ => None,
        });
        let (failed, total): (Vec<&str>, usize) = (failed.collect(), self.0.len());
        assert!(failed.is_empty(), "{} of {total} cells failed:\n{}", failed.len(), failed.join("\n"));
        // Calls of controllers that run once for all lives, such as lists of runs, do not come again in each.
        let passed = self.passed().len();
        assert!(passed * 5 >= total * 4, "only {passed} of {total} faults struck");
    }

    /// The cells whose fault struck and mattered nothing.
    pub(super) fn passed(&self) -> Vec<&Cell> {
        self.0.iter().filter(|(_, ended)| matches!(ended, Ended::Passed)).map(|(cell, _)| cell).collect()
    }
}

/// Works through the cells on so many engines at once; much of a cell is waiting.
pub(super) async fn work_through<L: Lives>(
    engine: Engine,
    engines: usize,
    lives: L,
    cells: Vec<Cell>,
) -> anyhow::Result<Results> {
    // A real cluster is one.
    let engines = if engine.cluster.is_embedded() { engines } else { 1 };
    let shared = Arc::new(Shared { lives, cells: Mutex::new(cells.into()), failures: AtomicUsize::new(0) });
    let mut workers = vec![tokio::spawn(work(engine, Arc::clone(&shared)))];
    for _ in 1..engines {
        workers.push(tokio::spawn(work(Engine::without_controllers().await?, Arc::clone(&shared))));
    }
    let mut results = Results::default();
    for worker in workers {
        results.0.extend(worker.await??);
    }
    Ok(results)
}

/// What workers share.
struct Shared<L> {
    lives: L,
    cells: Mutex<VecDeque<Cell>>,
    failures: AtomicUsize,
}

/// Works through cells on one engine; after one that failed on a new engine, for what is left may disturb the next.
async fn work<L: Lives>(mut engine: Engine, shared: Arc<Shared<L>>) -> anyhow::Result<Vec<(Cell, Ended)>> {
    let mut results = Vec::new();
    loop {
        let Some(cell) = shared.cells.lock().unwrap().pop_front() else { return Ok(results) };
        let ended = shared.lives.attempt(&engine, &cell).await;
        log(&cell, &ended)?;
        if matches!(ended, Ended::Failed(_)) {
            if shared.failures.fetch_add(1, Ordering::AcqRel) > ENOUGH {
                shared.cells.lock().unwrap().clear();
            }
            if engine.cluster.is_embedded() {
                engine = Engine::without_controllers().await?;
            }
        }
        results.push((cell, ended));
    }
}

/// Appends how a cell ended to the file that `APHEX_FAULTS_LOG` names, for who waits.
fn log(cell: &Cell, ended: &Ended) -> anyhow::Result<()> {
    let Some(path) = std::env::var_os(LOG) else { return Ok(()) };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    // At once, for others write there too.
    Ok(file.write_all(format!("{cell}: {ended:?}\n").as_bytes())?)
}

//! The matrix of the engine: every call of the recordings times the faults that can strike at it.

use std::collections::BTreeSet;
use std::sync::Arc;

use aphex_testkit::faults::Call;
use aphex_testkit::left_out;

use super::cells::{self, Cell, Ended, Lives, Wanted};
use super::life::{Course, Life, Undisturbed, repositories};
use super::table::{Part, Table};
use crate::engine::Engine;

/// Engines that are used at once.
const ENGINES: usize = 4;
/// A kube-apiserver takes seconds to take down namespaces: of the cells that are usual, it gets one in so many.
const OF_A_REAL_ONE: usize = 60;

/// The lives, each with how it looks when nothing goes wrong.
struct Recorded(Vec<(Course, Undisturbed)>);

impl Lives for Recorded {
    async fn attempt(&self, engine: &Engine, cell: &Cell) -> Ended {
        let (course, undisturbed) = &self.0[cell.life];
        let life = match Life::new(engine, course.clone()) {
            Ok(life) => life,
            Err(error) => return Ended::of(cell, Err(error), false),
        };
        let faults = life.faults();
        faults.arm(cell.call.clone(), cell.fault);
        let lived = life.repeat(&faults, undisturbed).await;
        Ended::of(cell, lived, faults.struck())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_call_goes_wrong_everything_is_as_without_it() -> anyhow::Result<()> {
    let wanted = Wanted::read()?;
    let engine = Engine::without_controllers().await?;
    let embedded = engine.cluster.is_embedded();
    let (mut lives, mut calls) = (Vec::new(), Vec::new());
    for course in [Course::Shared, Course::Alone(Arc::new(repositories().await?))] {
        let life = Life::new(&engine, course.clone())?;
        let faults = life.faults();
        let undisturbed = life.record(&faults).await?;
        calls.push(faults.calls());
        lives.push((course, undisturbed));
    }
    // Every life begins with the same calls.
    let mut seen: BTreeSet<&Call> = BTreeSet::new();
    let of_lives =
        calls.iter().enumerate().flat_map(|(life, calls)| calls.iter().map(move |call| (life, call)));
    let calls: Vec<(usize, &Call)> = of_lives.filter(|(_, call)| seen.insert(call)).collect();
    let mut cells = if wanted.all { cells::all(&calls) } else { cells::sample(&calls) };
    if !embedded {
        let mut index = 0;
        cells.retain(|_| {
            index += 1;
            index % OF_A_REAL_ONE == 0
        });
        left_out("most of the fault matrix", "APHEX_TEST_KUBECONFIG is set, and a real API server is slow");
    }
    cells::keep_named(&mut cells);
    let results = cells::work_through(engine, ENGINES, Recorded(lives), cells).await?;
    results.check();
    if wanted.write {
        Table::of(&results.passed()).write(Part::Engine, wanted.all)?;
    }
    if embedded {
        let calls: Vec<&Call> = calls.into_iter().map(|(_, call)| call).collect();
        Table::committed(Part::Engine)?.covers(&calls, &Table::default());
    }
    Ok(())
}

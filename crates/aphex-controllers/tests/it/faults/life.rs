//! Lives that controllers serve from beginning to end, undisturbed or with a fault.
//!
//! There are two, so that no cell of the matrix lives longer than it must: [`shared`], an organization with its tenants, and
//! [`alone`], a tenant without one, its runs and a knowledge base.

#[path = "life/alone.rs"]
mod alone;
#[path = "life/shared.rs"]
mod shared;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aphex_runtime::Clock;
use aphex_runtime::clock::Hand;
use aphex_testkit::eventually_for;
use aphex_testkit::faults::{Faults, kubernetes};
use aphex_testkit::git::GitServer;
use kube::api::DynamicObject;
use serde_json::Value;

use super::Process;
use super::snapshot::Snapshot;
use crate::engine::Engine;

pub(super) use alone::repositories;

/// How long things may take to be as they should after a fault; an undisturbed stage takes a second.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at everything, which cost more than what is looked for.
const PAUSE: Duration = Duration::from_millis(50);
/// What the controllers take for now when a life begins: the same each time, for times are told too.
const BEGIN: &str = "2026-01-01T00:00:00Z";

/// What a life looks like after each stage, and what it asks for, when nothing goes wrong.
#[derive(Clone, Debug)]
pub(super) struct Undisturbed {
    pub(super) stages: Vec<Snapshot>,
    pub(super) calls: usize,
    pub(super) writes: usize,
}

/// Whose life it is.
#[derive(Clone, Debug)]
pub(super) enum Course {
    /// An organization, a binding and a developer's Pipeline.
    Shared,
    /// A tenant without an organization; and a knowledge base, which tracks a repository of this server.
    Alone(Arc<GitServer>),
}

impl Course {
    /// Its stages; nothing is left after the last.
    pub(super) fn stages(&self) -> &'static [&'static str] {
        match self {
            Self::Shared => &shared::STAGES,
            Self::Alone(_) => &alone::STAGES,
        }
    }
}

/// One life: names and a clock of its own.
pub(super) struct Life<'a> {
    engine: &'a Engine,
    course: Course,
    id: String,
    clock: Clock,
    hand: Hand,
}

/// Names that no other test has.
pub(super) fn fresh() -> String {
    let letters = "bcdfghjklmnpqrstvwxz".as_bytes();
    let pick = |n: u64| char::from(letters[usize::try_from(n % 20).unwrap_or_default()]);
    let mut seed: u64 = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
    let mut id = String::from("q");
    for _ in 0..7 {
        id.push(pick(seed));
        seed /= 20;
    }
    id
}

impl<'a> Life<'a> {
    pub(super) fn new(engine: &'a Engine, course: Course) -> anyhow::Result<Self> {
        let (clock, hand) = Clock::manual(BEGIN.parse()?);
        Ok(Self { engine, course, id: fresh(), clock, hand })
    }

    /// The life of an organization.
    pub(super) fn shared(engine: &'a Engine) -> anyhow::Result<Self> {
        Self::new(engine, Course::Shared)
    }

    pub(super) fn faults(&self) -> Faults {
        Faults::new(kubernetes, &[(&self.id, "*")])
    }

    /// Starts controllers for it.
    pub(super) fn start(&self, faults: &Faults) -> anyhow::Result<Process> {
        Process::start(&self.engine.account, faults, &self.clock)
    }

    /// Lives it; nothing is known of how it should look.
    pub(super) async fn record(&self, faults: &Faults) -> anyhow::Result<Undisturbed> {
        faults.stage("started");
        let process = self.start(faults)?;
        let mut stages = Vec::new();
        watching(faults).await?;
        for stage in self.course.stages() {
            faults.stage(stage);
            self.act(stage).await?;
            self.settled(stage).await?;
            quiet(faults).await?;
            stages.push(self.snapshot().await?);
        }
        let (calls, writes) = faults.counts();
        process.stop().await;
        for (stage, two) in self.course.stages().iter().zip(stages.windows(2)) {
            ensure!(two[0] != two[1], "nothing follows from what comes after {stage}");
        }
        let (first, left) = (stages[0].len(), stages.last().map_or(0, Snapshot::len));
        ensure!(
            first > 20 && left == 0,
            "there are {first} objects at first and {left} at last: {stages:#?}"
        );
        Ok(Undisturbed { stages, calls, writes })
    }

    /// Lives it with whatever the faults do; it must come to look like an undisturbed one.
    pub(super) async fn repeat(&self, faults: &Faults, undisturbed: &Undisturbed) -> anyhow::Result<()> {
        faults.stage("started");
        let process = self.start(faults)?;
        let lived = async {
            watching(faults).await?;
            for (stage, expected) in self.course.stages().iter().zip(&undisturbed.stages) {
                faults.stage(stage);
                self.act(stage).await.with_context(|| format!("when {stage}"))?;
                self.settled(stage).await?;
                self.looks_like(expected).await.with_context(|| format!("when {stage}"))?;
            }
            let (calls, writes) = faults.counts();
            let (usual, usual_writes) = (undisturbed.calls, undisturbed.writes);
            ensure!(calls <= usual * 3, "{calls} calls, and {usual} without the fault");
            ensure!(writes <= usual_writes * 2, "{writes} writes, and {usual_writes} without the fault");
            Ok(())
        };
        let lived = lived.await;
        process.stop().await;
        lived
    }

    /// Does what people, the gateway and Tekton do in a stage.
    pub(super) async fn act(&self, stage: &str) -> anyhow::Result<()> {
        match &self.course {
            Course::Shared => self.act_shared(stage).await,
            Course::Alone(server) => self.act_alone(stage, server).await,
        }
    }

    /// Waits until the statuses say that a stage is over.
    pub(super) async fn settled(&self, stage: &str) -> anyhow::Result<()> {
        match &self.course {
            Course::Shared => self.settled_shared(stage).await,
            Course::Alone(_) => self.settled_alone(stage).await,
        }
    }

    /// Waits until an object in a namespace is as a test of it says; nothing is there when it is gone.
    async fn until(
        &self,
        (group, kind): (&str, &str),
        (namespace, name): (&str, &str),
        what: &str,
        is: impl Fn(Option<&DynamicObject>) -> bool,
    ) -> anyhow::Result<()> {
        let api = self.engine.dynamic(group, "v1alpha1", kind, Some(namespace));
        let last = Mutex::new(Value::Null);
        let what = format!("{kind} is {what}");
        let over = eventually_for(PATIENCE, &what, || async {
            let found = api.get_opt(name).await?;
            *last.lock().unwrap() = found.as_ref().map(|o| o.data["status"].clone()).unwrap_or_default();
            Ok(is(found.as_ref()).then_some(()))
        });
        over.await.with_context(|| format!("its status is {}", last.lock().unwrap()))
    }

    pub(super) async fn snapshot(&self) -> anyhow::Result<Snapshot> {
        Snapshot::take(self.engine, &self.id, Vec::new()).await
    }

    /// Waits until everything looks as expected; tells what does not.
    pub(super) async fn looks_like(&self, expected: &Snapshot) -> anyhow::Result<()> {
        looks_like(|| self.snapshot(), expected).await
    }
}

/// Waits until what is seen looks as expected; tells what does not.
pub(super) async fn looks_like<W>(look: impl Fn() -> W, expected: &Snapshot) -> anyhow::Result<()>
where
    W: Future<Output = anyhow::Result<Snapshot>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let found = look().await?;
        if found == *expected {
            return Ok(());
        }
        let late = tokio::time::Instant::now() >= deadline;
        ensure!(!late, "not as without the fault: {}", found.differs(expected));
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the controllers watch everything that they have listed, however busy the machine is.
pub(super) async fn watching(faults: &Faults) -> anyhow::Result<()> {
    eventually_for(PATIENCE, "the controllers watch", || async {
        let calls = faults.calls();
        let of = |verb| -> BTreeSet<&str> {
            calls.iter().filter(|call| call.verb == verb).map(|call| call.kind.as_str()).collect()
        };
        let (listed, watched) = (of("list"), of("watch"));
        Ok((!watched.is_empty() && listed.is_subset(&watched)).then_some(()))
    })
    .await?;
    quiet(faults).await
}

/// Whether the status is about the present spec and says that all is well.
fn is_well(object: Option<&DynamicObject>) -> bool {
    let Some(object) = object else { return false };
    let (status, generation) = (&object.data["status"], object.metadata.generation);
    let current = status["observedGeneration"].as_i64() == generation && generation.is_some();
    current && ["Active", "Ready"].iter().any(|phase| status["phase"] == *phase)
}

/// Waits until nothing has been asked for a while.
pub(super) async fn quiet(faults: &Faults) -> anyhow::Result<()> {
    let seen = Mutex::new((faults.counts(), 0));
    eventually_for(PATIENCE * 2, "the controllers have nothing more to ask", || async {
        let mut seen = seen.lock().unwrap();
        let now = faults.counts();
        *seen = if seen.0 == now { (now, seen.1 + 1) } else { (now, 0) };
        Ok((seen.1 > 30).then_some(()))
    })
    .await
}

//! The one thread that writes: takes what is waiting as a group, makes it durable, shows it.

#[cfg(test)]
mod ahead;
mod group;
mod retention;

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::change::{Change, CommitError, Committed};
use crate::entry::Revision;
use crate::log::{Batch, DiskError, Log};
use crate::options::Options;
use crate::store::Shared;
use group::Group;
use retention::Retention;

/// Transactions and bytes after which a group goes to disk though more is waiting.
const GROUP_TRANSACTIONS: usize = 512;
const GROUP_BYTES: usize = 4 << 20;

pub(crate) type Answer<T> = oneshot::Sender<Result<T, CommitError>>;

/// What handles ask of the writer.
#[derive(Debug)]
pub(crate) enum Request {
    Commit {
        changes: Vec<Change>,
        answer: Answer<Committed>,
    },
    /// `place` is told of the transaction when it is ordered, `answer` when it is on disk.
    CommitAhead {
        changes: Vec<Change>,
        place: Answer<Committed>,
        answer: Answer<Committed>,
    },
    Compact {
        before: Revision,
        answer: Answer<()>,
    },
    Close {
        answer: Answer<()>,
    },
}

/// What is to be answered once a group is on disk.
#[derive(Default)]
struct Answers {
    commits: Vec<(Answer<Committed>, Result<Committed, CommitError>)>,
    others: Vec<Answer<()>>,
}

/// The writer's side of a store.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    log: Box<dyn Log>,
    inbox: Receiver<Request>,
    retention: Retention,
    failed: Option<Arc<DiskError>>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        log: Box<dyn Log>,
        inbox: Receiver<Request>,
        options: Options,
    ) -> Self {
        let mut retention = Retention::new(options);
        retention.add(shared.read().history.iter(), Instant::now());
        Self { shared, log, inbox, retention, failed: None }
    }

    /// Works until the store is closed or has no handles left.
    pub(crate) fn run(mut self) {
        let closing = loop {
            match self.wait() {
                Ok(first) => {
                    if let Some(answer) = self.work(first) {
                        break Some(answer);
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.expire(),
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        self.shared.hub.close();
        self.log.close();
        // Whoever waits for a request still in the inbox learns `Closed` as the inbox goes.
        drop(self);
        if let Some(answer) = closing {
            let _ = answer.send(Ok(()));
        }
    }

    fn wait(&self) -> Result<Request, RecvTimeoutError> {
        // After a failure nothing can be compacted on disk, so there is nothing to wake up for.
        let deadline = self.retention.deadline().filter(|_| self.failed.is_none());
        match deadline {
            Some(deadline) => self.inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())),
            None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// One group: the first request and what waits behind it. Gives back a request to close.
    fn work(&mut self, first: Request) -> Option<Answer<()>> {
        let shared = Arc::clone(&self.shared);
        let state = shared.read();
        let mut group = Group::new(&state);
        let mut answers = Answers::default();
        let mut compact = None;
        let mut closing = None;
        let mut next = Some(first);
        while let Some(request) = next.take() {
            match request {
                Request::Commit { changes, answer } => {
                    let outcome = self.admit(&mut group, changes);
                    answers.commits.push((answer, outcome));
                }
                Request::CommitAhead { changes, place, answer } => {
                    let outcome = self.admit(&mut group, changes);
                    // What it conflicts with may be of this group too, and is to be seen by whoever looks.
                    let answer = if outcome.is_err() {
                        place
                    } else {
                        let _ = place.send(outcome.clone());
                        answer
                    };
                    answers.commits.push((answer, outcome));
                }
                Request::Compact { before, answer } => {
                    compact = compact.max(Some(before));
                    answers.others.push(answer);
                }
                Request::Close { answer } => {
                    closing = Some(answer);
                    break;
                }
            }
            if answers.commits.len() < GROUP_TRANSACTIONS && group.bytes < GROUP_BYTES {
                next = self.inbox.try_recv().ok();
            }
        }
        let (events, revision, compacted) = (group.events, group.revision, state.compacted);
        drop(state);
        let compact = compact.map(|before| before.min(revision)).filter(|before| *before > compacted);
        let written = self.write(&events, revision, compact.max(self.retention.expired(Instant::now())));
        answers.send(written.err().as_ref());
        closing
    }

    fn admit(&self, group: &mut Group<'_>, changes: Vec<Change>) -> Result<Committed, CommitError> {
        match &self.failed {
            Some(error) => Err(CommitError::Failed(Arc::clone(error))),
            None => group.admit(changes),
        }
    }

    /// Makes a group durable and then visible.
    fn write(
        &mut self,
        events: &[Arc<crate::entry::Event>],
        revision: Revision,
        compact: Option<Revision>,
    ) -> Result<(), Arc<DiskError>> {
        if let Some(error) = &self.failed {
            return Err(Arc::clone(error));
        }
        if events.is_empty() && compact.is_none() {
            return Ok(());
        }
        if let Err(error) = self.log.append(&Batch { events, compact }) {
            let error = Arc::new(error);
            let cause: &dyn std::error::Error = &*error.source;
            tracing::error!(%error, cause, "the store takes no more writes; reads go on");
            self.failed = Some(Arc::clone(&error));
            return Err(error);
        }
        let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        state.apply(events);
        let dropped = compact.map(|to| state.compact(to));
        drop(state);
        self.shared.hub.deliver(events, revision);
        self.retention.add(events.iter(), Instant::now());
        if let Some(to) = compact {
            self.retention.drop_to(to);
        }
        // Thousands of values may be freed here; readers no longer wait for it.
        drop(dropped);
        Ok(())
    }

    /// Drops history that grew old while nobody wrote.
    fn expire(&mut self) {
        let revision = self.shared.read().revision;
        if let Some(to) = self.retention.expired(Instant::now()) {
            // A failure is logged and remembered; nobody waits for an answer here.
            let _ = self.write(&[], revision, Some(to));
        }
    }
}

impl Answers {
    fn send(self, failed: Option<&Arc<DiskError>>) {
        for (answer, outcome) in self.commits {
            // A caller that went away does not read its answer.
            let _ = answer.send(match failed {
                Some(error) => Err(CommitError::Failed(Arc::clone(error))),
                None => outcome,
            });
        }
        for answer in self.others {
            let _ = answer.send(failed.map_or(Ok(()), |error| Err(CommitError::Failed(Arc::clone(error)))));
        }
    }
}

//! A number of places that names take turns at.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Lets so many in at once; those who wait get places in turns by name, and among one name in order of arrival.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: HashMap<String, VecDeque<oneshot::Sender<()>>>,
    /// The names that wait, each once; the first is next.
    turns: VecDeque<String>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub struct Place<'a>(&'a Gate);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Gate {
    pub(crate) fn new(places: usize) -> Self {
        let state = State { free: places, waiting: HashMap::new(), turns: VecDeque::new() };
        Self { state: Mutex::new(state) }
    }

    /// Waits for a place.
    pub(crate) async fn enter(&self, name: &str) -> Place<'_> {
        loop {
            let turn = {
                let mut state = self.state();
                if state.free > 0 {
                    state.free -= 1;
                    return Place(self);
                }
                state.line_up(name)
            };
            // A place is handed over with the message; should this future be dropped between the two, the guard gives it on.
            let mut waiting = Waiting { gate: self, turn: Some(turn) };
            if waiting.handed().await {
                return Place(self);
            }
        }
    }

    /// How many wait under a name.
    pub(super) fn waiting(&self, name: &str) -> usize {
        self.state().waiting.get(name).map_or(0, VecDeque::len)
    }

    /// Gives a place to the next who still waits.
    fn release(&self) {
        let mut state = self.state();
        while let Some(next) = state.next() {
            if next.send(()).is_ok() {
                return;
            }
        }
        state.free += 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn line_up(&mut self, name: &str) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let line = self.waiting.entry(name.to_owned()).or_default();
        // Those who went away must not fill a line that is bounded.
        line.retain(|waiting| !waiting.is_closed());
        if line.is_empty() {
            self.turns.retain(|waiting| waiting != name);
            self.turns.push_back(name.to_owned());
        }
        line.push_back(sender);
        receiver
    }

    fn next(&mut self) -> Option<oneshot::Sender<()>> {
        let name = self.turns.pop_front()?;
        let line = self.waiting.get_mut(&name)?;
        let first = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&name);
        } else {
            self.turns.push_back(name);
        }
        first
    }
}

struct Waiting<'a> {
    gate: &'a Gate,
    turn: Option<oneshot::Receiver<()>>,
}

impl Waiting<'_> {
    async fn handed(&mut self) -> bool {
        let Some(turn) = self.turn.as_mut() else { return false };
        let handed = turn.await.is_ok();
        self.turn = None;
        handed
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(mut turn) = self.turn.take() else { return };
        turn.close();
        if turn.try_recv().is_ok() {
            self.gate.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt as _;

    use super::*;

    /// Lines up under names, and tells in which order the places come.
    async fn order(names: &[&str]) -> Vec<String> {
        let gate = Arc::new(Gate::new(1));
        let first = gate.enter("first").await;
        let came = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (number, name) in names.iter().enumerate() {
            let (gate, came, name) = (Arc::clone(&gate), Arc::clone(&came), (*name).to_owned());
            tasks.push(tokio::spawn(async move {
                let place = gate.enter(&name).await;
                came.lock().unwrap().push(format!("{name}{number}"));
                drop(place);
            }));
            tokio::task::yield_now().await;
        }
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        came.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn a_busy_name_does_not_keep_others_out() {
        let order = order(&["busy", "busy", "busy", "busy", "calm"]).await;
        assert_eq!(order, ["busy0", "calm4", "busy1", "busy2", "busy3"]);
    }

    #[tokio::test]
    async fn those_who_go_away_take_no_place_with_them() {
        let gate = Gate::new(1);
        let place = gate.enter("a").await;
        let mut gone = Box::pin(gate.enter("a"));
        let mut handed = Box::pin(gate.enter("b"));
        assert!(gone.as_mut().now_or_never().is_none() && handed.as_mut().now_or_never().is_none());
        drop(gone);
        // The place is handed to one who goes away before it is taken.
        drop(place);
        drop(handed);
        assert!(gate.enter("c").now_or_never().is_some());
        assert_eq!((gate.waiting("a"), gate.waiting("b")), (0, 0));
    }
}

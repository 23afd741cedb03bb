//! Watches: history first, then live events, each exactly once and in order.

mod hub;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

pub(crate) use hub::Hub;
use tokio::sync::mpsc;
use tokio_stream::Stream;

use crate::entry::{Event, Revision};

/// The watcher fell too far behind the writer and was dropped; watch again from `delivered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the watch fell too far behind and was dropped; all up to revision {delivered} was delivered")]
pub struct WatchLost {
    /// Every event up to this revision was delivered.
    pub delivered: Revision,
}

/// Events of the keys under a prefix. The stream ends when the store is closed.
#[derive(Debug)]
pub struct Watch {
    hub: Arc<Hub>,
    prefix: Box<str>,
    id: u64,
    backlog: VecDeque<Arc<Event>>,
    queue: mpsc::Receiver<Arc<Event>>,
    lost: Arc<AtomicBool>,
    reported: bool,
    complete: Revision,
}

impl Watch {
    /// The newest revision up to which every matching event has been taken from this watch.
    ///
    /// This is what a bookmark may say, also when nothing under the prefix happened for long.
    pub fn progress(&self) -> Revision {
        // In this order: what the hub had delivered before the queue was seen empty was taken.
        let delivered = self.hub.delivered();
        let lost = self.lost.load(Ordering::Acquire);
        if lost || !self.backlog.is_empty() || !self.queue.is_empty() {
            return self.complete;
        }
        self.complete.max(delivered)
    }

    /// Events that wait to be taken.
    pub fn waiting(&self) -> usize {
        self.backlog.len() + self.queue.len()
    }

    fn taken(&mut self, event: Arc<Event>) -> Poll<Option<Result<Arc<Event>, WatchLost>>> {
        // More events of the same transaction may follow, so only the one before is complete.
        self.complete = self.complete.max(event.revision - 1);
        Poll::Ready(Some(Ok(event)))
    }
}

impl Stream for Watch {
    type Item = Result<Arc<Event>, WatchLost>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let watch = self.get_mut();
        if let Some(event) = watch.backlog.pop_front() {
            return watch.taken(event);
        }
        match watch.queue.poll_recv(context) {
            Poll::Ready(Some(event)) => watch.taken(event),
            Poll::Ready(None) if watch.lost.load(Ordering::Acquire) && !watch.reported => {
                watch.reported = true;
                Poll::Ready(Some(Err(WatchLost { delivered: watch.complete })))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.hub.remove(&self.prefix, self.id);
    }
}

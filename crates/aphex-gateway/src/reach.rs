//! Whether the engine answers in time.
//!
//! One call that gets no answer says so for all: those that have another way (the spool, a Secret read before) take it
//! at once instead of waiting themselves. After a moment one of them asks again, the others go on taking the other way.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long after an unanswered call nobody asks again who need not.
const PAUSE: Duration = Duration::from_secs(1);
/// Answers of an engine that cannot do its work now: too busy, or something behind it is away.
const AWAY: [u16; 4] = [429, 502, 503, 504];

/// What is known of the engine; cheap to clone.
#[derive(Debug, Clone)]
pub struct Reach(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    patience: Duration,
    silent_until: Mutex<Option<Instant>>,
}

impl Reach {
    /// An engine that answers, until a call takes longer than `patience`.
    pub fn new(patience: Duration) -> Self {
        Self(Arc::new(Inner { patience, silent_until: Mutex::default() }))
    }

    /// How long to wait for an answer.
    pub fn patience(&self) -> Duration {
        self.0.patience
    }

    /// Whether the engine gave no answer a moment ago; when the moment is over, the first who asks is to try.
    pub fn is_away(&self) -> bool {
        self.is_away_at(Instant::now())
    }

    fn is_away_at(&self, now: Instant) -> bool {
        let mut until = self.0.silent_until.lock().unwrap_or_else(PoisonError::into_inner);
        match *until {
            None => false,
            Some(end) if now < end => true,
            Some(_) => {
                *until = Some(now + self.0.patience);
                false
            }
        }
    }

    /// Notes an answer, whichever.
    pub fn answered(&self) {
        *self.0.silent_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Notes that there was no answer.
    pub fn silent(&self) {
        let until = Some(Instant::now() + PAUSE);
        *self.0.silent_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Notes what an error says of the engine.
    pub fn failed(&self, error: &kube::Error) {
        match error {
            kube::Error::Api(status) if !AWAY.contains(&status.code) => self.answered(),
            error if is_absence(error) => self.silent(),
            _ => {}
        }
    }
}

/// Whether an error says that the engine could not do what it was asked, or that nobody knows whether it did.
pub fn is_absence(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 429 || status.code >= 500,
        // No connection, or one that ended before the answer did.
        kube::Error::HyperError(_)
        | kube::Error::Service(_)
        | kube::Error::ReadEvents(_)
        | kube::Error::SerdeError(_)
        | kube::Error::FromUtf8(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> kube::Error {
        kube::Error::Api(kube::core::Status::failure("no", "Because").with_code(code).boxed())
    }

    #[test]
    fn one_of_many_asks_again_after_a_moment() {
        let reach = Reach::new(Duration::from_secs(2));
        assert!(!reach.is_away());
        reach.silent();
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert!(reach.is_away());
        assert_eq!(
            [reach.is_away_at(later(2)), reach.is_away_at(later(2))],
            [false, true],
            "the first tries, the second does not"
        );
        assert!(!reach.is_away_at(later(5)), "the one that tried never said what came of it");
        reach.answered();
        assert_eq!([reach.is_away(), reach.is_away()], [false, false]);
    }

    #[test]
    fn an_engine_that_refuses_is_there() {
        for code in [429, 500, 502, 503, 504] {
            assert!(is_absence(&refused(code)), "{code}");
        }
        for code in [400, 401, 403, 404, 409, 413, 422] {
            assert!(!is_absence(&refused(code)), "{code}");
        }
        let reach = Reach::new(Duration::from_secs(2));
        reach.failed(&refused(503));
        assert!(reach.is_away());
        reach.failed(&refused(403));
        assert!(!reach.is_away());
        reach.failed(&refused(500));
        assert!(!reach.is_away(), "one admission webhook that fails is not the engine");
    }
}

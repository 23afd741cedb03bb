//! Logins that were sent to the other provider and have not come back.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::secrets;

/// How long a login there may take.
pub(super) const PATIENCE: Duration = Duration::from_mins(10);
/// So many may be under way; more are told to come back later.
const MOST: usize = 10_000;

/// A login under way.
pub(crate) struct Pending {
    /// Where it goes on, a path of ours.
    pub(super) next: String,
    pub(super) nonce: String,
    pub(super) verifier: SecretString,
    browser: String,
    until: Timestamp,
}

/// What goes to the provider.
pub(super) struct Begun {
    pub(super) state: SecretString,
    pub(super) nonce: String,
    pub(super) challenge: String,
}

/// All logins under way, by the fingerprint of their state.
#[derive(Default)]
pub(super) struct Pendings(Mutex<HashMap<String, Pending>>);

impl fmt::Debug for Pendings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pendings").finish_non_exhaustive()
    }
}

impl Pendings {
    /// Begins one for the browser with this cookie; none when there are too many.
    pub(super) fn begin(&self, browser: &str, next: &str, now: Timestamp) -> Option<Begun> {
        let (state, nonce, verifier) = (secrets::random(), secrets::random(), secrets::random());
        let nonce = nonce.expose_secret().to_owned();
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.expose_secret().as_bytes()));
        let pending = Pending {
            next: next.to_owned(),
            nonce: nonce.clone(),
            verifier,
            browser: secrets::fingerprint(browser),
            until: now.saturating_add(PATIENCE).unwrap_or(Timestamp::MAX),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.retain(|_, pending| pending.until > now);
        }
        if all.len() >= MOST {
            return None;
        }
        all.insert(secrets::fingerprint(state.expose_secret()), pending);
        Some(Begun { state, nonce, challenge })
    }

    /// Finishes one, once, in the browser that began it.
    pub(super) fn finish(&self, state: &str, browser: &str, now: Timestamp) -> Option<Pending> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = secrets::fingerprint(state);
        // A state that another browser brings stays good for its own.
        let own = all.get(&id).is_some_and(|pending| pending.browser == secrets::fingerprint(browser));
        if !own {
            return None;
        }
        all.remove(&id).filter(|pending| pending.until > now)
    }

    pub(super) fn forget(&self, now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, pending| pending.until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_login_is_finished_once_in_time_and_in_its_own_browser() {
        let pendings = Pendings::default();
        let begun = pendings.begin("mine", "/auth?x=1", at(0)).unwrap();
        let state = begun.state.expose_secret();
        assert!(pendings.finish(state, "another", at(1)).is_none());
        assert!(pendings.finish("guess", "mine", at(1)).is_none());
        let pending = pendings.finish(state, "mine", at(1)).unwrap();
        assert_eq!((pending.next.as_str(), &pending.nonce), ("/auth?x=1", &begun.nonce));
        assert!(pendings.finish(state, "mine", at(1)).is_none());
        let late = pendings.begin("mine", "/", at(0)).unwrap();
        assert!(pendings.finish(late.state.expose_secret(), "mine", at(600)).is_none());
    }

    #[test]
    fn those_that_nobody_finishes_make_room() {
        let pendings = Pendings::default();
        for _ in 0..MOST {
            assert!(pendings.begin("b", "/", at(0)).is_some());
        }
        assert!(pendings.begin("b", "/", at(599)).is_none());
        assert!(pendings.begin("b", "/", at(601)).is_some());
    }
}

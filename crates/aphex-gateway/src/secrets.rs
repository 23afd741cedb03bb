//! Webhook secrets, fetched by name when they are needed and kept for a short while.
//!
//! Only Secrets that triggers name are read, one by one: listing would need a right to every Secret of the cluster.
//! Values are wiped when they are dropped, and printed by nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aphex_api::delivery::SecretKeyRef;
use aphex_api::foreign::triggers::EventListener;
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use secrecy::{ExposeSecret as _, SecretSlice};
use thiserror::Error;
use tokio::time::Instant;

use crate::reach::Reach;
use crate::select;
use crate::signature::proofs::{Proofs, Scheme};
use crate::snapshot::Snapshot;

/// A Secret's key and the way in which its value is to be shown.
pub type Candidate = (Scheme, SecretKeyRef);

/// How long a fetched Secret is believed; a signature that fails makes it be read again sooner.
const KEPT: Duration = Duration::from_secs(30);
/// A Secret read less than this ago is not read again, whatever happens.
const FRESH: Duration = Duration::from_secs(1);
/// The same for each of many Secrets: whoever sends bad signatures makes the engine answer this rarely.
const FRESH_EACH: Duration = Duration::from_millis(50);
/// How long a Secret is believed that the engine cannot be asked about again, because it is away.
pub const KEPT_WITHOUT_ENGINE: Duration = Duration::from_hours(1);
/// After how long a Secret is read again although no event asked for it.
const WARM: Duration = Duration::from_mins(20);
/// How many Secrets are fetched at once.
const PARALLEL: usize = 16;
/// How many bytes are hashed where the request is answered: below that another thread costs more than the hashing.
const HASHED_AT_ONCE: usize = 256 * 1024;
/// Key suffix under which a rotated secret's predecessor stands.
const PREVIOUS: &str = ".previous";
/// Key suffix that says until when (RFC 3339) the predecessor still counts.
const PREVIOUS_UNTIL: &str = ".previous-until";

/// A Secret could not be read.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The engine refused, or went away.
    #[error("cannot read Secret {namespace}/{name}")]
    Read {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What the engine said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The engine does not answer.
    #[error("the engine does not answer when asked for Secret {namespace}/{name}")]
    Away {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

type Name = (String, String);
type Data = BTreeMap<String, SecretSlice<u8>>;

/// The cache; cheap to clone.
#[derive(Clone)]
pub struct SecretCache {
    /// Whom to ask; nothing when everything there is is known.
    engine: Option<(Client, Reach)>,
    known: Arc<Mutex<HashMap<Name, Known>>>,
}

#[derive(Clone, Debug)]
struct Known {
    /// Nothing when there is no such Secret.
    data: Option<Arc<Data>>,
    read: Instant,
}

impl std::fmt::Debug for SecretCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretCache")
    }
}

impl SecretCache {
    /// An empty cache that reads with this client.
    pub fn new(client: Client, reach: Reach) -> Self {
        Self { engine: Some((client, reach)), known: Arc::default() }
    }

    /// A cache of exactly these Secrets, by namespace and name, which asks nobody for others.
    pub fn of(secrets: impl IntoIterator<Item = ((String, String), BTreeMap<String, Vec<u8>>)>) -> Self {
        let known = |data: BTreeMap<String, Vec<u8>>| {
            let data = data.into_iter().map(|(key, value)| (key, value.into())).collect();
            Known { data: Some(Arc::new(data)), read: Instant::now() }
        };
        let known = secrets.into_iter().map(|(name, data)| (name, known(data))).collect();
        Self { engine: None, known: Arc::new(Mutex::new(known)) }
    }

    /// Which of the candidates' secrets the sender of the body knows.
    ///
    /// Reads what it does not know; when none verifies, reads again what may have changed since.
    pub async fn signers(
        &self,
        candidates: &[Candidate],
        proofs: &Proofs,
        body: &bytes::Bytes,
        now: Timestamp,
    ) -> Result<Vec<SecretKeyRef>, SecretError> {
        let mut failed = None;
        let many = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        for kept in [KEPT, FRESH_EACH.saturating_mul(many).clamp(FRESH, KEPT)] {
            let names: Vec<SecretKeyRef> = candidates.iter().map(|(_, name)| name.clone()).collect();
            // One that cannot be read must not keep out the senders who know another.
            failed = self.fetch(&names, kept).await.err();
            let values: Vec<(Candidate, Vec<SecretSlice<u8>>)> = candidates
                .iter()
                .map(|candidate| (candidate.clone(), self.accepted(&candidate.1, now)))
                .collect();
            let hashed = values.iter().map(|(_, secrets)| secrets.len()).sum::<usize>() * body.len();
            let (proofs, body) = (proofs.clone(), body.clone());
            let verify = move || {
                let shown = |scheme: Scheme, secrets: &[SecretSlice<u8>]| {
                    secrets.iter().any(|secret| proofs.show(scheme, secret.expose_secret(), &body))
                };
                values
                    .into_iter()
                    .filter(|((scheme, _), secrets)| shown(*scheme, secrets))
                    .map(|((_, name), _)| name)
                    .collect::<Vec<_>>()
            };
            // Many secrets over a large body are work for a thread that may be busy.
            let verified = if hashed <= HASHED_AT_ONCE {
                verify()
            } else {
                tokio::task::spawn_blocking(verify).await.unwrap_or_default()
            };
            if !verified.is_empty() {
                return Ok(verified);
            }
        }
        // What verifies with no secret that is known may do so with one that could not be read.
        failed.map_or(Ok(Vec::new()), Err)
    }

    /// The value of a Secret that was read before, when it has the key.
    pub fn current(&self, secret: &SecretKeyRef) -> Option<SecretSlice<u8>> {
        self.data(secret)?.get(&secret.key).cloned()
    }

    /// Reads what triggers name before anybody sends an event, so that signatures can be checked while the engine is away.
    pub async fn warm(&self, snapshot: &Snapshot) {
        let offered = |listener: &Arc<EventListener>| {
            let namespace = listener.metadata.namespace.clone().unwrap_or_default();
            let offers = select::offers(listener, snapshot);
            offers
                .iter()
                .flat_map(|offer| offer.secrets(&namespace))
                .map(|(_, name)| name)
                .collect::<Vec<_>>()
        };
        let wanted: Vec<SecretKeyRef> = snapshot.every_listener().iter().flat_map(offered).collect();
        if let Err(error) = self.fetch(&wanted, WARM).await {
            tracing::debug!(error = %aphex_runtime::errors::chain(&error), "a webhook secret cannot be read ahead");
        }
    }

    /// Reads the Secrets that are unknown or were read longer ago than this; all that can be read, whatever the error.
    pub async fn fetch(&self, wanted: &[SecretKeyRef], kept: Duration) -> Result<(), SecretError> {
        if self.engine.is_none() {
            return Ok(());
        }
        let names: HashSet<Name> = wanted.iter().map(|w| (w.namespace.clone(), w.name.clone())).collect();
        let stale: Vec<Name> = names.into_iter().filter(|name| !self.is_known(name, kept)).collect();
        let mut reads =
            futures::stream::iter(stale.into_iter().map(|name| self.read(name))).buffer_unordered(PARALLEL);
        let mut first = Ok(());
        while let Some(result) = reads.next().await {
            first = first.and(result);
        }
        first
    }

    async fn read(&self, (namespace, name): Name) -> Result<(), SecretError> {
        let Some((client, reach)) = &self.engine else { return Ok(()) };
        let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        if self.is_known(&(namespace.clone(), name.clone()), KEPT_WITHOUT_ENGINE) && reach.is_away() {
            return Err(SecretError::Away { namespace, name });
        }
        let Ok(read) = tokio::time::timeout(reach.patience(), api.get_opt(&name)).await else {
            reach.silent();
            return Err(SecretError::Away { namespace, name });
        };
        let data = match read {
            Ok(secret) => secret.map(|secret| {
                Arc::new(
                    secret
                        .data
                        .unwrap_or_default()
                        .into_iter()
                        .map(|(key, value)| (key, value.0.into()))
                        .collect(),
                )
            }),
            Err(source) => {
                reach.failed(&source);
                return Err(SecretError::Read { namespace, name, source: Box::new(source) });
            }
        };
        reach.answered();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Forget what no trigger has asked for in a long time, so that the cache stays as small as its use.
        known.retain(|_, entry| entry.read.elapsed() < KEPT_WITHOUT_ENGINE);
        known.insert((namespace, name), Known { data, read: Instant::now() });
        Ok(())
    }

    fn is_known(&self, name: &Name, kept: Duration) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).is_some_and(|entry| entry.read.elapsed() < kept)
    }

    fn data(&self, secret: &SecretKeyRef) -> Option<Arc<Data>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.get(&(secret.namespace.clone(), secret.name.clone()))?;
        entry.data.clone().filter(|_| entry.read.elapsed() < KEPT_WITHOUT_ENGINE)
    }

    /// The values that count now: the current one, and its predecessor while that is allowed.
    fn accepted(&self, secret: &SecretKeyRef, now: Timestamp) -> Vec<SecretSlice<u8>> {
        self.data(secret).map(|data| accepted(&data, &secret.key, now)).unwrap_or_default()
    }
}

fn accepted(data: &Data, key: &str, now: Timestamp) -> Vec<SecretSlice<u8>> {
    let until = data.get(&format!("{key}{PREVIOUS_UNTIL}")).map(|text| {
        // An end that cannot be read has passed: a stale secret must not count for ever.
        std::str::from_utf8(text.expose_secret())
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(Timestamp::MIN)
    });
    let previous = data.get(&format!("{key}{PREVIOUS}")).filter(|_| until.is_none_or(|until| now < until));
    data.get(key).into_iter().chain(previous).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_an_engine_a_secret_is_believed_for_an_hour() {
        let never = tower::service_fn(|_: http::Request<kube::client::Body>| {
            std::future::pending::<Result<http::Response<kube::client::Body>, std::io::Error>>()
        });
        let cache = SecretCache::new(Client::new(never, "default"), Reach::new(Duration::from_millis(1)));
        let key = |name: &str| SecretKeyRef {
            namespace: "org-acme".into(),
            name: name.into(),
            key: "secret".into(),
        };
        for (name, minutes) in [("fresh", 59), ("old", 61)] {
            let data: Data = [("secret".to_owned(), b"value".to_vec().into())].into();
            let read = Instant::now().checked_sub(Duration::from_mins(minutes)).unwrap();
            let known = Known { data: Some(Arc::new(data)), read };
            cache.known.lock().unwrap().insert(("org-acme".to_owned(), name.to_owned()), known);
        }
        let body = bytes::Bytes::from_static(b"{}");
        let mut headers = http::HeaderMap::new();
        headers.insert("x-gitlab-token", "value".parse().unwrap());
        let proofs = Proofs::of(&headers, Timestamp::UNIX_EPOCH);
        let candidates = [(Scheme::Gitlab, key("fresh")), (Scheme::Gitlab, key("old"))];
        let signers = cache.signers(&candidates, &proofs, &body, Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!(signers, [key("fresh")]);
        let unknown = cache.signers(&candidates[1..], &proofs, &body, Timestamp::UNIX_EPOCH).await;
        assert!(matches!(unknown, Err(SecretError::Away { .. })), "{unknown:?}");
    }

    #[test]
    fn a_rotated_secret_counts_until_its_time_is_over() {
        let data = |until: Option<&str>| {
            let value = |text: &str| SecretSlice::from(text.as_bytes().to_vec());
            let mut data: Data = [("secret".to_owned(), value("new"))].into();
            data.insert("secret.previous".to_owned(), value("old"));
            data.extend(until.map(|until| ("secret.previous-until".to_owned(), value(until))));
            data
        };
        let now: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
        let count = |until| accepted(&data(until), "secret", now).len();
        assert_eq!(count(None), 2);
        assert_eq!(count(Some("2026-11-24T00:00:01Z")), 2);
        assert_eq!(count(Some("2026-11-24T00:00:00Z")), 1);
        assert_eq!(count(Some("soon")), 1);
        assert!(accepted(&Data::new(), "secret", now).is_empty());
    }

    #[test]
    fn what_is_kept_is_wiped_when_it_goes_and_never_printed() {
        fn is_wiped<T: secrecy::zeroize::ZeroizeOnDrop>(_: &T) {}
        let value = SecretSlice::from(b"open sesame".to_vec());
        is_wiped(&value);
        let known =
            Known { data: Some(Arc::new([("secret".to_owned(), value)].into())), read: Instant::now() };
        let printed = format!("{known:?}");
        assert!(
            printed.contains("REDACTED") && !printed.contains("sesame") && !printed.contains("111"),
            "{printed}"
        );
    }
}

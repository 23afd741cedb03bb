//! Webhook secrets, fetched by name when they are needed and kept for a short while.
//!
//! Only Secrets that triggers name are read, one by one: listing would need a right to every Secret of the cluster.
//! Values are wiped when they are dropped, and printed by nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aphex_api::delivery::SecretKeyRef;
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use secrecy::{ExposeSecret as _, SecretSlice};
use thiserror::Error;
use tokio::time::Instant;

use crate::signature::proofs::{Proofs, Scheme};

/// A Secret's key and the way in which its value is to be shown.
pub type Candidate = (Scheme, SecretKeyRef);

/// How long a fetched Secret is believed; a signature that fails makes it be read again sooner.
const KEPT: Duration = Duration::from_secs(30);
/// A Secret read less than this ago is not read again, whatever happens.
const FRESH: Duration = Duration::from_secs(1);
/// The same for each of many Secrets: whoever sends bad signatures makes the engine answer this rarely.
const FRESH_EACH: Duration = Duration::from_millis(50);
/// How many Secrets are fetched at once.
const PARALLEL: usize = 16;
/// Key suffix under which a rotated secret's predecessor stands.
const PREVIOUS: &str = ".previous";
/// Key suffix that says until when (RFC 3339) the predecessor still counts.
const PREVIOUS_UNTIL: &str = ".previous-until";

/// A Secret could not be read.
#[derive(Debug, Error)]
#[error("cannot read Secret {namespace}/{name}")]
pub struct SecretError {
    namespace: String,
    name: String,
    #[source]
    source: Box<kube::Error>,
}

type Name = (String, String);
type Data = BTreeMap<String, SecretSlice<u8>>;

/// The cache; cheap to clone.
#[derive(Clone)]
pub struct SecretCache {
    client: Client,
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
    pub fn new(client: Client) -> Self {
        Self { client, known: Arc::default() }
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
        let many = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        for kept in [KEPT, FRESH_EACH.saturating_mul(many).clamp(FRESH, KEPT)] {
            let names: Vec<SecretKeyRef> = candidates.iter().map(|(_, name)| name.clone()).collect();
            self.fetch(&names, kept).await?;
            let values: Vec<(Candidate, Vec<SecretSlice<u8>>)> = candidates
                .iter()
                .map(|candidate| (candidate.clone(), self.accepted(&candidate.1, now)))
                .collect();
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
            let verified = tokio::task::spawn_blocking(verify).await.unwrap_or_default();
            if !verified.is_empty() {
                return Ok(verified);
            }
        }
        Ok(Vec::new())
    }

    /// The value of a Secret that was read before, when it has the key.
    pub fn current(&self, secret: &SecretKeyRef) -> Option<SecretSlice<u8>> {
        self.data(secret)?.get(&secret.key).cloned()
    }

    /// Reads the Secrets that are unknown or were read longer ago than this.
    pub async fn fetch(&self, wanted: &[SecretKeyRef], kept: Duration) -> Result<(), SecretError> {
        let names: HashSet<Name> = wanted.iter().map(|w| (w.namespace.clone(), w.name.clone())).collect();
        let stale: Vec<Name> = names.into_iter().filter(|name| !self.is_known(name, kept)).collect();
        let mut reads =
            futures::stream::iter(stale.into_iter().map(|name| self.read(name))).buffer_unordered(PARALLEL);
        while let Some(result) = reads.next().await {
            result?;
        }
        Ok(())
    }

    async fn read(&self, (namespace, name): Name) -> Result<(), SecretError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        let data = match api.get_opt(&name).await {
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
            Err(source) => return Err(SecretError { namespace, name, source: Box::new(source) }),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Forget what no trigger has asked for in a long time, so that the cache stays as small as its use.
        known.retain(|_, entry| entry.read.elapsed() < KEPT * 20);
        known.insert((namespace, name), Known { data, read: Instant::now() });
        Ok(())
    }

    fn is_known(&self, name: &Name, kept: Duration) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).is_some_and(|entry| entry.read.elapsed() < kept)
    }

    fn data(&self, secret: &SecretKeyRef) -> Option<Arc<Data>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(secret.namespace.clone(), secret.name.clone()))?.data.clone()
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

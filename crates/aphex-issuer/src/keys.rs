//! The keys that sign tokens: one signs, the ones before it stay published until what they signed has expired.
//!
//! ```text
//! made ──► signs ──(rotation)──► published only ──(longest token's lifetime)──► gone
//! ```
//!
//! A relying party that meets an unknown key id asks for `/keys` again, so a new key needs no time in advance.

mod signing;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aphex_runtime::Clock;
use jiff::Timestamp;
use jsonwebtoken::{TokenData, Validation, decode, decode_header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::signing::Algorithm;
use self::signing::SigningKey;
use crate::storage::{Record, Storage, StorageError};

/// Published beyond the longest token's lifetime: clocks differ, and answers are cached.
const MARGIN: Duration = Duration::from_mins(10);

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The records cannot be read or written.
    #[error("cannot read or keep the signing keys")]
    Storage(#[source] StorageError),
    /// A kept key is not what it should be.
    #[error("signing key {id} is damaged: {problem}")]
    Damaged {
        /// The key's id.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// The cryptographic library made no key.
    #[error("cannot make a signing key: {0}")]
    Make(String),
    /// The cryptographic library did not sign.
    #[error("cannot sign a token: {0}")]
    Sign(String),
}

/// A key as it is kept; the store seals it.
#[derive(Serialize, Deserialize)]
struct KeyRecord {
    algorithm: Algorithm,
    /// PKCS#8, in base64url.
    pkcs8: String,
    created: Timestamp,
    /// When it stopped signing.
    retired: Option<Timestamp>,
}

impl Record for KeyRecord {
    const KIND: &'static str = "signing-key";
}

#[derive(Clone)]
struct Ring {
    active: Arc<SigningKey>,
    since: Timestamp,
    /// Those that no longer sign, with the times they stopped; newest first.
    retired: Vec<(Arc<SigningKey>, Timestamp)>,
}

/// The signing keys of an issuer.
pub struct Keys {
    storage: Storage,
    clock: Clock,
    algorithm: Algorithm,
    ring: RwLock<Ring>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("active", &self.ring().active.id()).finish_non_exhaustive()
    }
}

impl Keys {
    /// The kept keys; the first one, and one of another algorithm than before, is made here.
    pub async fn load(storage: Storage, algorithm: Algorithm, clock: Clock) -> Result<Self, KeyError> {
        let mut active = None;
        let mut retired = Vec::new();
        for stored in storage.list::<KeyRecord>().map_err(KeyError::Storage)? {
            let record = stored.value;
            let damaged = |problem| KeyError::Damaged { id: stored.id.clone(), problem };
            let key = Arc::new(SigningKey::open(record.algorithm, &record.pkcs8).map_err(damaged)?);
            match record.retired {
                Some(since) => retired.push((key, since)),
                None => active = Some((key, record.created)),
            }
        }
        retired.sort_by_key(|(_, since)| std::cmp::Reverse(*since));
        let now = clock.now();
        let ring = match active {
            Some((active, since)) => Ring { active, since, retired },
            None => Ring { active: make(&storage, algorithm, now).await?, since: now, retired },
        };
        let keys = Self { storage, clock, algorithm, ring: RwLock::new(ring) };
        if keys.ring().active.algorithm() != algorithm {
            keys.rotate().await?;
        }
        Ok(keys)
    }

    /// Makes a new key sign where the present one is older than `age`, and drops those that nobody needs; tells
    /// whether the key changed.
    ///
    /// `longest` is how long the longest-lived token is valid.
    pub async fn tend(&self, age: Duration, longest: Duration) -> Result<bool, KeyError> {
        let now = self.clock.now();
        let over =
            |since: Timestamp, limit: Duration| since.saturating_add(limit).is_ok_and(|end| end <= now);
        let due = over(self.ring().since, age);
        if due {
            self.rotate().await?;
        }
        let (gone, kept): (Vec<_>, Vec<_>) =
            self.ring().retired.into_iter().partition(|(_, since)| over(*since, longest + MARGIN));
        for (key, _) in &gone {
            self.storage.delete::<KeyRecord>(key.id()).await.map_err(KeyError::Storage)?;
        }
        if !gone.is_empty() {
            self.ring.write().unwrap_or_else(PoisonError::into_inner).retired = kept;
        }
        Ok(due)
    }

    /// Makes a new key sign from now on.
    pub async fn rotate(&self) -> Result<(), KeyError> {
        let now = self.clock.now();
        let old = self.ring().active;
        let new = generate(self.algorithm).await?;
        let mut transaction = self.storage.transaction();
        if let Some(mut stored) = self.storage.get::<KeyRecord>(old.id()).map_err(KeyError::Storage)? {
            stored.value.retired = Some(now);
            transaction.replace(&stored).map_err(KeyError::Storage)?;
        }
        transaction.create(new.id(), &record(&new, now)).map_err(KeyError::Storage)?;
        transaction.commit().await.map_err(KeyError::Storage)?;
        let new = Arc::new(new);
        tracing::info!(key.id = new.id(), "a new key signs tokens");
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.retired.insert(0, (old, now));
        (ring.active, ring.since) = (new, now);
        Ok(())
    }

    /// The public keys, as a JSON Web Key Set (RFC 7517).
    pub fn jwks(&self) -> Value {
        let ring = self.ring();
        let retired = ring.retired.iter().map(|(key, _)| key.jwk().clone());
        let keys: Vec<Value> = std::iter::once(ring.active.jwk().clone()).chain(retired).collect();
        json!({ "keys": keys })
    }

    /// The algorithm that signs now.
    pub fn algorithm(&self) -> Algorithm {
        self.ring().active.algorithm()
    }

    /// Signs claims as a JSON Web Token of a type.
    pub fn sign<T: Serialize>(&self, kind: &str, claims: &T) -> Result<String, KeyError> {
        let claims = serde_json::to_vec(claims).map_err(|error| KeyError::Sign(error.to_string()))?;
        self.ring().active.sign(kind, &claims)
    }

    /// The claims of a token of a type that one of these keys signed; its times and audience are not looked at.
    pub fn verify<T: DeserializeOwned>(&self, kind: &str, token: &str) -> Option<T> {
        let header = decode_header(token).ok()?;
        if header.typ.as_deref() != Some(kind) {
            return None;
        }
        let ring = self.ring();
        let mut known = std::iter::once(&ring.active).chain(ring.retired.iter().map(|(key, _)| key));
        let key = known.find(|key| Some(key.id()) == header.kid.as_deref())?;
        // Only the key's own algorithm: neither none nor an HMAC keyed with the public key.
        let mut validation = Validation::new(key.algorithm().into());
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        decode(token, key.decoding(), &validation).ok().map(|TokenData { claims, .. }| claims)
    }

    fn ring(&self) -> Ring {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn record(key: &SigningKey, now: Timestamp) -> KeyRecord {
    KeyRecord { algorithm: key.algorithm(), pkcs8: key.pkcs8(), created: now, retired: None }
}

async fn make(storage: &Storage, algorithm: Algorithm, now: Timestamp) -> Result<Arc<SigningKey>, KeyError> {
    let key = generate(algorithm).await?;
    storage.create(key.id(), &record(&key, now)).await.map_err(KeyError::Storage)?;
    Ok(Arc::new(key))
}

/// Looking for primes takes some 100 ms: not on a thread that answers requests.
async fn generate(algorithm: Algorithm) -> Result<SigningKey, KeyError> {
    let made = tokio::task::spawn_blocking(move || SigningKey::generate(algorithm)).await;
    made.map_err(|error| KeyError::Make(error.to_string()))?.map_err(KeyError::Make)
}

#[cfg(test)]
mod tests;

//! Hashing of passwords with argon2id (RFC 9106), and what a password must be.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::error::Error;

/// NIST SP 800-63B-4, section 3.1.1.2, asks for 8 beside a second factor and 15 alone; there is back-off too.
pub(super) const FEWEST_CHARACTERS: usize = 12;
/// More would only be work for the hash.
const MOST_BYTES: usize = 1024;
/// OWASP's first recommendation with memory in mind: 19 MiB, two passes, one lane.
const COST: Cost = Cost { memory_kib: 19_456, passes: 2, lanes: 1 };
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// Logins that may wait for a thread; each holds 19 MiB only once it has one.
const MOST_WAITING: usize = 64;
/// Each takes 19 MiB and a core while it works.
const MOST_AT_ONCE: usize = 4;

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// A password as it is kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct PasswordHash {
    #[serde(flatten)]
    cost: Cost,
    salt: String,
    argon2id: String,
}

/// What comparing a password gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) matches: bool,
    /// It was hashed at a cost that is not today's.
    pub(super) outdated: bool,
}

/// Hashes on threads of their own, a few at once.
#[derive(Clone, Debug)]
pub(super) struct Hasher {
    working: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Hasher {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let working = Semaphore::new(cores.clamp(1, MOST_AT_ONCE));
        Self { working: Arc::new(working), waiting: Arc::new(Semaphore::new(MOST_WAITING)) }
    }

    /// The hash of a new password that keeps the rules; `about` are names that it may not be.
    pub(super) async fn hash(&self, password: &SecretString, about: &[&str]) -> Result<PasswordHash, Error> {
        check(password.expose_secret(), about)?;
        self.hash_unchecked(password).await
    }

    pub(super) async fn hash_unchecked(&self, password: &SecretString) -> Result<PasswordHash, Error> {
        let salt: [u8; SALT_BYTES] = rand::random();
        let hash = self.derive(password, salt.to_vec(), COST).await?;
        let encode = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
        Ok(PasswordHash { cost: COST, salt: encode(&salt), argon2id: encode(&hash[..]) })
    }

    /// Compares; without a hash it does the same work and gives no match.
    pub(super) async fn verify(
        &self,
        password: &SecretString,
        hash: Option<PasswordHash>,
    ) -> Result<Verdict, Error> {
        let kept = hash.unwrap_or_else(|| PasswordHash {
            cost: COST,
            salt: STANDARD_NO_PAD.encode([0; SALT_BYTES]),
            argon2id: String::new(),
        });
        let decode = |text: &str| {
            STANDARD_NO_PAD.decode(text).map_err(|error| Error::Hash { problem: error.to_string() })
        };
        let (salt, expected) = (decode(&kept.salt)?, decode(&kept.argon2id)?);
        let derived = self.derive(password, salt, kept.cost).await?;
        let matches = verify_slices_are_equal(&derived[..], &expected).is_ok();
        Ok(Verdict { matches, outdated: kept.cost != COST })
    }

    async fn derive(
        &self,
        password: &SecretString,
        salt: Vec<u8>,
        cost: Cost,
    ) -> Result<Zeroizing<[u8; HASH_BYTES]>, Error> {
        let failed = |problem: String| Error::Hash { problem };
        // A password that is too long to have been set is as wrong as any other, and costs as much.
        let password = if password.expose_secret().len() > MOST_BYTES {
            SecretString::default()
        } else {
            password.clone()
        };
        let _place = self.waiting.try_acquire().map_err(|_| Error::Busy)?;
        let permit = Arc::clone(&self.working).acquire_owned().await.map_err(|_| Error::Busy)?;
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(HASH_BYTES));
            let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|e| e.to_string())?);
            let mut hash = Zeroizing::new([0; HASH_BYTES]);
            argon
                .hash_password_into(password.expose_secret().as_bytes(), &salt, &mut hash[..])
                .map_err(|error| error.to_string())?;
            Ok(hash)
        });
        work.await.unwrap_or_else(|error| Err(error.to_string())).map_err(failed)
    }
}

/// Passwords that everybody tries first, of those that are long enough.
static COMMON: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("password/common.txt").lines().collect());

fn check(password: &str, about: &[&str]) -> Result<(), Error> {
    let refused = |problem: String| Err(Error::invalid("password", problem));
    if password.chars().count() < FEWEST_CHARACTERS {
        return refused(format!("Must be at least {FEWEST_CHARACTERS} characters; several words do well."));
    }
    if password.len() > MOST_BYTES {
        return refused(format!("Must be at most {MOST_BYTES} bytes."));
    }
    let folded = password.to_lowercase();
    let mut different: Vec<char> = folded.chars().collect();
    different.sort_unstable();
    different.dedup();
    if COMMON.contains(folded.as_str()) || different.len() < 4 {
        return refused("Is one of those that are tried first; choose another.".to_owned());
    }
    if about.iter().any(|name| !name.is_empty() && folded == name.to_lowercase()) {
        return refused("Must not be your name or address.".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_common_and_own_names_are_refused() {
        let about = ["ada@example.com"];
        assert!(check("correct horse battery", &about).is_ok());
        let long = "äb1".repeat(400);
        for bad in ["elevenchars", "Password1234", "aaaaaaaaaaaaaaaa", "Ada@Example.com", long.as_str()] {
            assert!(check(bad, &about).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only_and_nobody_matches_nothing() {
        let hasher = Hasher::new();
        let right = SecretString::from("correct horse battery");
        let hash = hasher.hash(&right, &[]).await.unwrap();
        assert!(!format!("{hash:?}").contains("correct"));
        assert!(hasher.verify(&right, Some(hash.clone())).await.unwrap().matches);
        let wrong = SecretString::from("correct horse batterz");
        assert!(!hasher.verify(&wrong, Some(hash.clone())).await.unwrap().matches);
        assert!(!hasher.verify(&right, None).await.unwrap().matches);
        let cheap = PasswordHash { cost: Cost { passes: 1, ..COST }, ..hash };
        assert!(hasher.verify(&right, Some(cheap)).await.unwrap().outdated);
    }
}

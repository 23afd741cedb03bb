//! Webhook secrets: `whsec_` and 32 random bytes in hexadecimal; and their rotation.
//!
//! A rotated secret's predecessor stands beside it until its time is over, under the keys that the gateway reads. Which
//! request made the secret is told by the Secret itself, so that no request is carried out twice, whatever happens.

use std::collections::BTreeMap;

use aphex_api::labels;
use aphex_api::webhook_secret::SecretRotation;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use rand::TryRngCore as _;
use rand::rand_core::OsError;
use rand::rngs::OsRng;

use crate::outcome::Rejection;

/// The key that holds a webhook secret inside a Secret.
pub const KEY: &str = "secret";
/// The key of its predecessor.
const PREVIOUS: &str = "secret.previous";
/// The key that says until when the predecessor verifies.
const PREVIOUS_UNTIL: &str = "secret.previous-until";
/// Longest time that a predecessor may verify.
const GRACE_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);

const BYTES: usize = 32;

/// A new secret, from the operating system's random numbers.
pub fn generate() -> Result<String, OsError> {
    let mut bytes = [0; BYTES];
    OsRng.try_fill_bytes(&mut bytes)?;
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    let hex: String = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect();
    Ok(format!("whsec_{hex}"))
}

/// The webhook secret that a Secret holds, if it holds one.
#[must_use]
pub fn read(secret: &Secret) -> Option<String> {
    text(secret, KEY)
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
    let text = String::from_utf8(bytes.clone()).ok()?;
    (!text.is_empty()).then_some(text)
}

/// A webhook secret as a Secret keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// The secret in force.
    pub current: String,
    /// The one before, and until when it verifies.
    pub previous: Option<(String, Timestamp)>,
    /// The request that was carried out last.
    pub request: Option<String>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("request", &self.request).finish_non_exhaustive()
    }
}

impl Kept {
    /// A secret without a past.
    #[must_use]
    pub fn new(current: impl Into<String>) -> Self {
        Self { current: current.into(), previous: None, request: None }
    }

    /// What a Secret keeps, if it keeps a secret.
    #[must_use]
    pub fn read(secret: &Secret) -> Option<Self> {
        // An end that cannot be read has passed, as the gateway sees it.
        let until = text(secret, PREVIOUS_UNTIL).and_then(|until| until.parse().ok());
        Some(Self {
            current: read(secret)?,
            previous: text(secret, PREVIOUS).zip(until),
            request: secret.annotations().get(labels::ROTATE_WEBHOOK_SECRET).cloned(),
        })
    }

    /// Writes it into a Secret.
    #[must_use]
    pub fn into_secret(self, mut secret: Secret) -> Secret {
        let mut data = BTreeMap::from([(KEY, self.current)]);
        if let Some((previous, until)) = self.previous {
            data.extend([(PREVIOUS, previous), (PREVIOUS_UNTIL, until.to_string())]);
        }
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())));
        secret.data = Some(data.collect());
        if let Some(request) = self.request {
            let annotations = secret.metadata.annotations.get_or_insert_default();
            annotations.insert(labels::ROTATE_WEBHOOK_SECRET.to_owned(), request);
        }
        secret
    }

    /// What a status tells about it.
    #[must_use]
    pub fn rotation(&self) -> Option<SecretRotation> {
        let previous_until = self.previous.as_ref().map(|(_, until)| Time(*until));
        Some(SecretRotation { request: self.request.clone()?, previous_until })
    }
}

/// A request for a new webhook secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Any value that is another than the last time.
    pub value: String,
    /// How long the old secret still verifies.
    pub grace: SignedDuration,
}

impl Request {
    /// The request that an object's annotations make.
    pub fn of(object: &impl ResourceExt, grace: SignedDuration) -> Result<Option<Self>, Rejection> {
        let annotations = object.annotations();
        let grace = match annotations.get(labels::ROTATION_GRACE) {
            Some(text) => parse_grace(text).map_err(|why| {
                Rejection::invalid(format!("metadata.annotations[{}]: {why}", labels::ROTATION_GRACE))
            })?,
            None => grace,
        };
        let value = annotations.get(labels::ROTATE_WEBHOOK_SECRET).filter(|value| !value.is_empty());
        Ok(value.map(|value| Self { value: value.clone(), grace }))
    }
}

/// How long a predecessor may verify; what is no such time is told in a sentence.
///
/// As Go's durations have it, 0 needs no unit.
pub fn parse_grace(text: &str) -> Result<SignedDuration, String> {
    let parsed = if text.trim() == "0" { Some(SignedDuration::ZERO) } else { text.trim().parse().ok() };
    parsed.filter(|grace: &SignedDuration| !grace.is_negative() && *grace <= GRACE_MAX).ok_or_else(|| {
        format!("'{text}' is no duration between 0 and 720h: write a number and its unit, such as 48h or 90m")
    })
}

/// What became of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is the one that was there, or the first.
    Same,
    /// It is a new one.
    Rotated,
}

/// The secret to keep from now on: made, rotated when that was asked for, and without a predecessor whose time is over.
pub fn turn(kept: Option<Kept>, request: Option<&Request>, now: Timestamp) -> Result<(Kept, Turn), OsError> {
    let asked = request.map(|request| request.value.clone());
    let Some(kept) = kept else {
        return Ok((Kept { request: asked, ..Kept::new(generate()?) }, Turn::Same));
    };
    match request.filter(|request| kept.request.as_ref() != Some(&request.value)) {
        None => {
            let previous = kept.previous.filter(|(_, until)| now < *until);
            Ok((Kept { previous, ..kept }, Turn::Same))
        }
        Some(request) => {
            let until = now.saturating_add(request.grace).unwrap_or(Timestamp::MAX);
            let until = Timestamp::from_second(until.as_second()).unwrap_or(until);
            let previous = (now < until).then_some((kept.current, until));
            Ok((Kept { current: generate()?, previous, request: asked }, Turn::Rotated))
        }
    }
}

#[cfg(test)]
mod tests;

//! Who sent a request: which webhook secrets of a listener's triggers its sender knows.

use aphex_api::delivery::SecretKeyRef;
use aphex_api::foreign::triggers::EventListener;
use bytes::Bytes;
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::secrets::{Candidate, SecretCache, SecretError};
use crate::select::{self, Offer};
use crate::signature::proofs::Proofs;
use crate::snapshot::Snapshot;

/// A sender that may speak to a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The secrets that it knows.
    pub signers: Vec<SecretKeyRef>,
    /// The namespace of the tenant that all of them are of.
    pub home: Option<String>,
}

/// Every secret by which a sender could speak to a listener's triggers.
pub fn candidates(offers: &[Offer], listener: &EventListener) -> Vec<Candidate> {
    let namespace = listener.namespace().unwrap_or_default();
    sorted(offers.iter().flat_map(|offer| offer.secrets(&namespace)).collect())
}

fn sorted(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort();
    candidates.dedup();
    candidates
}

/// Which of the listener's secrets the sender knows, if any.
pub async fn verify(
    listener: &EventListener,
    snapshot: &Snapshot,
    secrets: &SecretCache,
    proofs: &Proofs,
    body: &Bytes,
    now: Timestamp,
) -> Result<Option<Verified>, SecretError> {
    let namespace = listener.namespace().unwrap_or_default();
    let offers = select::offers(listener, snapshot);
    let wanted: Vec<_> = offers.iter().map(|offer| offer.secrets(&namespace)).collect();
    let shown = wanted.iter().flatten().filter(|(scheme, _)| proofs.has(*scheme));
    let candidates = sorted(shown.cloned().collect());
    if candidates.is_empty() {
        return Ok(None);
    }
    let mut signers = secrets.signers(&candidates, proofs, body, now).await?;
    signers.sort();
    signers.dedup();
    let of_signers = offers.iter().zip(&wanted);
    let of_signers =
        of_signers.filter(|(_, wanted)| wanted.iter().any(|(_, secret)| signers.contains(secret)));
    let home = select::home(of_signers.map(|(offer, _)| offer), listener);
    Ok((!signers.is_empty()).then_some(Verified { signers, home }))
}

//! What the controllers would make beside the engine: tunnels and public names at Cloudflare.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::change::Action;

/// One thing at Cloudflare that would not stay as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outside {
    /// The organization for which it is.
    pub organization: String,
    /// What it is.
    pub kind: OutsideKind,
    /// Its name.
    pub name: String,
    /// What would happen to it.
    pub action: Action,
}

/// A kind of thing at Cloudflare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum OutsideKind {
    /// `cfd_tunnel`.
    CloudflareTunnel,
    /// A proxied CNAME that leads to a tunnel.
    CloudflareRecord,
}

impl OutsideKind {
    /// The kind in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CloudflareTunnel => "Cloudflare tunnel",
            Self::CloudflareRecord => "Cloudflare DNS record",
        }
    }
}

/// What was noted so far; clones share it. Rounds of a plan repeat themselves, so each thing is noted once.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted(Arc<Mutex<BTreeSet<Outside>>>);

impl Noted {
    pub(super) fn note(&self, organization: &str, kind: OutsideKind, name: String, action: Action) {
        let outside = Outside { organization: organization.to_owned(), kind, name, action };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(outside);
    }

    pub(super) fn all(&self) -> Vec<Outside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

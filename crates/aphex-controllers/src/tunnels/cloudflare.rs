//! Cloudflare: a tunnel `webhooks-<organization>` and a proxied CNAME `<organization>.<domain>` that leads to it.
//!
//! ```text
//! pass 1   find the tunnel by name, or create it          the credentials go to the engine
//! pass 2   the engine holds the credentials               the CNAME is written
//! later    one look every ten minutes                      what somebody changed is repaired
//! ```
//!
//! What is Cloudflare's memory of us is the tunnel's name, and on the record a note with the organization's unique id. A look
//! reads the tunnel's secret as well: somebody may have changed it. While the connectors do not work it comes every minute.
//! Invariants: what cannot be shown to be ours is neither changed nor deleted; secrets are in no error and in no log; while
//! nothing changes, nothing is written, and nothing is read more often than every ten minutes.

mod api;
mod calls;
mod client;
mod error;
mod metrics;
mod place;
mod record;
mod token;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aphex_runtime::{Clock, errors};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rand::TryRngCore as _;
use rand::rngs::OsRng;

pub use api::{Account, Cname, DnsRecord, TokenStatus, TunnelState, Zone};
pub use calls::Call;
pub use client::{API, Client, Connection};
pub use error::{Error, Problem, Problems};
pub use place::{Place, Places};
pub use token::Token;

use super::{Claim, Connectors, Credentials, Exposure, Path, Record, Tunnel, TunnelError, Tunnels};
use crate::outcome::Waiting;
use crate::sensitive::Sensitive;

/// How long what was seen at Cloudflare is believed.
const BELIEVED: Duration = Duration::from_mins(10);
/// How long after a look that failed the next one is, where what was seen before goes on.
const AGAIN: Duration = Duration::from_mins(1);
/// How much later Cloudflare's clock may be than the engine's.
const SKEW: Duration = Duration::from_mins(2);
/// Bytes of a tunnel's secret (`tunnel_secret` has to have at least 32).
const SECRET_BYTES: usize = 32;

/// Tunnels of one account, names of one domain.
pub struct Cloudflare {
    client: Client,
    places: Places,
    clock: Clock,
    /// What was seen of each organization's tunnel, by the organization's unique id.
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Clone)]
struct Known {
    credentials: Credentials,
    record: bool,
    /// When to look again.
    look: Timestamp,
    /// The same where the connectors do not work.
    doubt: Timestamp,
}

impl Known {
    /// Whether what was seen is believed without another look.
    fn is_believed(&self, claim: &Claim<'_>, now: Timestamp) -> bool {
        now < if claim.connectors == Connectors::Unavailable { self.doubt } else { self.look }
    }
}

impl Cloudflare {
    /// Tunnels below a domain; the ids that are not given are looked up once.
    #[must_use]
    pub fn new(client: Client, places: Places, clock: Clock) -> Self {
        Self { client, places, clock, known: Mutex::default() }
    }

    fn known(&self, uid: &str) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    fn remember(&self, uid: &str, credentials: &Credentials, record: bool, for_: Duration) {
        let after = |wait: Duration| self.clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX);
        let (look, doubt) = (after(for_), after(for_.min(AGAIN)));
        let known = Known { credentials: credentials.clone(), record, look, doubt };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), known);
    }

    fn forget(&self, uid: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    fn exposure(&self, claim: &Claim<'_>, credentials: Credentials, record: Record, made: bool) -> Exposure {
        let host = claim.organization.host(self.places.domain());
        let webhook_url = format!("https://{host}");
        Exposure { webhook_url, path: Path::Tunnel(Tunnel { host, credentials, record, made }) }
    }

    /// Goes as far as it can with what the engine holds.
    async fn establish(&self, claim: &Claim<'_>, known: Option<&Known>) -> Result<Exposure, TunnelError> {
        let place = self.places.find(&self.client).await?;
        // A tunnel that was seen a moment ago, and whose credentials are kept by now, need not be looked for again.
        let just_made = known.filter(|k| !k.record && self.clock.now() < k.look);
        let credentials = match just_made {
            Some(known) if claim.stored == Some(&known.credentials) => known.credentials.clone(),
            _ => self.tunnel(claim, &place, known).await?,
        };
        let same = |known: &&Known| known.credentials == credentials;
        if claim.stored != Some(&credentials) && !known.filter(same).is_some_and(|known| known.record) {
            self.remember(claim.uid, &credentials, false, BELIEVED);
            let message = format!(
                "Waiting for Secret {}/{} to hold the tunnel's credentials",
                claim.organization.namespace(),
                claim.organization.tunnel_credentials()
            );
            // It is not on the engine yet, so it was made or found in this pass.
            return Ok(self.exposure(claim, credentials, Record::Pending(message), true));
        }
        let (domain, tunnel) = (self.places.domain(), &credentials.tunnel);
        let made = record::write(&self.client, claim, &place, domain, tunnel).await?;
        if let Some(waiting) = self.drop_former_name(claim).await? {
            let record = Record::Pending(waiting.to_string());
            return Ok(self.exposure(claim, credentials, record, made));
        }
        self.remember(claim.uid, &credentials, true, BELIEVED);
        Ok(self.exposure(claim, credentials, Record::Written, made))
    }

    /// The organization's tunnel: the one that is there, if it is ours or nobody's, else a new one.
    async fn tunnel(
        &self,
        claim: &Claim<'_>,
        place: &Place,
        known: Option<&Known>,
    ) -> Result<Credentials, TunnelError> {
        let name = claim.organization.tunnel();
        let found = match self.client.tunnel_named(&place.account, &name).await? {
            Some(found) => found,
            None => match self.create(place, &name).await {
                // It came into being after it was looked for: another controller of ours was faster, or somebody else.
                Err(error) if error.says(&[error::code::TUNNEL_EXISTS]) => {
                    self.client.tunnel_named(&place.account, &name).await?.ok_or(error)?
                }
                created => return Ok(created?),
            },
        };
        if known.is_none_or(|known| known.credentials.tunnel != found.id) {
            self.adopt(claim, place, &found).await?;
        }
        let token = self.client.tunnel_token(&place.account, &found.id).await?;
        let credentials = Credentials::from_token(token.reveal()).ok_or_else(|| Error::Unreadable {
            call: Call::GetTunnelToken,
            status: 200,
            place: "it is no tunnel token".to_owned(),
        })?;
        Ok(credentials)
    }

    /// Whether a tunnel that was found may be used: it was ours before, or nobody uses it.
    async fn adopt(&self, claim: &Claim<'_>, place: &Place, found: &TunnelState) -> Result<(), TunnelError> {
        if claim.stored.is_some_and(|stored| stored.tunnel == found.id) {
            return Ok(());
        }
        let taken = |why: &str| {
            Err(TunnelError::Taken(format!(
                "Cloudflare tunnel {} ({}) {why} and is not this Organization's: delete or rename it at Cloudflare, \
                 or choose another name for the Organization",
                found.name, found.id
            )))
        };
        if found.is_remote() {
            return taken("keeps its configuration at Cloudflare");
        }
        if found.is_connected() {
            let host = claim.organization.host(self.places.domain());
            let target = record::target(&found.id);
            let records = self.client.records(&place.zone, &host).await?;
            if !records.iter().any(|r| record::is_marked(r, claim.uid) && r.content == target) {
                return taken("has live connections");
            }
        }
        tracing::info!(organization.name = %claim.organization, tunnel.id = found.id, "adopts a tunnel that is there");
        Ok(())
    }

    /// Takes back the name that the organization had below another domain.
    async fn drop_former_name(&self, claim: &Claim<'_>) -> Result<Option<Waiting>, TunnelError> {
        let host = claim.organization.host(self.places.domain());
        match claim.host.filter(|former| !former.eq_ignore_ascii_case(&host)) {
            Some(former) => self.drop_name(claim, former).await,
            None => Ok(None),
        }
    }

    /// Deletes the organization's records of a host name, in whichever zone it is.
    async fn drop_name(&self, claim: &Claim<'_>, host: &str) -> Result<Option<Waiting>, TunnelError> {
        let domain = host.split_once('.').map(|(_, domain)| domain).unwrap_or_default();
        let place = if domain.eq_ignore_ascii_case(self.places.domain()) {
            self.places.find(&self.client).await
        } else {
            Places::new(domain, None, None).find(&self.client).await
        };
        let zone = match place {
            Ok(place) => place.zone,
            // A domain that was given up took its records along.
            Err(Error::NoZone { .. }) if domain != self.places.domain() => {
                tracing::warn!(organization.name = %claim.organization, host, "no zone has the former host name any more");
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let targets: Vec<String> = self.own_tunnels(claim).iter().map(|id| record::target(id)).collect();
        Ok(record::remove(&self.client, claim, &zone, host, &targets).await?)
    }

    /// The account of the organization's tunnel.
    async fn account(&self, claim: &Claim<'_>) -> Result<String, Error> {
        match claim.stored {
            Some(stored) => Ok(stored.account.clone()),
            None => Ok(self.places.find(&self.client).await?.account),
        }
    }

    async fn create(&self, place: &Place, name: &str) -> Result<Credentials, Error> {
        let mut bytes = [0; SECRET_BYTES];
        OsRng.try_fill_bytes(&mut bytes).map_err(Error::Random)?;
        let secret = Sensitive::new(STANDARD.encode(bytes));
        let created = self.client.create_tunnel(&place.account, name, &secret).await?;
        tracing::info!(tunnel.name = name, tunnel.id = created.id, "tunnel created");
        Ok(Credentials { account: place.account.clone(), tunnel: created.id, secret })
    }

    /// The ids of tunnels that are known to be the organization's.
    fn own_tunnels(&self, claim: &Claim<'_>) -> Vec<String> {
        let known = self.known(claim.uid).map(|known| known.credentials.tunnel);
        claim.stored.map(|stored| stored.tunnel.clone()).into_iter().chain(known).collect()
    }

    /// Whether a tunnel of the organization's name is the organization's: it is known to be, or was made after it and
    /// nobody uses it, as a pass that was cut off leaves it.
    fn is_own(&self, claim: &Claim<'_>, found: &TunnelState) -> bool {
        let later = match (found.created_at, claim.since) {
            (Some(created), Some(since)) => {
                created.saturating_add(SKEW).is_ok_and(|created| created >= since)
            }
            _ => false,
        };
        let left_behind = later && !found.is_connected() && !found.is_remote();
        self.own_tunnels(claim).contains(&found.id) || left_behind
    }
}

#[async_trait]
impl Tunnels for Cloudflare {
    async fn expose(&self, claim: Claim<'_>) -> Result<Exposure, TunnelError> {
        let known = self.known(claim.uid);
        let now = self.clock.now();
        if let Some(known) = known.as_ref().filter(|k| k.record && k.is_believed(&claim, now)) {
            return Ok(self.exposure(&claim, known.credentials.clone(), Record::Written, false));
        }
        let error = match self.establish(&claim, known.as_ref()).await {
            Err(TunnelError::Provider(error)) if error.is_passing() => error,
            done => return done,
        };
        // Webhooks arrive although Cloudflare's API does not answer: what was seen goes on, and is looked at again soon. What
        // was asked for may have been done all the same.
        match (known.filter(|known| known.record), claim.stored) {
            (Some(known), _) => {
                tracing::warn!(
                    organization.name = %claim.organization,
                    error = errors::chain(&*error),
                    "cannot look at the tunnel; goes on with what was seen before"
                );
                self.remember(claim.uid, &known.credentials, true, AGAIN);
                Ok(self.exposure(&claim, known.credentials, Record::Written, true))
            }
            (None, Some(stored)) => {
                let message = errors::chain(&*error);
                Ok(self.exposure(&claim, stored.clone(), Record::Pending(message), true))
            }
            (None, None) => Err(TunnelError::Provider(error)),
        }
    }

    async fn unpublish(&self, claim: Claim<'_>) -> Result<Option<Waiting>, TunnelError> {
        let host = claim.organization.host(self.places.domain());
        self.drop_name(&claim, claim.host.unwrap_or(&host)).await
    }

    async fn withdraw(&self, claim: Claim<'_>) -> Result<Option<Waiting>, TunnelError> {
        let account = self.account(&claim).await?;
        let name = claim.organization.tunnel();
        let found = self.client.tunnel_named(&account, &name).await?;
        let Some(found) = found.filter(|found| self.is_own(&claim, found)) else {
            self.forget(claim.uid);
            return Ok(None);
        };
        self.client.end_connections(&account, &found.id).await?;
        match self.client.delete_tunnel(&account, &found.id).await {
            Err(error) if error.says(&[error::code::TUNNEL_CONNECTED]) => {
                return Ok(Some(Waiting(format!("Waiting for the connections of tunnel {name} to end"))));
            }
            deleted => deleted?,
        }
        let left = self.client.tunnel_named(&account, &name).await?;
        if left.is_some_and(|left| left.id == found.id) {
            return Ok(Some(Waiting(format!("Waiting for tunnel {name} to be deleted"))));
        }
        tracing::info!(tunnel.name = name, tunnel.id = found.id, "tunnel deleted");
        self.forget(claim.uid);
        Ok(None)
    }

    async fn disown(&self, claim: Claim<'_>) -> Result<(), TunnelError> {
        self.unpublish(claim).await?;
        let account = self.account(&claim).await?;
        let name = claim.organization.tunnel();
        let found = self.client.tunnel_named(&account, &name).await?;
        if let Some(found) = found.filter(|found| self.is_own(&claim, found)) {
            match self.client.delete_tunnel(&account, &found.id).await {
                Err(error) if error.says(&[error::code::TUNNEL_CONNECTED]) => {}
                deleted => deleted?,
            }
            let (name, id) = (name.as_str(), found.id.as_str());
            tracing::info!(tunnel.name = name, tunnel.id = id, "tunnel of a deleted organization taken back");
        }
        self.forget(claim.uid);
        Ok(())
    }
}

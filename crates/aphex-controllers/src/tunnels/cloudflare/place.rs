//! The account and the zone in which everything is: configured, or looked up once.

use std::sync::{Mutex, PoisonError};

use super::client::Client;
use super::error::Error;

/// An account and a zone, by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The account of the tunnels.
    pub account: String,
    /// The zone of the records.
    pub zone: String,
}

/// A domain, and the place that it is in.
#[derive(Debug)]
pub struct Places {
    domain: String,
    account: Option<String>,
    zone: Option<String>,
    found: Mutex<Option<Place>>,
}

impl Places {
    /// A domain, with the ids that are known.
    #[must_use]
    pub fn new(domain: &str, account: Option<String>, zone: Option<String>) -> Self {
        Self { domain: domain.to_owned(), account, zone, found: Mutex::default() }
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The place; asks for it the first time.
    pub async fn find(&self, client: &Client) -> Result<Place, Error> {
        if let Some(found) = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(found);
        }
        let place = self.look_up(client).await?;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(place.clone());
        Ok(place)
    }

    async fn look_up(&self, client: &Client) -> Result<Place, Error> {
        if let (Some(account), Some(zone)) = (&self.account, &self.zone) {
            return Ok(Place { account: account.clone(), zone: zone.clone() });
        }
        let zone = match &self.zone {
            Some(id) => client.zone(id).await?,
            None => self.zone_of_domain(client).await?,
        };
        Ok(Place { account: self.account.clone().unwrap_or(zone.account.id), zone: zone.id })
    }

    /// The zone whose name the domain ends in; a domain may be below its zone.
    async fn zone_of_domain(&self, client: &Client) -> Result<super::Zone, Error> {
        for name in candidates(&self.domain) {
            let account = |zone: &super::Zone| self.account.as_ref().is_none_or(|id| *id == zone.account.id);
            if let Some(zone) = client.zones(name).await?.into_iter().find(account) {
                return Ok(zone);
            }
        }
        Err(Error::NoZone { domain: self.domain.clone() })
    }
}

/// The domain and those above it, top-level domains aside.
fn candidates(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, above)| above))
        .filter(|name| name.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_may_be_below_its_zone() {
        let names: Vec<&str> = candidates("hooks.dev.example.com").collect();
        assert_eq!(names, ["hooks.dev.example.com", "dev.example.com", "example.com"]);
    }
}

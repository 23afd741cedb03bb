//! The API's operations that the platform uses, and the fields of their answers that it reads.

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::calls::Call;
use super::client::{Ask, Client};
use super::error::Error;
use crate::sensitive::Sensitive;

/// What is known of the API token itself.
#[derive(Clone, Debug, Deserialize)]
pub struct TokenStatus {
    /// `active`, `disabled` or `expired`.
    pub status: String,
    /// When it ends, if ever.
    #[serde(default)]
    pub expires_on: Option<Timestamp>,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// Id.
    pub id: String,
    /// Name for people.
    #[serde(default)]
    pub name: String,
}

/// A DNS zone.
#[derive(Clone, Debug, Deserialize)]
pub struct Zone {
    /// Id.
    pub id: String,
    /// The domain.
    pub name: String,
    /// Whose it is.
    pub account: Account,
}

/// A tunnel.
#[derive(Clone, Debug, Deserialize)]
pub struct TunnelState {
    /// Id.
    pub id: String,
    /// Name, one of its kind in the account among those not deleted.
    pub name: String,
    /// When it was created.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// When it was deleted, if it was.
    #[serde(default)]
    pub deleted_at: Option<Timestamp>,
    /// `inactive`, `down`, `degraded` or `healthy`.
    #[serde(default)]
    pub status: Option<String>,
    /// Where its configuration is kept: `local` or `cloudflare`.
    #[serde(default)]
    pub config_src: Option<String>,
    /// The same as `config_src`, in older answers.
    #[serde(default)]
    pub remote_config: Option<bool>,
}

impl TunnelState {
    /// Whether a connector is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.status.as_deref(), Some("healthy" | "degraded"))
    }

    /// Whether its configuration is kept at Cloudflare, and what its connectors bring along counts for nothing.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.config_src.as_deref() == Some("cloudflare") || self.remote_config == Some(true)
    }

    /// Whether it is deleted; Go's zero time, the year 1, says that it is not.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deleted_at.is_some_and(|time| time > Timestamp::UNIX_EPOCH)
    }
}

/// A DNS record.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DnsRecord {
    /// Id.
    pub id: String,
    /// Type, such as CNAME.
    #[serde(rename = "type")]
    pub kind: String,
    /// The full host name.
    pub name: String,
    /// What it leads to.
    #[serde(default)]
    pub content: String,
    /// Whether Cloudflare stands in between.
    #[serde(default)]
    pub proxied: bool,
    /// A note.
    #[serde(default)]
    pub comment: Option<String>,
}

/// Something whose presence nobody reads.
type Ignored = Value;

impl Client {
    /// Whether the token is valid.
    pub async fn verify_token(&self) -> Result<TokenStatus, Error> {
        self.one(Ask::new(Call::VerifyToken, Method::GET, "/user/tokens/verify".to_owned())).await
    }

    /// Whether the token is valid, for tokens that belong to an account and not to a user.
    pub async fn verify_account_token(&self, account: &str) -> Result<TokenStatus, Error> {
        let path = format!("/accounts/{account}/tokens/verify");
        self.one(Ask::new(Call::VerifyAccountToken, Method::GET, path)).await
    }

    /// The accounts that the token sees.
    pub async fn accounts(&self) -> Result<Vec<Account>, Error> {
        self.all(Ask::new(Call::ListAccounts, Method::GET, "/accounts".to_owned())).await
    }

    /// The active zones of a name that the token sees.
    pub async fn zones(&self, name: &str) -> Result<Vec<Zone>, Error> {
        let ask = Ask::new(Call::ListZones, Method::GET, "/zones".to_owned());
        let found: Vec<Zone> = self.all(ask.with("name", name).with("status", "active")).await?;
        Ok(found.into_iter().filter(|zone| zone.name == name).collect())
    }

    /// A zone.
    pub async fn zone(&self, id: &str) -> Result<Zone, Error> {
        self.one(Ask::new(Call::GetZone, Method::GET, format!("/zones/{id}"))).await
    }

    /// The tunnel of a name, deleted ones aside.
    pub async fn tunnel_named(&self, account: &str, name: &str) -> Result<Option<TunnelState>, Error> {
        let ask = Ask::new(Call::ListTunnels, Method::GET, format!("/accounts/{account}/cfd_tunnel"));
        let found: Vec<TunnelState> = self.all(ask.with("name", name).with("is_deleted", "false")).await?;
        Ok(found.into_iter().find(|tunnel| tunnel.name == name && !tunnel.is_deleted()))
    }

    /// Whether a tunnel exists and is not deleted.
    pub async fn has_tunnel(&self, account: &str, id: &str) -> Result<bool, Error> {
        let ask = Ask::new(Call::GetTunnel, Method::GET, format!("/accounts/{account}/cfd_tunnel/{id}"));
        match self.one::<TunnelState>(ask).await {
            Ok(tunnel) => Ok(!tunnel.is_deleted()),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates a tunnel whose connectors bring their configuration along.
    pub async fn create_tunnel(
        &self,
        account: &str,
        name: &str,
        secret: &Sensitive,
    ) -> Result<TunnelState, Error> {
        let body = json!({ "name": name, "tunnel_secret": secret.reveal(), "config_src": "local" });
        let ask = Ask::new(Call::CreateTunnel, Method::POST, format!("/accounts/{account}/cfd_tunnel"));
        self.one(ask.body(body)).await
    }

    /// The token from which a tunnel's credentials can be read.
    pub async fn tunnel_token(&self, account: &str, id: &str) -> Result<Sensitive, Error> {
        let path = format!("/accounts/{account}/cfd_tunnel/{id}/token");
        let token: String = self.one(Ask::new(Call::GetTunnelToken, Method::GET, path)).await?;
        Ok(Sensitive::new(token))
    }

    /// Ends what is left of a tunnel's connections.
    pub async fn end_connections(&self, account: &str, id: &str) -> Result<(), Error> {
        let path = format!("/accounts/{account}/cfd_tunnel/{id}/connections");
        gone(self.one::<Ignored>(Ask::new(Call::EndConnections, Method::DELETE, path)).await)
    }

    /// Deletes a tunnel.
    pub async fn delete_tunnel(&self, account: &str, id: &str) -> Result<(), Error> {
        let path = format!("/accounts/{account}/cfd_tunnel/{id}");
        gone(self.one::<Ignored>(Ask::new(Call::DeleteTunnel, Method::DELETE, path)).await)
    }

    /// The records of a host name that say where it leads.
    pub async fn records(&self, zone: &str, host: &str) -> Result<Vec<DnsRecord>, Error> {
        let ask = Ask::new(Call::ListRecords, Method::GET, format!("/zones/{zone}/dns_records"));
        let found: Vec<DnsRecord> = self.all(ask.with("name.exact", host)).await?;
        let leads = |record: &DnsRecord| matches!(record.kind.as_str(), "A" | "AAAA" | "CNAME" | "NS");
        Ok(found
            .into_iter()
            .filter(|record| record.name.eq_ignore_ascii_case(host) && leads(record))
            .collect())
    }

    /// Creates a proxied CNAME record.
    pub async fn create_record(&self, zone: &str, record: &Cname<'_>) -> Result<(), Error> {
        let ask = Ask::new(Call::CreateRecord, Method::POST, format!("/zones/{zone}/dns_records"));
        self.one::<Ignored>(ask.body(record.body())).await.map(drop)
    }

    /// Makes a record a proxied CNAME.
    pub async fn update_record(&self, zone: &str, id: &str, record: &Cname<'_>) -> Result<(), Error> {
        let ask = Ask::new(Call::UpdateRecord, Method::PATCH, format!("/zones/{zone}/dns_records/{id}"));
        self.one::<Ignored>(ask.body(record.body())).await.map(drop)
    }

    /// Deletes a record.
    pub async fn delete_record(&self, zone: &str, id: &str) -> Result<(), Error> {
        let path = format!("/zones/{zone}/dns_records/{id}");
        gone(self.one::<Ignored>(Ask::new(Call::DeleteRecord, Method::DELETE, path)).await)
    }
}

/// A proxied CNAME record to be written.
#[derive(Clone, Copy, Debug)]
pub struct Cname<'a> {
    /// The full host name.
    pub host: &'a str,
    /// What it leads to.
    pub target: &'a str,
    /// The note on it.
    pub comment: &'a str,
}

impl Cname<'_> {
    fn body(&self) -> Value {
        // 1 is Cloudflare's word for automatic, the only time to live that proxied records have.
        json!({
            "type": "CNAME",
            "name": self.host,
            "content": self.target,
            "proxied": true,
            "ttl": 1,
            "comment": self.comment,
        })
    }
}

/// What is not there needs no deletion.
fn gone(result: Result<Ignored, Error>) -> Result<(), Error> {
    match result {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(fields: &Value) -> TunnelState {
        let mut object =
            json!({ "id": "1", "name": "webhooks-acme", "created_at": "2025-02-18T22:41:43.534395Z" });
        for (name, value) in fields.as_object().unwrap() {
            object[name] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_tunnel_is_deleted_remote_or_connected_when_one_of_the_ways_to_say_so_does() {
        let plain = tunnel(&json!({ "deleted_at": null, "status": "inactive", "remote_config": false }));
        assert!(!plain.is_deleted() && !plain.is_remote() && !plain.is_connected());
        assert!(!tunnel(&json!({ "deleted_at": "0001-01-01T00:00:00Z" })).is_deleted());
        assert!(tunnel(&json!({ "deleted_at": "2025-03-01T00:00:00Z" })).is_deleted());
        assert!(tunnel(&json!({ "remote_config": true })).is_remote());
        assert!(tunnel(&json!({ "config_src": "cloudflare" })).is_remote());
        assert!(tunnel(&json!({ "status": "degraded" })).is_connected());
        assert!(!tunnel(&json!({ "status": "down" })).is_connected());
    }
}

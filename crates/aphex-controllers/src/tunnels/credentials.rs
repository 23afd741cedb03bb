//! What a tunnel's connectors prove themselves with, as cloudflared's credentials file and as Cloudflare's token.

use aphex_api::names::OrgName;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use serde::{Deserialize, Serialize};

use crate::apply::Inventory;
use crate::sensitive::Sensitive;

/// The key that holds the credentials file inside the Secret.
pub const CREDENTIALS_KEY: &str = "credentials.json";

/// A tunnel's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The account that the tunnel belongs to.
    pub account: String,
    /// The tunnel's id.
    pub tunnel: String,
    /// The secret, in base64.
    pub secret: Sensitive,
}

/// The file that `cloudflared tunnel create` writes (connection/connection.go in cloudflare/cloudflared).
#[derive(Serialize, Deserialize)]
struct File {
    #[serde(rename = "AccountTag")]
    account: String,
    #[serde(rename = "TunnelSecret")]
    secret: String,
    #[serde(rename = "TunnelID")]
    tunnel: String,
}

/// The token that Cloudflare gives for a tunnel, in base64 (connection.TunnelToken in cloudflare/cloudflared).
#[derive(Deserialize)]
struct Token {
    #[serde(rename = "a")]
    account: String,
    #[serde(rename = "s")]
    secret: String,
    #[serde(rename = "t")]
    tunnel: String,
}

impl Credentials {
    /// The credentials as the file that cloudflared reads.
    #[must_use]
    pub fn file(&self) -> String {
        let file = File {
            account: self.account.clone(),
            secret: self.secret.reveal().to_owned(),
            tunnel: self.tunnel.clone(),
        };
        // Three texts are JSON whatever they are.
        serde_json::to_string(&file).unwrap_or_default()
    }

    /// What a credentials file says; nothing when it is none.
    #[must_use]
    pub fn from_file(bytes: &[u8]) -> Option<Self> {
        let File { account, secret, tunnel } = serde_json::from_slice(bytes).ok()?;
        Some(Self { account, tunnel, secret: Sensitive::new(secret) })
    }

    /// What a tunnel's token says; nothing when it is none.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        let bytes = STANDARD.decode(token.trim()).ok()?;
        let Token { account, secret, tunnel } = serde_json::from_slice(&bytes).ok()?;
        Some(Self { account, tunnel, secret: Sensitive::new(secret) })
    }

    /// What a Secret holds; nothing when it holds no credentials.
    #[must_use]
    pub fn from_secret(secret: &Secret) -> Option<Self> {
        Self::from_file(&secret.data.as_ref()?.get(CREDENTIALS_KEY)?.0)
    }
}

/// The credentials of an organization's tunnel that the engine holds.
#[must_use]
pub fn stored(inventory: &Inventory, organization: &OrgName) -> Option<Credentials> {
    let namespace = organization.namespace();
    let secret = inventory.typed::<Secret>(Some(&namespace), &organization.tunnel_credentials())?;
    Credentials::from_secret(&secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_and_token_say_the_same() {
        let token = STANDARD.encode(r#"{"a":"account","t":"tunnel","s":"c2VjcmV0"}"#);
        let credentials = Credentials::from_token(&token).unwrap();
        assert_eq!(
            credentials.file(),
            r#"{"AccountTag":"account","TunnelSecret":"c2VjcmV0","TunnelID":"tunnel"}"#
        );
        assert_eq!(Credentials::from_file(credentials.file().as_bytes()), Some(credentials.clone()));
        assert!(!format!("{credentials:?}").contains("c2VjcmV0"));
    }

    #[test]
    fn what_is_no_credentials_is_none() {
        assert_eq!(Credentials::from_file(b"{}"), None);
        assert_eq!(Credentials::from_token("not base64!"), None);
        assert_eq!(Credentials::from_secret(&Secret::default()), None);
    }
}

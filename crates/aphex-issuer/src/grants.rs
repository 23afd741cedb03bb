//! What a login gave to a client: all of its tokens stand and fall with the grant's record.
//!
//! A refresh token is `<grant>.<generation>.<MAC>` under the grant's own key. Any generation can be told from a forgery, so
//! that an old one that comes back is known to be stolen or copied (RFC 9700 section 4.14.2).

use std::fmt;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::directory::User;
use crate::issuer::Issuer;
use crate::oauth::{Error, Scopes};
use crate::storage::{Expires, Record, Stored};

/// A grant.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) client_id: String,
    /// The issuer that its tokens name.
    pub(crate) issuer: String,
    pub(crate) uid: String,
    /// The person's session epoch when it was given.
    pub(crate) epoch: u64,
    pub(crate) scopes: Scopes,
    /// When the person last typed a password for it.
    pub(crate) authenticated: Timestamp,
    pub(crate) expires: Timestamp,
    /// Only with `offline_access`.
    pub(crate) refresh: Option<Refresh>,
}

/// The state of a grant's refresh tokens.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Refresh {
    key: String,
    /// Number of the newest token.
    pub(crate) generation: u32,
    /// When it was given out.
    pub(crate) rotated: Timestamp,
}

impl Record for Grant {
    const KIND: &'static str = "grant";
}

impl Expires for Grant {
    fn expires(&self) -> Timestamp {
        self.expires
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("client_id", &self.client_id)
            .field("uid", &self.uid)
            .finish_non_exhaustive()
    }
}

impl Refresh {
    /// The first generation, under a new key.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { key: crate::secrets::random().expose_secret().to_owned(), generation: 0, rotated: now }
    }

    /// The newest token of the grant.
    pub(crate) fn token(&self, grant: &str) -> SecretString {
        let body = format!("{grant}.{}", self.generation);
        let mac = URL_SAFE_NO_PAD.encode(sign(&self.mac_key(), body.as_bytes()));
        SecretString::from(format!("{body}.{mac}"))
    }

    fn made(&self, body: &str, mac: &[u8]) -> bool {
        verify(&self.mac_key(), body.as_bytes(), mac).is_ok()
    }

    fn mac_key(&self) -> Key {
        Key::new(HMAC_SHA256, self.key.as_bytes())
    }
}

/// A refresh token that was really given out, of whichever generation.
pub(crate) struct Presented {
    pub(crate) grant: Stored<Grant>,
    pub(crate) generation: u32,
}

impl Issuer {
    /// The grant of a refresh token, if the token was given out by this issuer and the grant still stands.
    pub(crate) fn presented(&self, token: &str) -> Result<Option<Presented>, Error> {
        let Some((body, mac)) = token.rsplit_once('.') else { return Ok(None) };
        let Some((id, generation)) = body.split_once('.') else { return Ok(None) };
        let (Ok(generation), Ok(mac)) = (generation.parse(), URL_SAFE_NO_PAD.decode(mac)) else {
            return Ok(None);
        };
        let Some(grant) = self.grant(id)? else { return Ok(None) };
        let made = grant.value.refresh.as_ref().is_some_and(|refresh| refresh.made(body, &mac));
        Ok(made.then_some(Presented { grant, generation }))
    }

    /// A grant that still stands.
    pub(crate) fn grant(&self, id: &str) -> Result<Option<Stored<Grant>>, Error> {
        let grant = self.storage.get::<Grant>(id).map_err(Error::failed("read a grant"))?;
        Ok(grant.filter(|grant| grant.value.expires > self.clock.now()))
    }

    /// The person who gave a grant, unless disabled or with another password since.
    pub(crate) fn giver(&self, grant: &Grant) -> Result<Option<User>, Error> {
        self.valid_user(&grant.uid, grant.epoch)
    }

    /// Takes a grant back with all its tokens.
    pub(crate) async fn revoke(&self, id: &str) -> Result<(), Error> {
        self.storage.delete::<Grant>(id).await.map_err(Error::failed("revoke a grant"))?;
        Ok(())
    }
}

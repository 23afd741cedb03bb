//! Logins in a browser: a random cookie whose digest names the record, bound to the person's session epoch.

use std::net::IpAddr;
use std::time::Duration;

use http::header;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use crate::directory::User;
use crate::issuer::Issuer;
use crate::oauth::Error;
use crate::secrets;
use crate::storage::{Expires, Record};
use crate::web::Request;

/// As much of what a browser calls itself as is kept.
const MOST_AGENT: usize = 300;

/// A login that a browser holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) uid: String,
    /// The person's epoch at login; it moves when the password changes or the person is disabled.
    pub(crate) epoch: u64,
    pub(crate) authenticated: Timestamp,
    pub(crate) expires: Timestamp,
    /// From where the login came, and what the browser calls itself: people recognise theirs by it.
    #[serde(default)]
    pub(crate) source: Option<IpAddr>,
    #[serde(default)]
    pub(crate) agent: Option<String>,
}

impl Record for Session {
    const KIND: &'static str = "session";
}

impl Expires for Session {
    fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// A person who has proved who they are.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) user: User,
    pub(crate) authenticated: Timestamp,
}

impl Issuer {
    /// Who is logged in in the browser that sent the request.
    pub(crate) fn login_of(&self, request: &Request) -> Result<Option<Login>, Error> {
        let Some(cookie) = request.cookie(&cookie_name(self, "session")) else { return Ok(None) };
        let session = self.storage.get::<Session>(&secrets::fingerprint(cookie));
        let Some(session) = session.map_err(Error::failed("read a session"))? else { return Ok(None) };
        let session = session.value;
        if session.expires <= self.clock.now() {
            return Ok(None);
        }
        let user = self.valid_user(&session.uid, session.epoch)?;
        Ok(user.map(|user| Login { user, authenticated: session.authenticated }))
    }

    /// The person, if active and of the same epoch still.
    pub(crate) fn valid_user(&self, uid: &str, epoch: u64) -> Result<Option<User>, Error> {
        let user = self.directory.by_uid(uid).map_err(Error::failed("look a person up"))?;
        Ok(user.filter(|user| user.active && user.session_epoch == epoch))
    }

    /// Starts a session in place of the one that the browser had; gives the cookie to set.
    pub(crate) async fn begin_session(
        &self,
        user: User,
        request: &Request,
    ) -> Result<(Login, String), Error> {
        self.continue_session(user, self.clock.now(), request).await
    }

    /// The same for somebody who has logged in before, at that time.
    pub(crate) async fn continue_session(
        &self,
        user: User,
        authenticated: Timestamp,
        request: &Request,
    ) -> Result<(Login, String), Error> {
        let expires = authenticated.saturating_add(self.settings.lifetimes.session).unwrap_or(Timestamp::MAX);
        let agent = request.header(&header::USER_AGENT);
        let session = Session {
            uid: user.uid.clone(),
            epoch: user.session_epoch,
            authenticated,
            expires,
            source: Some(request.source),
            agent: agent.map(|agent| agent.chars().take(MOST_AGENT).collect()),
        };
        let secret = secrets::random();
        let name = cookie_name(self, "session");
        let keep = Error::failed("keep a session");
        let mut transaction = self.storage.transaction();
        if let Some(old) = request.cookie(&name) {
            transaction.delete::<Session>(&secrets::fingerprint(old));
        }
        let created = transaction.create(&secrets::fingerprint(secret.expose_secret()), &session);
        created.map_err(Error::failed("keep a session"))?;
        transaction.commit().await.map_err(keep)?;
        let cookie = cookie(self, &name, secret.expose_secret(), Some(self.settings.lifetimes.session));
        Ok((Login { user, authenticated }, cookie))
    }

    /// The id of the browser's session, whether there is one or not.
    pub(crate) fn session_id(&self, request: &Request) -> Option<String> {
        request.cookie(&cookie_name(self, "session")).map(secrets::fingerprint)
    }

    /// Ends the browser's session; gives the cookie that makes it forget.
    pub(crate) async fn end_session(&self, request: &Request) -> Result<String, Error> {
        let name = cookie_name(self, "session");
        if let Some(secret) = request.cookie(&name) {
            let deleted = self.storage.delete::<Session>(&secrets::fingerprint(secret)).await;
            deleted.map_err(Error::failed("end a session"))?;
        }
        Ok(cookie(self, &name, "", Some(Duration::ZERO)))
    }
}

/// A cookie's name. Over TLS the prefix binds it to the host (RFC 6265bis section 4.1.3.2); without, cookies of all ports
/// of a host lie together, so the port is in the name.
pub(crate) fn cookie_name(issuer: &Issuer, what: &str) -> String {
    if issuer.settings.url.is_secure() {
        format!("__Host-aphex-{what}")
    } else {
        format!("aphex-{what}-{}", issuer.settings.url.port())
    }
}

/// A cookie that no script and no request from another site's form gets hold of.
pub(crate) fn cookie(issuer: &Issuer, name: &str, value: &str, lifetime: Option<Duration>) -> String {
    let secure = if issuer.settings.url.is_secure() { "; Secure" } else { "" };
    let age = lifetime.map(|lifetime| format!("; Max-Age={}", lifetime.as_secs())).unwrap_or_default();
    // Lax, not Strict: relying parties send browsers here, and who is logged in should not log in again.
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}{secure}")
}

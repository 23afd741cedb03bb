//! Relying parties: who they are, where they may be answered, how they prove themselves.
//!
//! Clients are configuration. Redirect URIs are compared as a whole; only a loopback URI of a public client may have any
//! port, because programs on people's machines take the one that is free (RFC 8252 section 7.3).

mod file;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

pub use self::file::ClientsError;
use crate::oauth::{Error, Parameters};
use crate::settings::is_loopback;
use crate::web::Request;

/// A relying party.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its id; the audience of its ID tokens.
    pub id: String,
    /// What people read.
    pub name: String,
    /// Where codes may be sent.
    pub redirect_uris: Vec<String>,
    /// Where browsers may be sent after a logout (OpenID Connect RP-Initiated Logout section 3.1).
    pub post_logout_redirect_uris: Vec<String>,
    /// Clients that may ask for ID tokens which are for this one too, as Dex's `trustedPeers`.
    pub trusted_peers: Vec<String>,
    /// What proves it; a public client, which runs where its users can look into it, has none.
    pub secret: Option<SecretString>,
    /// The issuer that its tokens name.
    pub issuer: String,
}

impl Client {
    /// Whether it has no secret, and PKCE is all that protects its codes.
    pub fn is_public(&self) -> bool {
        self.secret.is_none()
    }

    /// Whether codes may be sent to this URI.
    pub(crate) fn allows_redirect(&self, uri: &str) -> bool {
        if uri.contains('#') {
            return false;
        }
        self.redirect_uris
            .iter()
            .any(|known| known == uri || (self.is_public() && same_but_for_port(known, uri)))
    }
}

/// Whether both are http on the same loopback host and differ in nothing but their ports.
///
/// Texts are compared: a parser of URLs forgives too much, such as `http:/127.0.0.1/callback`.
fn same_but_for_port(known: &str, given: &str) -> bool {
    let Ok(url) = Url::parse(known) else { return false };
    let parts = without_port(known);
    is_loopback(&url) && parts.is_some() && parts == without_port(given)
}

/// Host, and what follows the port, of a URL that begins with `http://`.
fn without_port(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix("http://")?;
    let (authority, rest) = text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()));
    // The colons of IPv6 addresses are within brackets.
    let host_end = authority.find(']').map_or(0, |at| at + 1);
    let (host, port) =
        authority.split_at(authority[host_end..].find(':').map_or(authority.len(), |at| host_end + at));
    let is_port = port.is_empty()
        || (port.bytes().skip(1).all(|byte| byte.is_ascii_digit()) && port[1..].parse::<u16>().is_ok());
    is_port.then_some((host, rest))
}

/// The clients of one face, by id.
#[derive(Clone, Debug, Default)]
pub struct Clients(BTreeMap<String, Arc<Client>>);

impl Clients {
    /// A set of clients; of two with the same id the later one counts.
    pub fn new(clients: impl IntoIterator<Item = Client>) -> Self {
        Self(clients.into_iter().map(|client| (client.id.clone(), Arc::new(client))).collect())
    }

    /// A client by its id.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Client>> {
        self.0.get(id).cloned()
    }
}

/// What a client presents of itself at the token endpoint and its like.
pub(crate) struct Credentials {
    pub(crate) id: String,
    pub(crate) secret: Option<SecretString>,
}

impl Credentials {
    /// Reads them from the header or the form; a client that uses both is refused (RFC 6749 section 2.3).
    pub(crate) fn read(request: &Request, form: &Parameters) -> Result<Self, Error> {
        let (id, secret) = (form.get("client_id"), form.get("client_secret"));
        if !request.headers.contains_key(header::AUTHORIZATION) {
            let id = id.ok_or_else(Error::invalid_client)?;
            return Ok(Self { id: id.to_owned(), secret: secret.map(SecretString::from) });
        }
        let basic =
            request.header(&header::AUTHORIZATION).and_then(basic).ok_or_else(Error::invalid_client)?;
        if secret.is_some() || id.is_some_and(|id| id != basic.id) {
            return Err(Error::invalid_client());
        }
        Ok(basic)
    }

    /// Whether they prove the client.
    pub(crate) fn prove(&self, client: &Client) -> bool {
        match (&client.secret, &self.secret) {
            (Some(known), Some(given)) => same(known.expose_secret(), given.expose_secret()),
            // Some libraries send an empty secret, which is none, for a public client.
            (None, None) => true,
            _ => false,
        }
    }
}

/// Compares digests, so that the time tells neither length nor beginning of the secret.
fn same(known: &str, given: &str) -> bool {
    use aws_lc_rs::constant_time::verify_slices_are_equal;
    use aws_lc_rs::digest::{SHA256, digest};
    let (known, given) = (digest(&SHA256, known.as_bytes()), digest(&SHA256, given.as_bytes()));
    verify_slices_are_equal(known.as_ref(), given.as_ref()).is_ok()
}

/// Id and secret of `Basic`, each form-encoded before (RFC 6749 section 2.3.1).
fn basic(header: &str) -> Option<Credentials> {
    let (scheme, rest) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let secret = unescape(secret);
    Some(Credentials { id: unescape(id), secret: (!secret.is_empty()).then(|| SecretString::from(secret)) })
}

fn unescape(text: &str) -> String {
    // As a name without a value, so that `=` keeps its meaning; `&` cannot come unescaped.
    let pair = format!("={}", text.replace('&', "%26"));
    form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;

//! What an issuer is started with.

use std::time::Duration;

use aphex_runtime::proxies::Proxy;
use url::{Host, Url};

use crate::connector::Upstream;
use crate::keys::Algorithm;

/// The issuer's identifier: the URL under which relying parties know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerUrl {
    text: String,
    url: Url,
}

/// Why a URL cannot be an issuer's.
#[derive(Debug, thiserror::Error)]
#[error("{url:?} cannot be the issuer's URL: {problem}")]
pub struct IssuerUrlError {
    url: String,
    problem: &'static str,
}

impl IssuerUrl {
    /// Reads it; it has no query and no fragment (OpenID Connect Discovery section 3), and is https unless loopback.
    pub fn parse(text: &str) -> Result<Self, IssuerUrlError> {
        let wrong = |problem| IssuerUrlError { url: text.to_owned(), problem };
        let url = Url::parse(text).map_err(|_| wrong("it is no URL"))?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => return Err(wrong("only loopback addresses may go without TLS; use https")),
            _ => return Err(wrong("it must begin with https://")),
        }
        if url.host().is_none() || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it must have a host and no user"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it must have neither query nor fragment"));
        }
        Ok(Self { text: text.trim_end_matches('/').to_owned(), url })
    }

    /// As it stands in tokens: without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether browsers reach it over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The path before all of the issuer's own paths; empty mostly.
    pub(crate) fn base_path(&self) -> &str {
        self.url.path().trim_end_matches('/')
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The port that browsers connect to.
    pub(crate) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// A URL below it.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }
}

/// Whether a URL's host is this machine's own (RFC 8252 section 7.3, and the name as browsers resolve it).
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// How long things are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// ID tokens and access tokens.
    pub token: Duration,
    /// A refresh token that nobody uses.
    pub refresh: Duration,
    /// A login in a browser.
    pub session: Duration,
    /// A key as the one that signs.
    pub key: Duration,
}

impl Lifetimes {
    /// An authorization code, from the redirect to its use; a person may have to carry it to another machine.
    pub(crate) const CODE: Duration = Duration::from_mins(5);
    /// How long a used code is remembered, so that using it again is noticed.
    pub(crate) const USED_CODE: Duration = Duration::from_mins(30);
    /// A device's code, until somebody has typed it in.
    pub(crate) const DEVICE: Duration = Duration::from_mins(10);
    /// How long the last refresh token but one is answered with the last: an answer was lost on its way (as Dex).
    pub(crate) const REUSE: Duration = Duration::from_secs(3);
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            token: Duration::from_hours(24),
            refresh: Duration::from_hours(90 * 24),
            session: Duration::from_hours(12),
            key: Duration::from_hours(7 * 24),
        }
    }
}

/// What an issuer is started with; clients and users are kept elsewhere.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who signs.
    pub url: IssuerUrl,
    /// How.
    pub algorithm: Algorithm,
    /// For how long.
    pub lifetimes: Lifetimes,
    /// Where people log in, when it is not here.
    pub upstream: Option<Upstream>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Proxy>,
}

impl Settings {
    /// The usual settings for an issuer.
    pub fn new(url: IssuerUrl) -> Self {
        Self {
            url,
            algorithm: Algorithm::default(),
            lifetimes: Lifetimes::default(),
            upstream: None,
            trusted_proxies: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_without_tls_is_on_this_machine() {
        for good in
            ["http://127.0.0.1:5556", "http://localhost:1", "http://[::1]:2", "https://dex.home.local/dex"]
        {
            assert_eq!(IssuerUrl::parse(good).unwrap().as_str(), good);
        }
        for wrong in [
            "http://dex.home.local",
            "ftp://x",
            "dex.home.local",
            "https://x/?a",
            "https://x/#a",
            "https://u@x",
        ] {
            assert!(IssuerUrl::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_slash_at_the_end_is_not_part_of_the_name() {
        let url = IssuerUrl::parse("https://dex.home.local/dex/").unwrap();
        assert_eq!((url.as_str(), url.base_path()), ("https://dex.home.local/dex", "/dex"));
        assert_eq!(url.join("/keys"), "https://dex.home.local/dex/keys");
        assert_eq!(IssuerUrl::parse("https://dex.home.local").unwrap().base_path(), "");
    }
}

//! One trusted issuer: whether a token of its own is good, and who it stands for.

use std::fmt;

use jiff::Timestamp;

use super::configuration::{IssuerSettings, Jwt};
use super::keys::KeySet;
use super::mapping::Mapping;
use super::token::Token;
use crate::quote::quoted_list;
use crate::user::User;

/// How far ahead of ours an issuer's clock may be (the leeway for `nbf` of go-oidc in Kubernetes); for `exp` there is none.
const LEEWAY: i64 = 60;

/// Why a token is not accepted; the wording is upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No key known signed it: the issuer may have new ones.
    #[error("oidc: verify token: failed to verify signature: failed to verify id token signature")]
    UnknownKey,
    /// It is not signed in a way that is taken.
    #[error("oidc: verify token: oidc: malformed jwt: unexpected signature algorithm")]
    Algorithm,
    /// Its time is over.
    #[error("oidc: verify token: oidc: token is expired (Token Expiry: {0})")]
    Expired(i64),
    /// Its time has not come.
    #[error("oidc: verify token: oidc: current time before the nbf (not before) time: {0}")]
    NotYet(i64),
    /// It is meant for others.
    #[error("oidc: verify token: oidc: expected audience in {} got {}", quoted_list(.wanted), quoted_list(.held))]
    Audience {
        /// The audiences of the configuration.
        wanted: Vec<String>,
        /// The token's audiences.
        held: Vec<String>,
    },
    /// Its claims make no user.
    #[error("{0}")]
    Claims(String),
}

/// A trusted issuer with its rules.
#[derive(Debug)]
pub struct Issuer {
    /// Who issues, and for whom.
    pub settings: IssuerSettings,
    mapping: Mapping,
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.settings.url)
    }
}

impl Issuer {
    pub(super) fn compile(jwt: Jwt) -> Result<Self, Vec<String>> {
        Ok(Self { mapping: Mapping::compile(&jwt)?, settings: jwt.issuer })
    }

    /// Where its discovery document is.
    pub fn discovery_url(&self) -> String {
        if self.settings.discovery_url.is_empty() {
            format!("{}/.well-known/openid-configuration", self.settings.url.trim_end_matches('/'))
        } else {
            self.settings.discovery_url.clone()
        }
    }

    /// Accepts a token of this issuer, and gives the user without `system:authenticated`.
    pub fn accept(&self, token: &Token<'_>, keys: &KeySet, now: Timestamp) -> Result<User, Refused> {
        // Before the signature: what cannot be accepted anyway must not make anybody ask for new keys.
        self.check(token, now)?;
        if !keys.signed(token) {
            return Err(Refused::UnknownKey);
        }
        self.mapping.user(&token.claims).map_err(Refused::Claims)
    }

    fn check(&self, token: &Token<'_>, now: Timestamp) -> Result<(), Refused> {
        if token.algorithm.is_none() {
            return Err(Refused::Algorithm);
        }
        let now = now.as_second();
        let expires = token.time("exp").unwrap_or_default();
        if expires < now {
            return Err(Refused::Expired(expires));
        }
        if let Some(from) = token.time("nbf").filter(|from| now.saturating_add(LEEWAY) < *from) {
            return Err(Refused::NotYet(from));
        }
        let (wanted, held) = (&self.settings.audiences, token.audiences());
        if !held.iter().any(|audience| wanted.contains(audience)) {
            return Err(Refused::Audience { wanted: wanted.clone(), held });
        }
        Ok(())
    }
}

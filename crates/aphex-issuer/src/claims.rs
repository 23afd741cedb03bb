//! What tokens say of whom: by scope, always from the directory as it is now.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize, Serializer};

use crate::directory::User;
use crate::oauth::{Scope, Scopes};

/// The type of access tokens (RFC 9068 section 2.1): none of them passes for an ID token.
pub(crate) const ACCESS_TOKEN: &str = "at+jwt";
/// The type of ID tokens.
pub(crate) const ID_TOKEN: &str = "JWT";

/// What a client may learn of a person (OpenID Connect Core section 5.1, and `groups` as Dex has it).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Person {
    pub(crate) sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) preferred_username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) groups: Option<Vec<String>>,
}

impl Person {
    /// What the scopes allow to say of a user.
    pub(crate) fn new(user: &User, scopes: &Scopes) -> Self {
        let profile = scopes.has(Scope::Profile);
        let email = scopes.has(Scope::Email);
        Self {
            sub: user.uid.clone(),
            name: profile.then(|| user.name.clone()),
            preferred_username: profile.then(|| user.username.clone()),
            email: email.then(|| user.email.clone()),
            email_verified: email.then_some(user.email_verified),
            groups: scopes.has(Scope::Groups).then(|| user.groups.clone()),
        }
    }
}

/// An ID token (OpenID Connect Core section 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct IdToken {
    pub(crate) iss: String,
    #[serde(serialize_with = "one_or_many")]
    pub(crate) aud: Vec<String>,
    /// Who asked, where it is not for the asking client alone (OpenID Connect Core section 2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) azp: Option<String>,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) auth_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
    pub(crate) at_hash: String,
    #[serde(flatten)]
    pub(crate) person: Person,
}

/// An access token (RFC 9068): good for this issuer's own endpoints and for nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccessToken {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) sub: String,
    pub(crate) client_id: String,
    pub(crate) scope: String,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) jti: String,
    /// The grant it stands on: with it, it goes.
    pub(crate) grant: String,
}

/// A single audience is a text, as most clients expect it.
fn one_or_many<S: Serializer>(audiences: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match audiences {
        [one] => serializer.serialize_str(one),
        many => serializer.collect_seq(many),
    }
}

/// The left half of the token's hash (OpenID Connect Core section 3.1.3.6); SHA-256 for both algorithms.
pub(crate) fn at_hash(access_token: &str) -> String {
    let hash = digest(&SHA256, access_token.as_bytes());
    let half = hash.as_ref().get(..16).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_left_half() {
        // OpenID Connect Core appendix A.3.
        assert_eq!(at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"), "77QmUPtjPfzWtF2AnpK9RQ");
    }
}

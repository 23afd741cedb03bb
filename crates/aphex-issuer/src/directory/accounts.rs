//! Bearer tokens: what programs present instead of a password.
//!
//! A token is shown once, when it is made; its fingerprint is kept. It acts for a user, within scopes.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::Directory;
use super::error::Error;
use super::user::User;
use crate::audit::{Action, Actor};
use crate::secrets;
use crate::storage::{Record, Stored, Transaction};

const MOST_IDENTIFIER: usize = 100;

/// What the holder of a token may do.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Scope {
    /// See users.
    #[serde(rename = "users:read")]
    UsersRead,
    /// Create, change and delete users, and see them.
    #[serde(rename = "users:write")]
    UsersWrite,
    /// See groups.
    #[serde(rename = "groups:read")]
    GroupsRead,
    /// Create, change and delete groups and memberships, and see them.
    #[serde(rename = "groups:write")]
    GroupsWrite,
    /// See OAuth2 providers.
    #[serde(rename = "providers:read")]
    ProvidersRead,
    /// Create, change and delete OAuth2 providers, and see them.
    #[serde(rename = "providers:write")]
    ProvidersWrite,
    /// See which tokens there are.
    #[serde(rename = "tokens:read")]
    TokensRead,
    /// Create and delete tokens of any scope, and see which there are.
    #[serde(rename = "tokens:write")]
    TokensWrite,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::UsersRead,
        Self::UsersWrite,
        Self::GroupsRead,
        Self::GroupsWrite,
        Self::ProvidersRead,
        Self::ProvidersWrite,
        Self::TokensRead,
        Self::TokensWrite,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::UsersRead => "users:read",
            Self::UsersWrite => "users:write",
            Self::GroupsRead => "groups:read",
            Self::GroupsWrite => "groups:write",
            Self::ProvidersRead => "providers:read",
            Self::ProvidersWrite => "providers:write",
            Self::TokensRead => "tokens:read",
            Self::TokensWrite => "tokens:write",
        }
    }

    /// Whoever may change something may see it.
    fn includes(self, wanted: Self) -> bool {
        let read = match self {
            Self::UsersWrite => Some(Self::UsersRead),
            Self::GroupsWrite => Some(Self::GroupsRead),
            Self::ProvidersWrite => Some(Self::ProvidersRead),
            Self::TokensWrite => Some(Self::TokensRead),
            _ => None,
        };
        self == wanted || read == Some(wanted)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::invalid("scopes", format!("There is no scope {text}; there are {known}."))
        })
    }
}

/// A bearer token, without its secret.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiToken {
    /// Name of the token, unique.
    pub identifier: String,
    /// Identifier of the user it acts for.
    pub uid: String,
    /// What it is for.
    pub description: String,
    /// What its holder may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends, if ever.
    pub expires: Option<Timestamp>,
}

/// A token to be.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// Name of the token.
    pub identifier: String,
    /// What it is for.
    pub description: String,
    /// What its holder may do.
    pub scopes: Vec<Scope>,
    /// When it ends, if ever.
    pub expires: Option<Timestamp>,
}

/// Who a bearer token stands for.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The user.
    pub user: User,
    /// The token.
    pub token: ApiToken,
}

impl Principal {
    /// Whether the token's scopes allow this.
    pub fn may(&self, wanted: Scope) -> bool {
        self.token.scopes.iter().any(|scope| scope.includes(wanted))
    }
}

/// The id is the fingerprint of the token.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct TokenRecord {
    identifier: String,
    uid: String,
    description: String,
    scopes: Vec<Scope>,
    created: Timestamp,
    expires: Option<Timestamp>,
}

impl Record for TokenRecord {
    const KIND: &'static str = "api-token";
}

impl TokenRecord {
    fn view(self) -> ApiToken {
        let Self { identifier, uid, description, scopes, created, expires } = self;
        ApiToken { identifier, uid, description, scopes, created, expires }
    }
}

impl Directory {
    /// Makes a token that acts for the user; the secret is shown this once.
    pub async fn create_token(
        &self,
        uid: &str,
        new: NewToken,
        by: &Actor,
    ) -> Result<(ApiToken, SecretString), Error> {
        let _changing = self.shared.changing.lock().await;
        self.known(uid)?;
        check_identifier(&new.identifier)?;
        let tokens = self.token_records()?;
        if tokens.iter().any(|token| token.value.identifier.eq_ignore_ascii_case(&new.identifier)) {
            return Err(Error::invalid("identifier", "A token with this identifier exists already."));
        }
        let now = self.shared.clock.now();
        if new.expires.is_some_and(|expires| expires <= now) {
            return Err(Error::invalid("expires", "Must be in the future."));
        }
        let mut scopes = new.scopes;
        scopes.sort_unstable();
        scopes.dedup();
        let record = TokenRecord {
            identifier: new.identifier,
            uid: uid.to_owned(),
            description: new.description,
            scopes,
            created: now,
            expires: new.expires,
        };
        let secret = secrets::random();
        self.storage().create(&secrets::fingerprint(secret.expose_secret()), &record).await?;
        let scopes: Vec<&str> = record.scopes.iter().map(|scope| scope.name()).collect();
        self.log(Action::TokenCreated, by, &record.identifier, &format!("scopes={}", scopes.join(",")));
        Ok((record.view(), secret))
    }

    /// Who presents this token; none when it is unknown, over, or its user is disabled.
    pub fn authenticate(&self, token: &SecretString) -> Result<Option<Principal>, Error> {
        let id = secrets::fingerprint(token.expose_secret());
        let Some(stored) = self.storage().get::<TokenRecord>(&id)? else { return Ok(None) };
        let token = stored.value.view();
        if token.expires.is_some_and(|expires| expires <= self.shared.clock.now()) {
            return Ok(None);
        }
        let user = self.by_uid(&token.uid)?.filter(|user| user.active);
        Ok(user.map(|user| Principal { user, token }))
    }

    /// All tokens, by identifier.
    pub fn tokens(&self) -> Result<Vec<ApiToken>, Error> {
        let mut tokens: Vec<ApiToken> =
            self.token_records()?.into_iter().map(|stored| stored.value.view()).collect();
        tokens.sort_by(|a, b| a.identifier.cmp(&b.identifier));
        Ok(tokens)
    }

    /// Deletes a token; from now on nobody can use it.
    pub async fn delete_token(&self, identifier: &str, by: &Actor) -> Result<(), Error> {
        let _changing = self.shared.changing.lock().await;
        let tokens = self.token_records()?;
        let found = tokens.iter().find(|token| token.value.identifier == identifier);
        let found = found.ok_or_else(|| Error::not_found("token", identifier))?;
        self.storage().delete::<TokenRecord>(&found.id).await?;
        self.log(Action::TokenDeleted, by, identifier, "");
        Ok(())
    }

    pub(super) fn drop_tokens_of(&self, transaction: &mut Transaction<'_>, uid: &str) -> Result<(), Error> {
        for token in self.token_records()?.iter().filter(|token| token.value.uid == uid) {
            transaction.delete::<TokenRecord>(&token.id);
        }
        Ok(())
    }

    fn token_records(&self) -> Result<Vec<Stored<TokenRecord>>, Error> {
        Ok(self.storage().list()?)
    }
}

fn check_identifier(identifier: &str) -> Result<(), Error> {
    let letters = identifier.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if identifier.is_empty() || identifier.len() > MOST_IDENTIFIER || !letters {
        let rule = format!("Must be 1 to {MOST_IDENTIFIER} letters, digits, hyphens or underscores.");
        return Err(Error::invalid("identifier", rule));
    }
    Ok(())
}

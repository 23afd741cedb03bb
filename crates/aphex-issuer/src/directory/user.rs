//! A user: as kept, as shown, as wished for.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::groups::GroupRecord;
use super::password::PasswordHash;
use super::upstream::Upstream;
use crate::storage::{Record, Stored};

/// Who logs in.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A person.
    #[default]
    Internal,
    /// A program, which has bearer tokens and no password.
    ServiceAccount,
}

/// A user, without anything secret.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Identifier that never changes and is never given again: the claim `sub`.
    pub uid: String,
    /// Number, as Authentik counts.
    pub pk: i64,
    /// Name to log in with; unique without regard to case.
    pub username: String,
    /// Name to show.
    pub name: String,
    /// E-mail address, unique without regard to case; the name on the engine. Programs may have none.
    pub email: String,
    /// Whether the address is known to be theirs.
    pub email_verified: bool,
    /// Whether they may log in.
    pub active: bool,
    /// Person or program.
    pub kind: Kind,
    /// Names of their groups, sorted.
    pub groups: Vec<String>,
    /// Grows when sessions and refresh tokens of before must end: at a new password, when the user is
    /// disabled, and on demand. Whoever makes a session or token writes this number into it, and takes
    /// it only while the number is still the user's and the user is `active`.
    pub session_epoch: u64,
    /// When they logged in last.
    pub last_login: Option<Timestamp>,
    /// When they came.
    pub created: Timestamp,
    /// Whether there is a password to log in with.
    pub has_password: bool,
    /// The provider where they log in, if it is another.
    pub upstream: Option<String>,
    /// What others keep with the user.
    pub attributes: Map<String, Value>,
}

/// A user to be.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// Name to log in with.
    pub username: String,
    /// Name to show; the username when empty.
    pub name: String,
    /// E-mail address; persons must have one.
    pub email: String,
    /// Whether the address is known to be theirs.
    pub email_verified: bool,
    /// Whether they may log in.
    pub active: bool,
    /// Person or program.
    pub kind: Kind,
    /// Groups, by name or identifier.
    pub groups: Vec<String>,
    /// Password; without one nobody can log in yet.
    pub password: Option<SecretString>,
    /// What others keep with the user.
    pub attributes: Map<String, Value>,
}

/// What is to be different; the rest stays.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// Name to log in with.
    pub username: Option<String>,
    /// Name to show.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Whether the address is known to be theirs.
    pub email_verified: Option<bool>,
    /// Whether they may log in.
    pub active: Option<bool>,
    /// All groups, by name or identifier.
    pub groups: Option<Vec<String>>,
    /// What others keep with the user.
    pub attributes: Option<Map<String, Value>>,
}

/// A user as kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct UserRecord {
    pub(super) uid: String,
    pub(super) pk: i64,
    pub(super) username: String,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) email_verified: bool,
    pub(super) active: bool,
    pub(super) kind: Kind,
    /// Identifiers of groups.
    pub(super) groups: Vec<String>,
    pub(super) session_epoch: u64,
    pub(super) last_login: Option<Timestamp>,
    pub(super) created: Timestamp,
    pub(super) password: Option<PasswordHash>,
    pub(super) attributes: Map<String, Value>,
    pub(super) upstream: Option<Upstream>,
}

impl Record for UserRecord {
    const KIND: &'static str = "user";
}

impl UserRecord {
    pub(super) fn view(self, groups: &[Stored<GroupRecord>]) -> User {
        let named = groups.iter().filter(|group| self.groups.contains(&group.id));
        let mut names: Vec<String> = named.map(|group| group.value.name.clone()).collect();
        names.extend(self.upstream.iter().flat_map(|upstream| upstream.groups.clone()));
        names.sort();
        names.dedup();
        User {
            uid: self.uid,
            pk: self.pk,
            username: self.username,
            name: self.name,
            email: self.email,
            email_verified: self.email_verified,
            active: self.active,
            kind: self.kind,
            groups: names,
            session_epoch: self.session_epoch,
            last_login: self.last_login,
            created: self.created,
            has_password: self.password.is_some(),
            upstream: self.upstream.map(|upstream| upstream.issuer),
            attributes: self.attributes,
        }
    }
}

/// Whose a username or e-mail address is; its id is the folded login.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Login {
    pub(super) uid: String,
}

impl Record for Login {
    const KIND: &'static str = "login";
}

/// The number of the next user.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Sequence {
    pub(super) next: i64,
}

impl Record for Sequence {
    const KIND: &'static str = "sequence";
}

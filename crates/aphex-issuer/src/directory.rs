//! The people: users, groups, passwords, service accounts.
//!
//! ```text
//! user ── groups ──► group          login (username, e-mail) ──► user          token ──► service account
//! ```
//!
//! Usernames and e-mail addresses share one space of logins without regard to case, so that nobody can be
//! found by what is another's. Changes are made one after another under a lock, each in one transaction.
//! Passwords are hashed with argon2id off the async threads; a login that nobody has costs the same.

mod accounts;
mod error;
mod groups;
mod names;
mod password;
mod people;
mod setup;
#[cfg(test)]
mod tests;
mod upstream;
mod user;

use std::sync::Arc;

use aphex_runtime::Clock;
use secrecy::SecretString;
use tokio::sync::Mutex;

pub use self::accounts::{ApiToken, NewToken, Principal, Scope};
pub use self::error::Error;
use self::groups::GroupRecord;
pub use self::groups::{Group, GroupChange, NewGroup, Parent};
use self::password::Hasher;
pub use self::setup::{NewAdministrator, SETUP_LIFETIME};
pub use self::upstream::Arrival;
pub use self::user::{Kind, NewUser, User, UserChange};
use self::user::{Login, UserRecord};
use crate::audit::{Actor, Audit};
use crate::storage::{Storage, Stored};

/// The groups that are there at first start, and what their members do on the platform.
pub const GROUPS: [&str; 5] =
    ["admins", "engineering", "platform-admins", "platform-operators", "platform-engineering"];

/// Users and groups; cheap to clone.
#[derive(Clone, Debug)]
pub struct Directory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    storage: Storage,
    clock: Clock,
    audit: Audit,
    hasher: Hasher,
    /// Held by whoever changes something: what was read under it is still so when it is written.
    changing: Mutex<()>,
}

impl Directory {
    /// The directory kept in these records; the usual groups are made at first start.
    pub async fn open(storage: Storage, clock: Clock, audit: Audit) -> Result<Self, Error> {
        let hasher = Hasher::new();
        let shared = Shared { storage, clock, audit, hasher, changing: Mutex::new(()) };
        let directory = Self { shared: Arc::new(shared) };
        directory.create_usual_groups().await?;
        Ok(directory)
    }

    /// The audit log, for those who record logins.
    pub fn audit(&self) -> &Audit {
        &self.shared.audit
    }

    /// The user who has this login (e-mail address or username) and password, if active.
    ///
    /// Takes the same work whether there is such a user or not. Does not count attempts: the login page does.
    pub async fn verify_password(&self, login: &str, password: &SecretString) -> Result<Option<User>, Error> {
        let found = self.record_by_login(login)?;
        let hash = found.as_ref().and_then(|stored| stored.value.password.clone());
        let verdict = self.shared.hasher.verify(password, hash).await?;
        let Some(stored) = found.filter(|stored| verdict.matches && stored.value.active) else {
            return Ok(None);
        };
        if verdict.outdated {
            self.rehash(&stored.value.uid, password).await?;
        }
        self.view(stored.value).map(Some)
    }

    /// The user with this identifier, active or not.
    pub fn by_uid(&self, uid: &str) -> Result<Option<User>, Error> {
        self.record(uid)?.map(|stored| self.view(stored.value)).transpose()
    }

    /// The user with this username or e-mail address, active or not.
    pub fn by_login(&self, login: &str) -> Result<Option<User>, Error> {
        self.record_by_login(login)?.map(|stored| self.view(stored.value)).transpose()
    }

    /// The user with this number, active or not.
    pub fn by_pk(&self, pk: i64) -> Result<Option<User>, Error> {
        Ok(self.users()?.into_iter().find(|user| user.pk == pk))
    }

    /// Everybody, in the order in which they came.
    pub fn users(&self) -> Result<Vec<User>, Error> {
        let groups = self.group_records()?;
        let records = self.storage().list::<UserRecord>()?;
        let mut users: Vec<User> = records.into_iter().map(|stored| stored.value.view(&groups)).collect();
        users.sort_by_key(|user| user.pk);
        Ok(users)
    }

    fn storage(&self) -> &Storage {
        &self.shared.storage
    }

    fn record(&self, uid: &str) -> Result<Option<Stored<UserRecord>>, Error> {
        Ok(self.storage().get(uid)?)
    }

    fn record_by_login(&self, login: &str) -> Result<Option<Stored<UserRecord>>, Error> {
        match self.storage().get::<Login>(&names::folded(login))? {
            Some(login) => self.record(&login.value.uid),
            None => Ok(None),
        }
    }

    /// The user as others see it, with the names of its groups.
    fn view(&self, record: UserRecord) -> Result<User, Error> {
        Ok(record.view(&self.group_records()?))
    }

    fn group_records(&self) -> Result<Vec<Stored<GroupRecord>>, Error> {
        Ok(self.storage().list()?)
    }

    fn log(&self, action: crate::audit::Action, by: &Actor, subject: &str, detail: &str) {
        self.shared.audit.record(action, by, subject, detail);
    }
}

//! The one-time link by which the first administrator chooses a password.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::Directory;
use super::error::Error;
use super::groups::NewGroup;
use super::user::{NewUser, User, UserChange};
use crate::audit::{Action, Actor};
use crate::secrets;
use crate::storage::{Expires, Record};

/// How long the link works.
pub const SETUP_LIFETIME: Duration = Duration::from_hours(24);
/// What the first administrator is a member of.
const ADMINISTRATORS: [&str; 2] = ["admins", "platform-admins"];

/// The link's secret is not kept; its id is the secret's fingerprint.
#[derive(Debug, Deserialize, Serialize)]
struct SetupLink {
    expires: Timestamp,
}

impl Record for SetupLink {
    const KIND: &'static str = "setup-link";
}

impl Expires for SetupLink {
    fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// What the first administrator chooses.
#[derive(Clone, Debug)]
pub struct NewAdministrator {
    /// Name to log in with.
    pub username: String,
    /// Name to show; the username when empty.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// Password.
    pub password: SecretString,
}

impl Directory {
    /// Whether nobody in the group `admins` can log in, so that a link for the first administrator is due.
    pub fn needs_setup(&self) -> Result<bool, Error> {
        let able = |user: &User| {
            user.active
                && (user.has_password || user.upstream.is_some())
                && user.groups.iter().any(|group| group == ADMINISTRATORS[0])
        };
        Ok(!self.users()?.iter().any(able))
    }

    /// The secret of a new link; links made before stop working.
    pub async fn create_setup_link(&self) -> Result<SecretString, Error> {
        let _changing = self.shared.changing.lock().await;
        let secret = secrets::random();
        let expires = self.shared.clock.now().saturating_add(SETUP_LIFETIME).unwrap_or(Timestamp::MAX);
        let mut transaction = self.storage().transaction();
        for before in self.storage().list::<SetupLink>()? {
            transaction.delete::<SetupLink>(&before.id);
        }
        transaction.create(&secrets::fingerprint(secret.expose_secret()), &SetupLink { expires })?;
        transaction.commit().await?;
        self.log(Action::SetupCreated, &Actor::system(), "", "");
        Ok(secret)
    }

    /// Whether a link with this secret works now: the set-up page asks before it shows its form.
    pub fn setup_link_works(&self, secret: &SecretString) -> Result<bool, Error> {
        let link = self.storage().get::<SetupLink>(&secrets::fingerprint(secret.expose_secret()))?;
        Ok(link.is_some_and(|link| link.value.expires > self.shared.clock.now()))
    }

    /// Makes the first administrator, or sets password and groups of the user with that login; works once.
    ///
    /// Input that breaks a rule does not use the link up.
    pub async fn redeem_setup_link(
        &self,
        secret: &SecretString,
        new: NewAdministrator,
        from: Option<IpAddr>,
    ) -> Result<User, Error> {
        // Hashing before this check would be work for strangers.
        if !self.setup_link_works(secret)? {
            return Err(Error::SetupLink);
        }
        let id = secrets::fingerprint(secret.expose_secret());
        // Taken first: of two who redeem at once one gets it.
        let Some(link) = self.storage().take::<SetupLink>(&id).await? else {
            return Err(Error::SetupLink);
        };
        let made = self.make_administrator(new, &Actor::anonymous(from)).await;
        match &made {
            Ok(user) => self.log(Action::SetupRedeemed, &Actor::anonymous(from), &user.username, ""),
            Err(_) => {
                self.storage().create(&id, &link).await?;
            }
        }
        made
    }

    async fn make_administrator(&self, new: NewAdministrator, by: &Actor) -> Result<User, Error> {
        for name in ADMINISTRATORS {
            if self.group(name)?.is_none() {
                self.create_group(NewGroup { name: name.to_owned(), ..NewGroup::default() }, by).await?;
            }
        }
        let groups = ADMINISTRATORS.map(str::to_owned).to_vec();
        if new.email.is_empty() {
            return Err(Error::invalid("email", "This field may not be blank."));
        }
        let (by_name, by_email) = (self.by_login(&new.username)?, self.by_login(&new.email)?);
        match (by_name, by_email) {
            // Added before by the command line, most likely without a password.
            (Some(user), Some(same)) if user.uid == same.uid => {
                self.set_password(&user.uid, &new.password, by).await?;
                let groups = user.groups.into_iter().chain(groups).collect();
                let change = UserChange { active: Some(true), groups: Some(groups), ..UserChange::default() };
                self.change_user(&user.uid, change, by).await
            }
            _ => {
                let user = NewUser {
                    username: new.username,
                    name: new.name,
                    email: new.email,
                    email_verified: true,
                    active: true,
                    groups,
                    password: Some(new.password),
                    ..NewUser::default()
                };
                self.create_user(user, by).await
            }
        }
    }
}

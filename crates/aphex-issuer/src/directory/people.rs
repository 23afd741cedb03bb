//! Changes of users.

use std::collections::BTreeSet;

use secrecy::SecretString;

use super::error::Error;
use super::user::{Kind, Login, NewUser, Sequence, User, UserChange, UserRecord};
use super::{Directory, names};
use crate::audit::{Action, Actor};
use crate::secrets;
use crate::storage::{Stored, Transaction};

/// The sequence of users' numbers.
pub(super) const USERS: &str = "users";

impl Directory {
    /// Creates a user; username and e-mail address must be nobody else's.
    pub async fn create_user(&self, new: NewUser, by: &Actor) -> Result<User, Error> {
        let password = match &new.password {
            Some(password) => Some(self.shared.hasher.hash(password, &[&new.username, &new.email]).await?),
            None => None,
        };
        let _changing = self.shared.changing.lock().await;
        let pk = self.storage().get::<Sequence>(USERS)?.map_or(1, |sequence| sequence.value.next);
        let record = UserRecord {
            uid: secrets::uuid(),
            pk,
            name: if new.name.is_empty() { new.username.clone() } else { new.name },
            username: new.username,
            email: new.email,
            email_verified: new.email_verified,
            active: new.active,
            kind: new.kind,
            groups: self.group_ids(&new.groups)?,
            session_epoch: 0,
            last_login: None,
            created: self.shared.clock.now(),
            password,
            attributes: new.attributes,
            upstream: None,
        };
        check(&record)?;
        let logins = self.free_logins(&record)?;
        let mut transaction = self.storage().transaction();
        for login in logins {
            transaction.create(&login, &Login { uid: record.uid.clone() })?;
        }
        transaction.put(USERS, &Sequence { next: pk + 1 })?;
        transaction.create(&record.uid, &record)?;
        transaction.commit().await?;
        self.log(Action::UserCreated, by, &record.username, &format!("groups={}", new.groups.join(",")));
        self.view(record)
    }

    /// Changes what the change names.
    pub async fn change_user(&self, uid: &str, change: UserChange, by: &Actor) -> Result<User, Error> {
        let _changing = self.shared.changing.lock().await;
        let mut stored = self.known(uid)?;
        let before = stored.value.clone();
        let told = self.apply(&mut stored.value, change)?;
        check(&stored.value)?;
        if told.is_empty() {
            return self.view(stored.value);
        }
        let mut transaction = self.storage().transaction();
        self.move_logins(&mut transaction, &before, &stored.value)?;
        transaction.replace(&stored)?;
        transaction.commit().await?;
        self.log(Action::UserChanged, by, &stored.value.username, &told.join(" "));
        self.view(stored.value)
    }

    /// Sets a new password; sessions and refresh tokens of before end.
    pub async fn set_password(&self, uid: &str, password: &SecretString, by: &Actor) -> Result<User, Error> {
        let user = self.known(uid)?.value;
        if user.kind == Kind::ServiceAccount {
            return Err(Error::invalid("password", "A service account has bearer tokens and no password."));
        }
        let hash = self.shared.hasher.hash(password, &[&user.username, &user.email]).await?;
        let _changing = self.shared.changing.lock().await;
        let mut stored = self.known(uid)?;
        stored.value.password = Some(hash);
        stored.value.session_epoch += 1;
        self.storage().replace(&stored).await?;
        self.log(Action::UserPasswordChanged, by, &stored.value.username, "");
        self.view(stored.value)
    }

    /// Ends the user's sessions and refresh tokens.
    pub async fn end_sessions(&self, uid: &str, by: &Actor) -> Result<User, Error> {
        let _changing = self.shared.changing.lock().await;
        let mut stored = self.known(uid)?;
        stored.value.session_epoch += 1;
        self.storage().replace(&stored).await?;
        self.log(Action::UserChanged, by, &stored.value.username, "sessions ended");
        self.view(stored.value)
    }

    /// Deletes a user with all its bearer tokens; its identifier is never given again.
    pub async fn delete_user(&self, uid: &str, by: &Actor) -> Result<(), Error> {
        let _changing = self.shared.changing.lock().await;
        let stored = self.known(uid)?;
        let mut transaction = self.storage().transaction();
        for login in logins(&stored.value) {
            transaction.delete::<Login>(&login);
        }
        self.drop_tokens_of(&mut transaction, uid)?;
        transaction.delete_unchanged(&stored);
        transaction.commit().await?;
        self.log(Action::UserDeleted, by, &stored.value.username, "");
        Ok(())
    }

    /// Writes down that the user logged in now.
    pub async fn record_login(
        &self,
        uid: &str,
        from: Option<std::net::IpAddr>,
        detail: &str,
    ) -> Result<(), Error> {
        let _changing = self.shared.changing.lock().await;
        let mut stored = self.known(uid)?;
        stored.value.last_login = Some(self.shared.clock.now());
        self.storage().replace(&stored).await?;
        let username = &stored.value.username;
        self.log(Action::LoginSucceeded, &Actor::user(username, from), username, detail);
        Ok(())
    }

    /// Hashes a password that was right at today's cost.
    pub(super) async fn rehash(&self, uid: &str, password: &SecretString) -> Result<(), Error> {
        let epoch = self.known(uid)?.value.session_epoch;
        let hash = self.shared.hasher.hash_unchecked(password).await?;
        let _changing = self.shared.changing.lock().await;
        let mut stored = self.known(uid)?;
        // Another password was set meanwhile.
        if stored.value.session_epoch != epoch {
            return Ok(());
        }
        stored.value.password = Some(hash);
        self.storage().replace(&stored).await?;
        Ok(())
    }

    pub(super) fn known(&self, uid: &str) -> Result<Stored<UserRecord>, Error> {
        self.record(uid)?.ok_or_else(|| Error::not_found("user", uid))
    }

    /// Applies the change; gives what it did, for the audit log.
    fn apply(&self, record: &mut UserRecord, change: UserChange) -> Result<Vec<String>, Error> {
        let mut told = Vec::new();
        let mut set = |field: &str, kept: &mut String, wanted: Option<String>| {
            if let Some(wanted) = wanted.filter(|wanted| wanted != kept) {
                told.push(format!("{field}={wanted}"));
                *kept = wanted;
            }
        };
        set("username", &mut record.username, change.username);
        set("name", &mut record.name, change.name);
        set("email", &mut record.email, change.email);
        if let Some(verified) = change.email_verified.filter(|verified| *verified != record.email_verified) {
            told.push(format!("email_verified={verified}"));
            record.email_verified = verified;
        }
        if let Some(active) = change.active.filter(|active| *active != record.active) {
            told.push(if active { "enabled" } else { "disabled" }.to_owned());
            record.active = active;
            record.session_epoch += u64::from(!active);
        }
        if let Some(groups) = change.groups {
            let ids = self.group_ids(&groups)?;
            if ids != record.groups {
                told.push(format!("groups={}", groups.join(",")));
                record.groups = ids;
            }
        }
        if let Some(attributes) = change.attributes.filter(|attributes| *attributes != record.attributes) {
            told.push("attributes".to_owned());
            record.attributes = attributes;
        }
        Ok(told)
    }

    /// The logins of a user, none of which may be another's.
    pub(super) fn free_logins(&self, record: &UserRecord) -> Result<BTreeSet<String>, Error> {
        let wanted = logins(record);
        for login in &wanted {
            let holder = self.storage().get::<Login>(login)?;
            if holder.is_some_and(|holder| holder.value.uid != record.uid) {
                let field = if *login == names::folded(&record.username) { "username" } else { "email" };
                return Err(Error::invalid(
                    field,
                    "Somebody has this already, as username or as email address.",
                ));
            }
        }
        Ok(wanted)
    }

    pub(super) fn move_logins(
        &self,
        transaction: &mut Transaction<'_>,
        before: &UserRecord,
        after: &UserRecord,
    ) -> Result<(), Error> {
        let (old, new) = (logins(before), self.free_logins(after)?);
        for login in old.difference(&new) {
            transaction.delete::<Login>(login);
        }
        for login in new.difference(&old) {
            transaction.create(login, &Login { uid: after.uid.clone() })?;
        }
        Ok(())
    }
}

fn logins(record: &UserRecord) -> BTreeSet<String> {
    let all = [&record.username, &record.email].map(|login| names::folded(login));
    all.into_iter().filter(|login| !login.is_empty()).collect()
}

pub(super) fn check(record: &UserRecord) -> Result<(), Error> {
    names::check_username(&record.username)?;
    names::check_email(&record.email)?;
    names::check_display_name(&record.name)?;
    if record.kind == Kind::Internal && record.email.is_empty() {
        return Err(Error::invalid(
            "email",
            "This field may not be blank: it is the user's name on the engine.",
        ));
    }
    Ok(())
}

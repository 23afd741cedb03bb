//! People who log in at another provider: known by that provider's issuer and subject, never by their address.
//!
//! An address alone would let whoever can choose one at the other provider become somebody who is here already.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::error::Error;
use super::user::{Kind, Login, Sequence, User, UserRecord};
use super::{Directory, names, people};
use crate::audit::{Action, Actor};
use crate::secrets;
use crate::storage::Record;

/// More groups than that make a token that no header holds.
const MOST_GROUPS: usize = 200;

/// What another provider says of somebody who logged in there.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// The provider.
    pub issuer: String,
    /// Who it is there; never given to another.
    pub subject: String,
    /// The name to log in with there.
    pub username: String,
    /// Name to show.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// Whether the provider knows that the address is theirs.
    pub email_verified: bool,
    /// Groups there, which count here too.
    pub groups: Vec<String>,
}

/// Kept with a user who came from another provider.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Upstream {
    pub(super) issuer: String,
    pub(super) groups: Vec<String>,
}

/// Whose an identity of another provider is; its id is a fingerprint of issuer and subject.
#[derive(Deserialize, Serialize)]
struct Link {
    uid: String,
}

impl Record for Link {
    const KIND: &'static str = "upstream-link";
}

impl Directory {
    /// The user of an identity of another provider, made at the first arrival and brought up to date at each.
    ///
    /// An address that somebody else has here is refused. Whether the user is active is for the caller to look at.
    pub async fn arrive(&self, arrival: Arrival, from: Option<IpAddr>) -> Result<User, Error> {
        let _changing = self.shared.changing.lock().await;
        let id = secrets::fingerprint(&format!("{}\n{}", arrival.issuer, arrival.subject));
        let known = match self.storage().get::<Link>(&id)? {
            Some(link) => self.record(&link.value.uid)?,
            None => None,
        };
        let by = Actor::anonymous(from);
        match known {
            Some(mut stored) => {
                let before = stored.value.clone();
                update(&mut stored.value, arrival);
                if stored.value == before {
                    return self.view(stored.value);
                }
                people::check(&stored.value)?;
                let mut transaction = self.storage().transaction();
                self.move_logins(&mut transaction, &before, &stored.value)?;
                transaction.replace(&stored)?;
                transaction.commit().await?;
                self.log(Action::UserChanged, &by, &stored.value.username, "as its provider says");
                self.view(stored.value)
            }
            None => self.welcome(&id, arrival, &by).await,
        }
    }

    async fn welcome(&self, link: &str, arrival: Arrival, by: &Actor) -> Result<User, Error> {
        let uid = secrets::uuid();
        let free =
            |name: &str| names::check_username(name).is_ok() && matches!(self.by_login(name), Ok(None));
        // The last one is nobody's: not every address can be a username.
        let names = [arrival.username.clone(), arrival.email.clone(), format!("user-{uid}")];
        let username = names.into_iter().find(|name| free(name)).unwrap_or_else(|| uid.clone());
        let issuer = arrival.issuer.clone();
        let mut record = UserRecord {
            uid,
            pk: self.storage().get::<Sequence>(people::USERS)?.map_or(1, |sequence| sequence.value.next),
            username,
            name: String::new(),
            email: String::new(),
            email_verified: false,
            active: true,
            kind: Kind::Internal,
            groups: Vec::new(),
            session_epoch: 0,
            last_login: None,
            created: self.shared.clock.now(),
            password: None,
            attributes: Map::new(),
            upstream: None,
        };
        update(&mut record, arrival);
        people::check(&record)?;
        let mut transaction = self.storage().transaction();
        for login in self.free_logins(&record)? {
            transaction.create(&login, &Login { uid: record.uid.clone() })?;
        }
        transaction.put(people::USERS, &Sequence { next: record.pk + 1 })?;
        transaction.create(&record.uid, &record)?;
        transaction.put(link, &Link { uid: record.uid.clone() })?;
        transaction.commit().await?;
        self.log(Action::UserCreated, by, &record.username, &format!("from {issuer}"));
        self.view(record)
    }
}

fn update(record: &mut UserRecord, arrival: Arrival) {
    record.name = if arrival.name.is_empty() { record.username.clone() } else { arrival.name };
    record.email = arrival.email;
    record.email_verified = arrival.email_verified;
    let mut groups = arrival.groups;
    // Names that an engine keeps for itself, or that nobody could write here, do not count.
    groups.retain(|group| names::check_group(group).is_ok());
    groups.sort();
    groups.dedup();
    groups.truncate(MOST_GROUPS);
    record.upstream = Some(Upstream { issuer: arrival.issuer, groups });
}

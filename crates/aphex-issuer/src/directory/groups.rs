//! Groups and who is in them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::Error;
use super::user::{User, UserRecord};
use super::{Directory, GROUPS, names};
use crate::audit::{Action, Actor};
use crate::secrets;
use crate::storage::{Record, Stored};

/// A group.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Identifier.
    pub pk: String,
    /// Name, as it is in the claim `groups`; unique without regard to case.
    pub name: String,
    /// Authentik's mark; means nothing here.
    pub is_superuser: bool,
    /// Identifier of the group that it belongs to; membership is not inherited.
    pub parent: Option<String>,
    /// Numbers of the members.
    pub users: Vec<i64>,
    /// What others keep with the group.
    pub attributes: Map<String, Value>,
}

/// A group to be.
#[derive(Clone, Debug, Default)]
pub struct NewGroup {
    /// Name.
    pub name: String,
    /// Authentik's mark.
    pub is_superuser: bool,
    /// Identifier of the group that it belongs to.
    pub parent: Option<String>,
    /// Numbers of the members.
    pub users: Vec<i64>,
    /// What others keep with the group.
    pub attributes: Map<String, Value>,
}

/// What is to be different; the rest stays.
#[derive(Clone, Debug, Default)]
pub struct GroupChange {
    /// Name.
    pub name: Option<String>,
    /// Authentik's mark.
    pub is_superuser: Option<bool>,
    /// The group that it belongs to.
    pub parent: Parent,
    /// Numbers of all members.
    pub users: Option<Vec<i64>>,
    /// What others keep with the group.
    pub attributes: Option<Map<String, Value>>,
}

/// What is wished of the group that a group belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Parent {
    /// Nothing.
    #[default]
    Stays,
    /// That it is the group with this identifier, or none.
    Is(Option<String>),
}

impl Parent {
    /// The identifier, for a group that had none before.
    pub fn wanted(self) -> Option<String> {
        match self {
            Self::Stays => None,
            Self::Is(parent) => parent,
        }
    }
}

impl<'de> Deserialize<'de> for Parent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::Is)
    }
}

/// A group as kept; who is in it is kept with the users.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct GroupRecord {
    pub(super) name: String,
    is_superuser: bool,
    parent: Option<String>,
    attributes: Map<String, Value>,
}

impl Record for GroupRecord {
    const KIND: &'static str = "group";
}

/// Written once the usual groups were made: one that was deleted does not come back.
#[derive(Deserialize, Serialize)]
struct Founded {}

impl Record for Founded {
    const KIND: &'static str = "founded";
}

impl Directory {
    pub(super) async fn create_usual_groups(&self) -> Result<(), Error> {
        if self.storage().get::<Founded>("")?.is_some() {
            return Ok(());
        }
        let mut transaction = self.storage().transaction();
        for name in GROUPS {
            let record = GroupRecord {
                name: name.to_owned(),
                is_superuser: false,
                parent: None,
                attributes: Map::new(),
            };
            transaction.create(&secrets::uuid(), &record)?;
        }
        transaction.create("", &Founded {})?;
        transaction.commit().await?;
        Ok(())
    }

    /// All groups, by name.
    pub fn groups(&self) -> Result<Vec<Group>, Error> {
        let users = self.storage().list::<UserRecord>()?;
        let mut groups: Vec<Group> =
            self.group_records()?.into_iter().map(|stored| view(stored, &users)).collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(groups)
    }

    /// The group with this identifier or name.
    pub fn group(&self, name: &str) -> Result<Option<Group>, Error> {
        let Some(stored) = self.group_record(name)? else { return Ok(None) };
        Ok(Some(view(stored, &self.storage().list::<UserRecord>()?)))
    }

    /// Creates a group; its name must be no other's.
    pub async fn create_group(&self, new: NewGroup, by: &Actor) -> Result<Group, Error> {
        let _changing = self.shared.changing.lock().await;
        let stored = Stored {
            id: secrets::uuid(),
            value: GroupRecord {
                name: new.name,
                is_superuser: new.is_superuser,
                parent: new.parent,
                attributes: new.attributes,
            },
            revision: 0,
        };
        self.check_group(&stored)?;
        let mut transaction = self.storage().transaction();
        transaction.create(&stored.id, &stored.value)?;
        for user in self.members_changed(&stored.id, &new.users)? {
            transaction.replace(&user)?;
        }
        transaction.commit().await?;
        self.log(Action::GroupCreated, by, &stored.value.name, &format!("users={:?}", new.users));
        Ok(view(stored, &self.storage().list::<UserRecord>()?))
    }

    /// Changes what the change names.
    pub async fn change_group(&self, pk: &str, change: GroupChange, by: &Actor) -> Result<Group, Error> {
        let _changing = self.shared.changing.lock().await;
        let mut stored = self.known_group(pk)?;
        let mut told = Vec::new();
        if let Some(name) = change.name.filter(|name| *name != stored.value.name) {
            told.push(format!("renamed from {}", stored.value.name));
            stored.value.name = name;
        }
        if let Some(is_superuser) = change.is_superuser {
            stored.value.is_superuser = is_superuser;
        }
        if let Parent::Is(parent) = change.parent {
            stored.value.parent = parent;
        }
        if let Some(attributes) = change.attributes {
            stored.value.attributes = attributes;
        }
        self.check_group(&stored)?;
        let mut transaction = self.storage().transaction();
        transaction.replace(&stored)?;
        if let Some(users) = change.users {
            told.push(format!("users={users:?}"));
            for user in self.members_changed(&stored.id, &users)? {
                transaction.replace(&user)?;
            }
        }
        transaction.commit().await?;
        self.log(Action::GroupChanged, by, &stored.value.name, &told.join(" "));
        Ok(view(stored, &self.storage().list::<UserRecord>()?))
    }

    /// Deletes a group; its members stay users.
    pub async fn delete_group(&self, pk: &str, by: &Actor) -> Result<(), Error> {
        let _changing = self.shared.changing.lock().await;
        let stored = self.known_group(pk)?;
        let mut transaction = self.storage().transaction();
        for user in self.members_changed(&stored.id, &[])? {
            transaction.replace(&user)?;
        }
        for mut child in self.group_records()? {
            if child.value.parent.as_deref() == Some(&stored.id) {
                child.value.parent = None;
                transaction.replace(&child)?;
            }
        }
        transaction.delete_unchanged(&stored);
        transaction.commit().await?;
        self.log(Action::GroupDeleted, by, &stored.value.name, "");
        Ok(())
    }

    /// Takes a user into a group; one who is in it stays.
    pub async fn add_member(&self, pk: &str, uid: &str, by: &Actor) -> Result<User, Error> {
        self.set_member(pk, uid, true, by).await
    }

    /// Takes a user out of a group; one who is not in it stays out.
    pub async fn remove_member(&self, pk: &str, uid: &str, by: &Actor) -> Result<User, Error> {
        self.set_member(pk, uid, false, by).await
    }

    async fn set_member(&self, pk: &str, uid: &str, member: bool, by: &Actor) -> Result<User, Error> {
        let _changing = self.shared.changing.lock().await;
        let group = self.known_group(pk)?;
        let mut user = self.known(uid)?;
        if user.value.groups.contains(&group.id) != member {
            set_membership(&mut user.value, &group.id, member);
            self.storage().replace(&user).await?;
            let verb = if member { "added" } else { "removed" };
            self.log(Action::GroupChanged, by, &group.value.name, &format!("{verb} {}", user.value.username));
        }
        self.view(user.value)
    }

    /// Identifiers of groups that are given by name or identifier, sorted, each once.
    pub(super) fn group_ids(&self, named: &[String]) -> Result<Vec<String>, Error> {
        let groups = self.group_records()?;
        let mut ids = Vec::new();
        for name in named {
            let found = find(&groups, name).ok_or_else(|| {
                let known: Vec<&str> = groups.iter().map(|group| group.value.name.as_str()).collect();
                Error::invalid("groups", format!("There is no group {name}; there are {}.", known.join(", ")))
            })?;
            ids.push(found.id.clone());
        }
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    fn group_record(&self, name: &str) -> Result<Option<Stored<GroupRecord>>, Error> {
        Ok(find(&self.group_records()?, name).cloned())
    }

    fn known_group(&self, name: &str) -> Result<Stored<GroupRecord>, Error> {
        self.group_record(name)?.ok_or_else(|| Error::not_found("group", name))
    }

    fn check_group(&self, group: &Stored<GroupRecord>) -> Result<(), Error> {
        names::check_group(&group.value.name)?;
        let groups = self.group_records()?;
        let same = |other: &Stored<GroupRecord>| other.value.name.eq_ignore_ascii_case(&group.value.name);
        if groups.iter().any(|other| other.id != group.id && (same(other) || other.id == group.value.name)) {
            return Err(Error::invalid("name", "A group with this name exists already."));
        }
        let mut above = group.value.parent.as_deref();
        while let Some(pk) = above {
            let parent = groups.iter().find(|other| other.id == pk && pk != group.id);
            let Some(parent) = parent else {
                return Err(Error::invalid(
                    "parent",
                    "Must be another group that exists and is not below this one.",
                ));
            };
            above = parent.value.parent.as_deref();
        }
        Ok(())
    }

    /// The users whose membership has to change so that these are the members.
    fn members_changed(&self, group: &str, members: &[i64]) -> Result<Vec<Stored<UserRecord>>, Error> {
        let mut users = self.storage().list::<UserRecord>()?;
        if let Some(unknown) = members.iter().find(|pk| users.iter().all(|user| user.value.pk != **pk)) {
            return Err(Error::invalid("users", format!("There is no user {unknown}.")));
        }
        users.retain_mut(|user| {
            let (is, wanted) =
                (user.value.groups.iter().any(|id| id == group), members.contains(&user.value.pk));
            set_membership(&mut user.value, group, wanted);
            is != wanted
        });
        Ok(users)
    }
}

fn set_membership(user: &mut UserRecord, group: &str, member: bool) {
    user.groups.retain(|id| id != group);
    if member {
        user.groups.push(group.to_owned());
        user.groups.sort();
    }
}

fn find<'a>(groups: &'a [Stored<GroupRecord>], name: &str) -> Option<&'a Stored<GroupRecord>> {
    let by_id = groups.iter().find(|group| group.id == name);
    by_id.or_else(|| groups.iter().find(|group| group.value.name.eq_ignore_ascii_case(name)))
}

fn view(stored: Stored<GroupRecord>, users: &[Stored<UserRecord>]) -> Group {
    let members = users.iter().filter(|user| user.value.groups.contains(&stored.id));
    let mut members: Vec<i64> = members.map(|user| user.value.pk).collect();
    members.sort_unstable();
    Group {
        pk: stored.id,
        name: stored.value.name,
        is_superuser: stored.value.is_superuser,
        parent: stored.value.parent,
        users: members,
        attributes: stored.value.attributes,
    }
}

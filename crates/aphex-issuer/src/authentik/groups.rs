//! `core/groups/`.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::{Authentik, Call};
use crate::directory::{Group, GroupChange, NewGroup, Parent, Scope};
use crate::web::{self, Response};

/// A group as clients send it; what is left out stays, or is the usual.
#[derive(Deserialize)]
struct Wanted {
    name: Option<String>,
    is_superuser: Option<bool>,
    #[serde(default)]
    parent: Parent,
    users: Option<Vec<i64>>,
    attributes: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Member {
    pk: i64,
}

impl Authentik {
    pub(super) async fn groups(&self, call: &Call<'_>, rest: &[&str]) -> Result<Response, Failure> {
        match rest {
            [] => match *call.method() {
                Method::GET => self.list_groups(call),
                Method::POST => self.create_group(call).await,
                _ => Err(call.not_allowed()),
            },
            [pk] => self.one_group(call, pk).await,
            [pk, verb @ ("add_user" | "remove_user")] if *call.method() == Method::POST => {
                call.need(Scope::GroupsWrite)?;
                let member: Member = call.body()?;
                let group = self.group(pk)?;
                let user = self.directory.by_pk(member.pk)?.ok_or(Failure::NotFound)?;
                if *verb == "add_user" {
                    self.directory.add_member(&group.pk, &user.uid, &call.actor()).await?;
                } else {
                    self.directory.remove_member(&group.pk, &user.uid, &call.actor()).await?;
                }
                Ok(web::empty(StatusCode::NO_CONTENT))
            }
            [_, "add_user" | "remove_user"] => Err(call.not_allowed()),
            _ => Err(Failure::NotFound),
        }
    }

    fn list_groups(&self, call: &Call<'_>) -> Result<Response, Failure> {
        call.need(Scope::GroupsRead)?;
        let mut groups = self.directory.groups()?;
        for pk in call.query.all("members_by_pk") {
            groups.retain(|group| group.users.iter().any(|user| user.to_string() == pk));
        }
        for username in call.query.all("members_by_username") {
            let user = self.directory.by_login(username)?.filter(|user| user.username == username);
            groups.retain(|group| user.as_ref().is_some_and(|user| group.users.contains(&user.pk)));
        }
        let mut groups: Vec<Value> = groups.iter().map(shown).collect();
        call.query.filter(&mut groups, &["pk", "name", "is_superuser", "parent"])?;
        call.query.answer(groups, &["name"])
    }

    async fn create_group(&self, call: &Call<'_>) -> Result<Response, Failure> {
        call.need(Scope::GroupsWrite)?;
        let wanted: Wanted = call.body()?;
        let Some(name) = wanted.name else {
            return Err(Failure::field("name", "This field is required."));
        };
        let new = NewGroup {
            name,
            is_superuser: wanted.is_superuser.unwrap_or_default(),
            parent: wanted.parent.wanted(),
            users: wanted.users.unwrap_or_default(),
            attributes: wanted.attributes.unwrap_or_default(),
        };
        let group = self.directory.create_group(new, &call.actor()).await?;
        Ok(web::private_json(StatusCode::CREATED, &shown(&group)))
    }

    async fn one_group(&self, call: &Call<'_>, pk: &str) -> Result<Response, Failure> {
        match *call.method() {
            Method::GET => {
                call.need(Scope::GroupsRead)?;
                Ok(web::private_json(StatusCode::OK, &shown(&self.group(pk)?)))
            }
            Method::PUT | Method::PATCH => {
                call.need(Scope::GroupsWrite)?;
                let wanted: Wanted = call.body()?;
                let group = self.group(pk)?;
                if *call.method() == Method::PUT && wanted.name.is_none() {
                    return Err(Failure::field("name", "This field is required."));
                }
                let change = GroupChange {
                    name: wanted.name,
                    is_superuser: wanted.is_superuser,
                    parent: wanted.parent,
                    users: wanted.users,
                    attributes: wanted.attributes,
                };
                let group = self.directory.change_group(&group.pk, change, &call.actor()).await?;
                Ok(web::private_json(StatusCode::OK, &shown(&group)))
            }
            Method::DELETE => {
                call.need(Scope::GroupsWrite)?;
                let group = self.group(pk)?;
                self.directory.delete_group(&group.pk, &call.actor()).await?;
                Ok(web::empty(StatusCode::NO_CONTENT))
            }
            _ => Err(call.not_allowed()),
        }
    }

    /// By identifier only: a path with a name would change its meaning with a rename.
    fn group(&self, pk: &str) -> Result<Group, Failure> {
        self.directory.group(pk)?.filter(|group| group.pk == pk).ok_or(Failure::NotFound)
    }
}

fn shown(group: &Group) -> Value {
    json!({
        "pk": group.pk,
        "name": group.name,
        "is_superuser": group.is_superuser,
        "parent": group.parent,
        "users": group.users,
        "attributes": group.attributes,
    })
}

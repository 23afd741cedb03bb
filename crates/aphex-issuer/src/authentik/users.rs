//! `core/users/`.

use http::{Method, StatusCode};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::list::boolean;
use super::{Authentik, Call};
use crate::directory::{Group, Kind, NewGroup, NewToken, NewUser, Scope, User, UserChange};
use crate::web::{self, Response};

/// A user as clients send it; what is left out stays, or is the usual.
#[derive(Deserialize)]
struct Wanted {
    username: Option<String>,
    name: Option<String>,
    email: Option<String>,
    email_verified: Option<bool>,
    is_active: Option<bool>,
    groups: Option<Vec<String>>,
    attributes: Option<Map<String, Value>>,
    #[serde(rename = "type")]
    kind: Option<WantedKind>,
}

impl Wanted {
    /// Whether it changes who may log in as the user, or under what name.
    fn is_of_the_account(&self, user: &User) -> bool {
        let other = |wanted: &Option<String>, now: &String| wanted.as_ref().is_some_and(|it| it != now);
        other(&self.username, &user.username)
            || other(&self.email, &user.email)
            || self.email_verified.is_some_and(|verified| verified != user.email_verified)
            || self.is_active.is_some_and(|active| active != user.active)
    }
}

/// Authentik's kinds, of which people are told apart from programs here.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WantedKind {
    Internal,
    External,
    ServiceAccount,
    InternalServiceAccount,
}

#[derive(Deserialize)]
struct Password {
    password: String,
}

#[derive(Deserialize)]
struct ServiceAccount {
    name: String,
    #[serde(default)]
    create_group: bool,
    #[serde(default)]
    expiring: bool,
    expires: Option<Timestamp>,
    #[serde(default)]
    scopes: Vec<String>,
}

impl Authentik {
    pub(super) async fn users(&self, call: &Call<'_>, rest: &[&str]) -> Result<Response, Failure> {
        match rest {
            [] => match *call.method() {
                Method::GET => self.list_users(call),
                Method::POST => self.create_user(call).await,
                _ => Err(call.not_allowed()),
            },
            ["me"] if *call.method() == Method::GET => {
                let user = self.shown_user(&call.principal.user)?;
                Ok(web::private_json(StatusCode::OK, &json!({ "user": user })))
            }
            ["service_account"] if *call.method() == Method::POST => self.create_service_account(call).await,
            [pk] => self.one_user(call, pk).await,
            [pk, "set_password"] if *call.method() == Method::POST => {
                call.need(Scope::UsersWrite)?;
                let wanted: Password = call.body()?;
                let user = self.user(pk)?;
                call.need_of(&user)?;
                let password = SecretString::from(wanted.password);
                self.directory.set_password(&user.uid, &password, &call.actor()).await?;
                Ok(web::empty(StatusCode::NO_CONTENT))
            }
            [_, "set_password"] => Err(call.not_allowed()),
            _ => Err(Failure::NotFound),
        }
    }

    fn list_users(&self, call: &Call<'_>) -> Result<Response, Failure> {
        call.need(Scope::UsersRead)?;
        let groups = self.directory.groups()?;
        let mut users = self.directory.users()?;
        for name in call.query.all("groups_by_name") {
            users.retain(|user| user.groups.iter().any(|group| group == name));
        }
        for pk in call.query.all("groups_by_pk") {
            let members = groups.iter().find(|group| group.pk == pk).map_or(&[][..], |group| &group.users);
            users.retain(|user| members.contains(&user.pk));
        }
        if let Some(wanted) = call.query.get("is_superuser") {
            let wanted = boolean("is_superuser", wanted)?;
            users.retain(|user| is_superuser(user, &groups) == wanted);
        }
        let mut users: Vec<Value> = users.iter().map(|user| shown(user, &groups)).collect();
        call.query.filter(&mut users, &["pk", "uid", "username", "name", "email", "is_active", "type"])?;
        call.query.answer(users, &["username", "name", "email", "uid"])
    }

    async fn create_user(&self, call: &Call<'_>) -> Result<Response, Failure> {
        call.need(Scope::UsersWrite)?;
        let wanted: Wanted = call.body()?;
        if wanted.groups.is_some() {
            call.need(Scope::GroupsWrite)?;
        }
        let Some(username) = wanted.username else {
            return Err(Failure::field("username", "This field is required."));
        };
        let new = NewUser {
            username,
            name: wanted.name.unwrap_or_default(),
            email: wanted.email.unwrap_or_default(),
            // Whoever may create users vouches for their addresses.
            email_verified: wanted.email_verified.unwrap_or(true),
            active: wanted.is_active.unwrap_or(true),
            kind: wanted.kind.map_or(Kind::Internal, Kind::from),
            groups: wanted.groups.unwrap_or_default(),
            password: None,
            attributes: wanted.attributes.unwrap_or_default(),
        };
        let user = self.directory.create_user(new, &call.actor()).await?;
        Ok(web::private_json(StatusCode::CREATED, &self.shown_user(&user)?))
    }

    async fn one_user(&self, call: &Call<'_>, pk: &str) -> Result<Response, Failure> {
        match *call.method() {
            Method::GET => {
                call.need(Scope::UsersRead)?;
                Ok(web::private_json(StatusCode::OK, &self.shown_user(&self.user(pk)?)?))
            }
            Method::PUT | Method::PATCH => self.change_user(call, pk).await,
            Method::DELETE => {
                call.need(Scope::UsersWrite)?;
                let user = self.user(pk)?;
                call.need_of(&user)?;
                self.directory.delete_user(&user.uid, &call.actor()).await?;
                Ok(web::empty(StatusCode::NO_CONTENT))
            }
            _ => Err(call.not_allowed()),
        }
    }

    async fn change_user(&self, call: &Call<'_>, pk: &str) -> Result<Response, Failure> {
        call.need(Scope::UsersWrite)?;
        let wanted: Wanted = call.body()?;
        if wanted.groups.is_some() {
            call.need(Scope::GroupsWrite)?;
        }
        let user = self.user(pk)?;
        if wanted.is_of_the_account(&user) {
            call.need_of(&user)?;
        }
        if *call.method() == Method::PUT && wanted.username.is_none() {
            return Err(Failure::field("username", "This field is required."));
        }
        if wanted.kind.is_some_and(|kind| Kind::from(kind) != user.kind) {
            return Err(Failure::field("type", "Cannot be changed; create another user."));
        }
        let change = UserChange {
            username: wanted.username,
            name: wanted.name,
            email: wanted.email,
            email_verified: wanted.email_verified,
            active: wanted.is_active,
            groups: wanted.groups,
            attributes: wanted.attributes,
        };
        let user = self.directory.change_user(&user.uid, change, &call.actor()).await?;
        Ok(web::private_json(StatusCode::OK, &self.shown_user(&user)?))
    }

    /// A user without a password and with a first token, which is in the answer and nowhere else.
    async fn create_service_account(&self, call: &Call<'_>) -> Result<Response, Failure> {
        call.need(Scope::UsersWrite)?;
        call.need(Scope::TokensWrite)?;
        let wanted: ServiceAccount = call.body()?;
        if wanted.create_group {
            call.need(Scope::GroupsWrite)?;
        }
        let token = NewToken {
            identifier: format!("service-account-{}-token", wanted.name),
            description: String::new(),
            scopes: call.grantable(&wanted.scopes)?,
            expires: wanted.expires.filter(|_| wanted.expiring),
        };
        let by = call.actor();
        let new = NewUser {
            username: wanted.name.clone(),
            active: true,
            kind: Kind::ServiceAccount,
            ..NewUser::default()
        };
        let user = self.directory.create_user(new, &by).await?;
        let made = self.complete(&user, token, wanted.create_group, call).await;
        if made.is_err() {
            // Half of what was asked for would only be in the way of the next try.
            self.directory.delete_user(&user.uid, &by).await?;
        }
        made
    }

    async fn complete(
        &self,
        user: &User,
        token: NewToken,
        with_group: bool,
        call: &Call<'_>,
    ) -> Result<Response, Failure> {
        let (_, secret) = self.directory.create_token(&user.uid, token, &call.actor()).await?;
        let mut body = json!({
            "username": user.username,
            "token": secret.expose_secret(),
            "user_uid": user.uid,
            "user_pk": user.pk,
        });
        if with_group {
            let new = NewGroup { name: user.username.clone(), users: vec![user.pk], ..NewGroup::default() };
            body["group_pk"] = json!(self.directory.create_group(new, &call.actor()).await?.pk);
        }
        Ok(web::private_json(StatusCode::OK, &body))
    }

    fn user(&self, pk: &str) -> Result<User, Failure> {
        let pk = pk.parse().map_err(|_| Failure::NotFound)?;
        self.directory.by_pk(pk)?.ok_or(Failure::NotFound)
    }

    fn shown_user(&self, user: &User) -> Result<Value, Failure> {
        Ok(shown(user, &self.directory.groups()?))
    }
}

impl From<WantedKind> for Kind {
    fn from(kind: WantedKind) -> Self {
        match kind {
            WantedKind::Internal | WantedKind::External => Self::Internal,
            WantedKind::ServiceAccount | WantedKind::InternalServiceAccount => Self::ServiceAccount,
        }
    }
}

fn is_superuser(user: &User, groups: &[Group]) -> bool {
    groups.iter().any(|group| group.is_superuser && group.users.contains(&user.pk))
}

fn shown(user: &User, groups: &[Group]) -> Value {
    json!({
        "pk": user.pk,
        "username": user.username,
        "name": user.name,
        "is_active": user.active,
        "last_login": user.last_login,
        "date_joined": user.created,
        "email": user.email,
        "email_verified": user.email_verified,
        "groups": user.groups,
        "uid": user.uid,
        "type": user.kind,
        "is_superuser": is_superuser(user, groups),
        "has_password": user.has_password,
        "upstream": user.upstream,
        "attributes": user.attributes,
    })
}

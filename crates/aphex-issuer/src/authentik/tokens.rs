//! `core/tokens/`: bearer tokens. A key is in the answer to its creation and in no other.

use http::{Method, StatusCode};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::{Authentik, Call};
use crate::directory::{ApiToken, NewToken, Scope, User};
use crate::web::{self, Response};

#[derive(Deserialize)]
struct Wanted {
    identifier: String,
    user: Option<i64>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    expiring: bool,
    expires: Option<Timestamp>,
    #[serde(default)]
    scopes: Vec<String>,
}

impl Authentik {
    pub(super) async fn tokens(&self, call: &Call<'_>, rest: &[&str]) -> Result<Response, Failure> {
        match rest {
            [] => match *call.method() {
                Method::GET => {
                    call.need(Scope::TokensRead)?;
                    let users = self.directory.users()?;
                    let tokens = self.directory.tokens()?;
                    let mut tokens: Vec<Value> = tokens.iter().map(|token| shown(token, &users)).collect();
                    call.query.filter(&mut tokens, &["identifier", "description", "expiring", "user"])?;
                    call.query.answer(tokens, &["identifier", "description"])
                }
                Method::POST => self.create_token(call).await,
                _ => Err(call.not_allowed()),
            },
            [identifier] => match *call.method() {
                Method::GET => {
                    call.need(Scope::TokensRead)?;
                    let token = self.directory.tokens()?.into_iter().find(|t| t.identifier == *identifier);
                    let token = token.ok_or(Failure::NotFound)?;
                    Ok(web::private_json(StatusCode::OK, &shown(&token, &self.directory.users()?)))
                }
                Method::DELETE => {
                    call.need(Scope::TokensWrite)?;
                    self.directory.delete_token(identifier, &call.actor()).await?;
                    Ok(web::empty(StatusCode::NO_CONTENT))
                }
                _ => Err(call.not_allowed()),
            },
            _ => Err(Failure::NotFound),
        }
    }

    async fn create_token(&self, call: &Call<'_>) -> Result<Response, Failure> {
        call.need(Scope::TokensWrite)?;
        let wanted: Wanted = call.body()?;
        let uid = match wanted.user {
            Some(pk) => match self.directory.by_pk(pk)? {
                Some(user) => user.uid,
                None => return Err(Failure::field("user", format!("There is no user {pk}."))),
            },
            None => call.principal.user.uid.clone(),
        };
        let new = NewToken {
            identifier: wanted.identifier,
            description: wanted.description,
            scopes: call.grantable(&wanted.scopes)?,
            expires: wanted.expires.filter(|_| wanted.expiring),
        };
        let (token, secret) = self.directory.create_token(&uid, new, &call.actor()).await?;
        let mut body = shown(&token, &self.directory.users()?);
        body["key"] = json!(secret.expose_secret());
        Ok(web::private_json(StatusCode::CREATED, &body))
    }
}

fn shown(token: &ApiToken, users: &[User]) -> Value {
    json!({
        "identifier": token.identifier,
        "intent": "api",
        "user": users.iter().find(|user| user.uid == token.uid).map(|user| user.pk),
        "description": token.description,
        "expiring": token.expires.is_some(),
        "expires": token.expires,
        "scopes": token.scopes,
    })
}

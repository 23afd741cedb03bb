//! Logging out: by a form of ours, or because an application sends the browser (OpenID Connect RP-Initiated Logout 1.0).
//!
//! ```text
//! application ─ id_token_hint, post_logout_redirect_uri ─► /logout ─► whose login? ─► the hint's: ended at once
//!                                                                          └► another's, or no hint: asked first
//! ```
//!
//! The browser goes on only to an address that the application has among its own, character by character. Tokens that
//! applications hold stay: they end by revocation, or with the person's next password.

use std::borrow::Cow;

use http::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::audit::{Action, Actor};
use crate::claims::ID_TOKEN;
use crate::forms;
use crate::issuer::Issuer;
use crate::oauth::{Error, Parameters};
use crate::pages::{self, Leave};
use crate::web::{self, Request, Response};

/// The page's path, and that of the endpoint.
pub(crate) const PATH: &str = "/logout";
/// What goes on to an application is carried in an address.
const MOST_CARRIED: usize = 4096;

const OUT: &str = "Applications that you logged in to may keep you logged in until their own logout.";

/// An application's proof of who is to be logged out: an ID token, however old.
#[derive(Deserialize)]
struct Hint {
    iss: String,
    aud: Audience,
    azp: Option<String>,
    sub: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Hint {
    /// The application that asked for it.
    fn client(&self) -> Option<&str> {
        match (&self.azp, &self.aud) {
            (Some(client), _) | (None, Audience::One(client)) => Some(client),
            (None, Audience::Many(all)) => all.first().map(String::as_str),
        }
    }
}

/// Who is to be logged out, and where the browser goes then.
#[derive(Default)]
struct Wish {
    /// The application.
    client: Option<(String, String)>,
    /// The person that the application knows.
    subject: Option<String>,
    back: Option<String>,
    state: Option<String>,
}

impl Wish {
    fn read(issuer: &Issuer, parameters: &Parameters) -> Result<Self, Cow<'static, str>> {
        let hint = match parameters.get("id_token_hint") {
            None => None,
            Some(token) => Some(issuer.keys.verify::<Hint>(ID_TOKEN, token).ok_or(
                "The application's proof of who is to be logged out is not one of this issuer, or far too old.",
            )?),
        };
        let id = match (&hint, parameters.get("client_id")) {
            (Some(hint), Some(id)) if hint.client() != Some(id) => {
                return Err("The application brought the proof of another application.".into());
            }
            (Some(hint), _) => hint.client().map(str::to_owned),
            (None, id) => id.map(str::to_owned),
        };
        let client = match id {
            None => None,
            Some(id) => Some(
                issuer
                    .client(&id)
                    .map_err(|error| error.tell().1.to_owned())?
                    .ok_or("The application is not known here.")?,
            ),
        };
        if let (Some(hint), Some(client)) = (&hint, &client)
            && hint.iss != client.issuer
        {
            return Err("The application's proof of who is to be logged out is another issuer's.".into());
        }
        let back = parameters.get("post_logout_redirect_uri").map(str::to_owned);
        let knows = |uri: &String| {
            client.as_ref().is_some_and(|client| client.post_logout_redirect_uris.contains(uri))
        };
        if back.as_ref().is_some_and(|uri| !knows(uri)) {
            return Err("The application wants to go on to a place that is not among its own.".into());
        }
        let state = parameters.get("state").map(str::to_owned);
        if state.as_ref().is_some_and(|state| state.len() > MOST_CARRIED) {
            return Err("The application's state may have 4096 bytes at most.".into());
        }
        Ok(Self {
            client: client.map(|client| (client.id.clone(), client.name.clone())),
            subject: hint.map(|hint| hint.sub),
            back,
            state,
        })
    }

    /// The page that asks, with what it needs to go on.
    fn leave(&self) -> Leave<'_> {
        let (id, name) = self.client.as_ref().map(|(id, name)| (id.as_str(), name.as_str())).unzip();
        Leave { client_id: id, client: name, back: self.back.as_deref(), state: self.state.as_deref() }
    }

    /// Where the browser goes once nobody is logged in any more.
    fn after(&self, method: &Method, issuer: &Issuer) -> Response {
        let Some(mut url) = self.back.as_deref().and_then(|uri| Url::parse(uri).ok()) else {
            return pages::done(issuer, StatusCode::OK, "You are logged out", OUT);
        };
        if let Some(state) = &self.state {
            url.query_pairs_mut().append_pair("state", state);
        }
        web::redirect(method, url.as_str())
    }
}

/// Answers `GET /logout`, and `POST /logout` with the same as a form or with a form of ours.
pub(crate) async fn answer(issuer: &Issuer, request: &Request) -> Response {
    let post = request.method == Method::POST;
    let text = if post { request.body.as_ref() } else { request.query.as_bytes() };
    let parameters = match Parameters::parse(text) {
        Ok(parameters) => parameters,
        Err(error) => return pages::problem(issuer, StatusCode::BAD_REQUEST, error.tell().1),
    };
    if post && parameters.get(forms::FIELD).is_none() {
        // A form of another site comes without our cookie (SameSite=Lax); the same by GET comes with it.
        let again = format!("{}{PATH}?{}", issuer.settings.url.base_path(), parameters.to_query());
        return web::redirect(&request.method, &again);
    }
    let wish = match Wish::read(issuer, &parameters) {
        Ok(wish) => wish,
        Err(problem) => return pages::problem(issuer, StatusCode::BAD_REQUEST, &problem),
    };
    let agreed = post && issuer.forms.check(issuer, request, &parameters);
    match leave(issuer, request, &wish, agreed).await {
        Ok(response) => response,
        Err(error) => pages::failure(issuer, &error),
    }
}

async fn leave(issuer: &Issuer, request: &Request, wish: &Wish, agreed: bool) -> Result<Response, Error> {
    let Some(login) = issuer.login_of(request)? else { return Ok(wish.after(&request.method, issuer)) };
    // Without a proof that the application knows this very person, any page could end logins (section 2).
    if !agreed && wish.subject.as_ref() != Some(&login.user.uid) {
        return Ok(pages::logout(issuer, request, &login.user, &wish.leave()));
    }
    let cookie = issuer.end_session(request).await?;
    let by = Actor::user(&login.user.username, Some(request.source));
    let at = wish.client.as_ref().map(|(id, _)| id.as_str()).unwrap_or_default();
    issuer.directory.audit().record(Action::Logout, &by, "", at);
    Ok(web::with_cookie(wish.after(&request.method, issuer), &cookie))
}

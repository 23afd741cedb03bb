//! What people do with their own account: a new password, and where they are logged in.
//!
//! Both need a login in this browser; a new password needs the old one too, and counts guesses at it like the login page.

mod agent;

use http::StatusCode;
use secrecy::SecretString;

use crate::audit::{Action, Actor};
use crate::connector::Manner;
use crate::directory;
use crate::grants::Grant;
use crate::issuer::Issuer;
use crate::oauth::{Error, Parameters};
use crate::pages::{self, Asks, Place};
use crate::sessions::{Login, Session};
use crate::throttle::Subject;
use crate::web::{self, Request, Response};

/// Where people change their password.
pub(crate) const PASSWORD: &str = "/password";
/// Where people see and end their logins.
pub(crate) const SESSIONS: &str = "/sessions";

const STALE: &str = "This page was open for too long. Please try once more.";
const WRONG: &str = "Your present password is another one.";
const ELSEWHERE: &str = "Your password is not kept here: change it where you log in.";

/// Who is logged in; else the answer that lets them log in and come back.
async fn logged_in(issuer: &Issuer, request: &Request, path: &'static str) -> Result<Login, Response> {
    match issuer.login_of(request) {
        Ok(Some(login)) => Ok(login),
        Ok(None) => Err(match &issuer.connector {
            Some(connector) => connector.begin(issuer, request, path, Manner::default()).await,
            None => pages::login(issuer, request, &Asks { next: path, ..Asks::nothing() }, None),
        }),
        Err(error) => Err(pages::failure(issuer, &error)),
    }
}

/// Answers `GET /password`.
pub(crate) async fn show_password(issuer: &Issuer, request: &Request) -> Response {
    match logged_in(issuer, request, PASSWORD).await {
        Ok(login) if !login.user.has_password => pages::problem(issuer, StatusCode::NOT_FOUND, ELSEWHERE),
        Ok(login) => pages::password(issuer, request, &login.user, None),
        Err(response) => response,
    }
}

/// Answers `POST /password`.
pub(crate) async fn change_password(issuer: &Issuer, request: &Request) -> Response {
    let login = match logged_in(issuer, request, PASSWORD).await {
        Ok(login) => login,
        Err(response) => return response,
    };
    let form = Parameters::parse(&request.body).unwrap_or_default();
    let again =
        |status, problem: &str| pages::password(issuer, request, &login.user, Some((status, problem)));
    if !issuer.forms.check(issuer, request, &form) {
        return again(StatusCode::FORBIDDEN, STALE);
    }
    let field = |name| form.get(name).unwrap_or_default();
    if field("password") != field("repeated") {
        return again(StatusCode::BAD_REQUEST, "The two new passwords are not the same.");
    }
    let subjects = [Subject::account(&login.user.username), Subject::source(request.source)];
    if let Err(wait) = issuer.throttle.attempt(&subjects, issuer.clock.now()) {
        return pages::wait(issuer, wait);
    }
    let present = SecretString::from(field("current"));
    match issuer.directory.verify_password(&login.user.username, &present).await {
        Ok(Some(user)) if user.uid == login.user.uid => issuer.throttle.succeeded(&subjects),
        Ok(_) => {
            let by = Actor::user(&login.user.username, Some(request.source));
            issuer.directory.audit().record(
                Action::LoginRefused,
                &by,
                &login.user.username,
                "present password",
            );
            return again(StatusCode::UNAUTHORIZED, WRONG);
        }
        Err(error) => {
            issuer.throttle.not_tried(&subjects);
            return refused(issuer, error, again);
        }
    }
    let by = Actor::user(&login.user.username, Some(request.source));
    match issuer.directory.set_password(&login.user.uid, &SecretString::from(field("password")), &by).await {
        Ok(user) => match issuer.begin_session(user, request).await {
            Ok((_, cookie)) => web::with_cookie(pages::password_changed(issuer), &cookie),
            Err(error) => pages::failure(issuer, &error),
        },
        Err(error) => refused(issuer, error, again),
    }
}

fn refused(
    issuer: &Issuer,
    error: directory::Error,
    again: impl FnOnce(StatusCode, &str) -> Response,
) -> Response {
    match error {
        directory::Error::Invalid { problem, .. } => again(StatusCode::BAD_REQUEST, &problem),
        directory::Error::Busy => {
            again(StatusCode::TOO_MANY_REQUESTS, "The issuer is busy. Try again in a moment.")
        }
        other => pages::failure(issuer, &Error::failed("change a password")(other)),
    }
}

/// Answers `GET /sessions`.
pub(crate) async fn show_sessions(issuer: &Issuer, request: &Request) -> Response {
    match logged_in(issuer, request, SESSIONS).await {
        Ok(login) => list(issuer, request, &login, None),
        Err(response) => response,
    }
}

fn list(issuer: &Issuer, request: &Request, login: &Login, told: Option<&str>) -> Response {
    match places(issuer, request, login) {
        Ok(places) => pages::sessions(issuer, request, &places, told),
        Err(error) => pages::failure(issuer, &error),
    }
}

/// Answers `POST /sessions`.
pub(crate) async fn end_session(issuer: &Issuer, request: &Request) -> Response {
    let login = match logged_in(issuer, request, SESSIONS).await {
        Ok(login) => login,
        Err(response) => return response,
    };
    let form = Parameters::parse(&request.body).unwrap_or_default();
    if !issuer.forms.check(issuer, request, &form) {
        return list(issuer, request, &login, Some(STALE));
    }
    let ended = match form.get("end").and_then(|end| end.split_once('.')) {
        Some(("browser", id)) => end_browser(issuer, request, &login, id).await,
        Some(("application", id)) => end_application(issuer, request, &login, id).await,
        Some(("all", "others")) => end_others(issuer, request, &login).await,
        _ => Ok(None),
    };
    match ended {
        Ok(Some(cookie)) => web::with_cookie(back(issuer, request), &cookie),
        Ok(None) => back(issuer, request),
        Err(error) => pages::failure(issuer, &error),
    }
}

/// The list again, as it is now.
fn back(issuer: &Issuer, request: &Request) -> Response {
    web::redirect(&request.method, &format!("{}{SESSIONS}", issuer.settings.url.base_path()))
}

/// Ends a login in a browser; gives a cookie where it is this one.
async fn end_browser(
    issuer: &Issuer,
    request: &Request,
    login: &Login,
    id: &str,
) -> Result<Option<String>, Error> {
    let found = issuer.storage.get::<Session>(id).map_err(Error::failed("read a session"))?;
    // Another's is not there, as far as this person is told.
    if found.is_none_or(|session| session.value.uid != login.user.uid) {
        return Ok(None);
    }
    let by = Actor::user(&login.user.username, Some(request.source));
    issuer.directory.audit().record(Action::Logout, &by, "", "from the list of sessions");
    if issuer.session_id(request).as_deref() == Some(id) {
        return issuer.end_session(request).await.map(Some);
    }
    issuer.storage.delete::<Session>(id).await.map_err(Error::failed("end a session"))?;
    Ok(None)
}

/// Takes back what an application was given.
async fn end_application(
    issuer: &Issuer,
    request: &Request,
    login: &Login,
    id: &str,
) -> Result<Option<String>, Error> {
    let Some(grant) = issuer.grant(id)?.filter(|grant| grant.value.uid == login.user.uid) else {
        return Ok(None);
    };
    issuer.revoke(&grant.id).await?;
    let by = Actor::user(&login.user.username, Some(request.source));
    issuer.directory.audit().record(Action::TokensRevoked, &by, &grant.value.client_id, "");
    Ok(None)
}

/// Ends everything but this browser's login, which goes on as a new one.
async fn end_others(issuer: &Issuer, request: &Request, login: &Login) -> Result<Option<String>, Error> {
    let by = Actor::user(&login.user.username, Some(request.source));
    let user = issuer.directory.end_sessions(&login.user.uid, &by).await;
    let user = user.map_err(Error::failed("end sessions"))?;
    let (_, cookie) = issuer.continue_session(user, login.authenticated, request).await?;
    Ok(Some(cookie))
}

/// Everything that is logged in as this person, the newest first, this browser before all.
///
/// Looks at every session and grant there is: some thousands take milliseconds, and who asks has logged in.
fn places(issuer: &Issuer, request: &Request, login: &Login) -> Result<Vec<Place>, Error> {
    let (now, user) = (issuer.clock.now(), &login.user);
    let this = issuer.session_id(request);
    let sessions = issuer.storage.list::<Session>().map_err(Error::failed("read sessions"))?;
    let own =
        |uid: &str, epoch: u64, expires| uid == user.uid && epoch == user.session_epoch && expires > now;
    let mut places: Vec<Place> = sessions
        .into_iter()
        .filter(|stored| own(&stored.value.uid, stored.value.epoch, stored.value.expires))
        .map(|stored| Place {
            current: Some(&stored.id) == this.as_ref(),
            what: agent::described(stored.value.agent.as_deref().unwrap_or_default()),
            since: stored.value.authenticated,
            source: stored.value.source,
            used: None,
            end: format!("browser.{}", stored.id),
        })
        .collect();
    let grants = issuer.storage.list::<Grant>().map_err(Error::failed("read grants"))?;
    for stored in
        grants.into_iter().filter(|stored| own(&stored.value.uid, stored.value.epoch, stored.value.expires))
    {
        let client = issuer.client(&stored.value.client_id)?;
        places.push(Place {
            current: false,
            what: client.map_or_else(|| stored.value.client_id.clone(), |client| client.name.clone()),
            since: stored.value.authenticated,
            source: None,
            used: stored.value.refresh.as_ref().map(|refresh| refresh.rotated),
            end: format!("application.{}", stored.id),
        });
    }
    places.sort_by_key(|place| (!place.current, std::cmp::Reverse(place.since)));
    Ok(places)
}

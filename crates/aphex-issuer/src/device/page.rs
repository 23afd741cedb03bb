//! The page where a person lets a device in, or not.

use http::StatusCode;
use std::time::Duration;

use super::{Answer, DeviceGrant, UserCode, user_code_id};
use crate::connector::Manner;
use crate::issuer::Issuer;
use crate::oauth::{Error, Parameters};
use crate::pages::{self, Asks, Confirm};
use crate::sessions::Login;
use crate::storage::{StorageError, Stored};
use crate::throttle::Subject;
use crate::web::{Request, Response};

/// The page's path.
pub(crate) const PATH: &str = "/device";

const UNKNOWN: &str = "This code is not known. It may have expired, or been used; look at your device again.";

/// Answers `GET /device`: log in, type the code, then see who asks. Nothing is decided by a GET.
pub(crate) async fn show(issuer: &Issuer, request: &Request) -> Response {
    let typed = Parameters::parse(request.query.as_bytes()).unwrap_or_default();
    let typed = typed.get("user_code");
    let login = match issuer.login_of(request) {
        Ok(login) => login,
        Err(error) => return pages::failure(issuer, &error),
    };
    match login {
        None => ask_to_log_in(issuer, request, typed).await,
        Some(login) => {
            confirm(issuer, request, &login, typed).unwrap_or_else(|error| pages::failure(issuer, &error))
        }
    }
}

async fn ask_to_log_in(issuer: &Issuer, request: &Request, typed: Option<&str>) -> Response {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(typed.map(|code| ("user_code", code)))
        .finish();
    let joint = if query.is_empty() { "" } else { "?" };
    let next = format!("{PATH}{joint}{query}");
    if let Some(connector) = &issuer.connector {
        return connector.begin(issuer, request, &next, Manner::default()).await;
    }
    let asks = Asks { next: &next, client: Some("a device"), redirect: None, hint: None };
    pages::login(issuer, request, &asks, None)
}

fn confirm(
    issuer: &Issuer,
    request: &Request,
    login: &Login,
    typed: Option<&str>,
) -> Result<Response, Error> {
    let Some(typed) = typed else { return Ok(pages::device_code(issuer, request, None)) };
    let device = match find(issuer, request, typed)? {
        Found::Device(device) => device,
        Found::Nothing => return Ok(pages::device_code(issuer, request, Some(UNKNOWN))),
        Found::Wait(wait) => return Ok(pages::wait(issuer, wait)),
    };
    let client = issuer.client(&device.value.client_id)?;
    let name = client.map_or_else(|| device.value.client_id.clone(), |client| client.name.clone());
    Ok(pages::device_confirm(
        issuer,
        request,
        &Confirm { client: &name, code: typed, who: &login.user.email },
    ))
}

/// Answers `POST /device`.
pub(crate) async fn decide(issuer: &Issuer, request: &Request) -> Response {
    match answer(issuer, request).await {
        Ok(response) => response,
        Err(error) => pages::failure(issuer, &error),
    }
}

async fn answer(issuer: &Issuer, request: &Request) -> Result<Response, Error> {
    let form = Parameters::parse(&request.body)?;
    let typed = form.get("user_code").unwrap_or_default();
    let login = issuer.login_of(request)?;
    let (Some(login), true) = (login, issuer.forms.check(issuer, request, &form)) else {
        // Logged out meanwhile, or no form of ours: the page is shown once more.
        return Ok(show(issuer, request).await);
    };
    let allowed = match form.get("answer") {
        Some("allow") => true,
        Some("deny") => false,
        _ => return confirm(issuer, request, &login, Some(typed)),
    };
    let mut device = match find(issuer, request, typed)? {
        Found::Device(device) => device,
        Found::Nothing => return Ok(pages::device_code(issuer, request, Some(UNKNOWN))),
        Found::Wait(wait) => return Ok(pages::wait(issuer, wait)),
    };
    device.value.answer = if allowed {
        let Login { user, authenticated } = login;
        Answer::Allowed { uid: user.uid, epoch: user.session_epoch, authenticated }
    } else {
        Answer::Denied
    };
    let mut transaction = issuer.storage.transaction();
    transaction.replace(&device).map_err(Error::failed("keep what a person said of a device"))?;
    transaction.delete::<UserCode>(&user_code_id(typed).unwrap_or_default());
    match transaction.commit().await {
        Ok(_) => {}
        Err(StorageError::Conflict { .. }) => return Ok(pages::device_code(issuer, request, Some(UNKNOWN))),
        Err(error) => return Err(Error::failed("keep what a person said of a device")(error)),
    }
    let (title, text) = if allowed {
        ("You are logged in on your device", "You can close this page and go on there.")
    } else {
        ("The device stays out", "It got nothing. You can close this page.")
    };
    Ok(pages::done(issuer, StatusCode::OK, title, text))
}

enum Found {
    Device(Stored<DeviceGrant>),
    Nothing,
    Wait(Duration),
}

/// The device that waits under a user code. Wrong codes count against whoever types them.
fn find(issuer: &Issuer, request: &Request, typed: &str) -> Result<Found, Error> {
    let (source, now) = ([Subject::source(request.source)], issuer.clock.now());
    if let Err(wait) = issuer.throttle.attempt(&source, now) {
        return Ok(Found::Wait(wait));
    }
    let Some(id) = user_code_id(typed) else { return Ok(Found::Nothing) };
    let read = Error::failed("read a device code");
    let Some(code) = issuer.storage.get::<UserCode>(&id).map_err(read)? else { return Ok(Found::Nothing) };
    let device =
        issuer.storage.get::<DeviceGrant>(&code.value.device).map_err(Error::failed("read a device code"))?;
    let waiting =
        |device: &Stored<DeviceGrant>| device.value.answer == Answer::Pending && device.value.expires > now;
    Ok(match device.filter(waiting) {
        Some(device) => {
            issuer.throttle.succeeded(&source);
            Found::Device(device)
        }
        None => Found::Nothing,
    })
}

//! The page behind the one-time link, where the first administrator is made.

use http::StatusCode;
use secrecy::SecretString;

use crate::directory::{self, NewAdministrator};
use crate::issuer::Issuer;
use crate::oauth::{Error, Parameters};
use crate::pages::{self, Administrator};
use crate::throttle::Subject;
use crate::web::{self, Request, Response};

/// The page's path.
pub(crate) const PATH: &str = "/setup";

const OVER: &str = "This link does not work any more: it was used, replaced or is too old. Start the issuer again for a new one.";

/// Answers `GET /setup?token=…`.
pub(crate) fn show(issuer: &Issuer, request: &Request) -> Response {
    let query = Parameters::parse(request.query.as_bytes()).unwrap_or_default();
    let token = query.get("token").unwrap_or_default();
    page(issuer, request, token, &Administrator::default(), None)
}

/// The form while the link works. Wrong links count against whoever brings them.
fn page(
    issuer: &Issuer,
    request: &Request,
    token: &str,
    typed: &Administrator<'_>,
    problem: Option<&str>,
) -> Response {
    let source = [Subject::source(request.source)];
    if let Err(wait) = issuer.throttle.attempt(&source, issuer.clock.now()) {
        return pages::wait(issuer, wait);
    }
    match issuer.directory.setup_link_works(&SecretString::from(token)) {
        Ok(true) => {
            issuer.throttle.succeeded(&source);
            pages::setup(issuer, request, token, typed, problem)
        }
        Ok(false) => pages::problem(issuer, StatusCode::NOT_FOUND, OVER),
        Err(error) => pages::failure(issuer, &Error::failed("look a set-up link up")(error)),
    }
}

/// Answers `POST /setup`.
pub(crate) async fn submit(issuer: &Issuer, request: &Request) -> Response {
    let form = Parameters::parse(&request.body).unwrap_or_default();
    let text = |name| form.get(name).map(str::trim).unwrap_or_default();
    let token = form.get("token").unwrap_or_default();
    let typed = Administrator { username: text("username"), name: text("name"), email: text("email") };
    let again = |problem: &str| page(issuer, request, token, &typed, Some(problem));
    if !issuer.forms.check(issuer, request, &form) {
        return again("This page was open for too long. Please try once more.");
    }
    let password = form.get("password").unwrap_or_default();
    if form.get("repeated").unwrap_or_default() != password {
        return again("The two passwords are not the same.");
    }
    let new = NewAdministrator {
        username: typed.username.to_owned(),
        name: typed.name.to_owned(),
        email: typed.email.to_owned(),
        password: SecretString::from(password),
    };
    let redeemed =
        issuer.directory.redeem_setup_link(&SecretString::from(token), new, Some(request.source)).await;
    match redeemed {
        Ok(user) => match issuer.begin_session(user, request).await {
            Ok((login, cookie)) => web::with_cookie(pages::welcome(issuer, &login.user), &cookie),
            Err(error) => pages::failure(issuer, &error),
        },
        Err(directory::Error::SetupLink) => pages::problem(issuer, StatusCode::NOT_FOUND, OVER),
        Err(error @ (directory::Error::Invalid { .. } | directory::Error::Busy)) => again(&error.to_string()),
        Err(error) => pages::failure(issuer, &Error::failed("make the first administrator")(error)),
    }
}

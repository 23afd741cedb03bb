//! Logging in with a password, and the page that says who one is.

use http::{Method, StatusCode};
use secrecy::SecretString;

use crate::account;
use crate::audit::{Action, Actor};
use crate::authorize;
use crate::device;
use crate::directory::{self, User};
use crate::issuer::Issuer;
use crate::logout;
use crate::oauth::{Error, Parameters};
use crate::pages::{self, Asks};
use crate::sessions::Login;
use crate::throttle::Subject;
use crate::web::{self, Request, Response};

/// Where the form is sent.
pub(crate) const PATH: &str = "/login";
/// Passwords are shorter; longer ones would only cost time.
const LONGEST: usize = 1024;

const WRONG: &str = "This e-mail address or username and this password do not belong together.";
const STALE: &str = "This page was open for too long. Please log in now.";

/// Answers `GET /`: who is logged in here.
pub(crate) fn home(issuer: &Issuer, request: &Request) -> Response {
    match issuer.login_of(request) {
        Ok(Some(login)) => pages::home(issuer, request, &login.user),
        Ok(None) => pages::login(issuer, request, &Asks::nothing(), None),
        Err(error) => pages::failure(issuer, &error),
    }
}

/// Answers `POST /login`.
pub(crate) async fn submit(issuer: &Issuer, request: &Request) -> Response {
    let form = Parameters::parse(&request.body).unwrap_or_default();
    let next = form.get("next").filter(|next| is_ours(next)).unwrap_or("/").to_owned();
    let hint = form.get("login").map(str::to_owned);
    let redirect = redirect_of(&next);
    let asks = Asks {
        next: &next,
        client: form.get("client"),
        redirect: redirect.as_deref(),
        hint: hint.as_deref(),
    };
    if !issuer.forms.check(issuer, request, &form) {
        return pages::login(issuer, request, &asks, Some((StatusCode::FORBIDDEN, STALE)));
    }
    match verify(issuer, request, &form).await {
        Ok(Verdict::Is(user)) => match issuer.begin_session(*user, request).await {
            Ok((login, cookie)) => web::with_cookie(go_on(issuer, request, &next, &login).await, &cookie),
            Err(error) => pages::failure(issuer, &error),
        },
        Ok(Verdict::Wrong) => pages::login(issuer, request, &asks, Some((StatusCode::UNAUTHORIZED, WRONG))),
        Ok(Verdict::Wait(seconds)) => pages::login_wait(issuer, request, &asks, seconds),
        Err(error) => pages::failure(issuer, &error),
    }
}

enum Verdict {
    Is(Box<User>),
    Wrong,
    /// Not looked at: so many seconds have to pass first.
    Wait(u64),
}

async fn verify(issuer: &Issuer, request: &Request, form: &Parameters) -> Result<Verdict, Error> {
    let (Some(name), Some(password)) = (form.get("login"), form.get("password")) else {
        return Ok(Verdict::Wrong);
    };
    if name.len() > LONGEST || password.len() > LONGEST {
        return Ok(Verdict::Wrong);
    }
    let subjects = [Subject::account(name), Subject::source(request.source)];
    if let Err(wait) = issuer.throttle.attempt(&subjects, issuer.clock.now()) {
        return Ok(Verdict::Wait(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)));
    }
    let by = Actor::anonymous(Some(request.source));
    let verified = match issuer.directory.verify_password(name, &SecretString::from(password)).await {
        Ok(user) => user,
        Err(directory::Error::Busy) => {
            issuer.throttle.not_tried(&subjects);
            return Ok(Verdict::Wait(1));
        }
        Err(error) => return Err(Error::failed("verify a password")(error)),
    };
    let Some(user) = verified else {
        // The name is in the log only when somebody has it: people type passwords into the wrong field.
        let known = issuer.directory.by_login(name).map_err(Error::failed("look a person up"))?;
        let known = known.map(|user| user.username).unwrap_or_default();
        issuer.directory.audit().record(Action::LoginRefused, &by, &known, "password");
        return Ok(Verdict::Wrong);
    };
    issuer.throttle.succeeded(&subjects);
    let recorded = issuer.directory.record_login(&user.uid, Some(request.source), "password").await;
    recorded.map_err(Error::failed("note a login"))?;
    Ok(Verdict::Is(Box::new(user)))
}

/// Whether a path may follow a login: one of the issuer's own pages, never another site.
fn is_ours(next: &str) -> bool {
    let path = next.split('?').next().unwrap_or_default();
    [authorize::PATH, device::PATH, logout::PATH, account::PASSWORD, account::SESSIONS, "/"].contains(&path)
}

/// Where the browser will be sent in the end, for the policy of the page that has the form.
fn redirect_of(next: &str) -> Option<String> {
    let (_, query) = next.split_once('?')?;
    Parameters::parse(query.as_bytes()).ok()?.get("redirect_uri").map(str::to_owned)
}

/// Goes on with what the login was for.
pub(crate) async fn go_on(issuer: &Issuer, request: &Request, next: &str, login: &Login) -> Response {
    if let Some(query) = next.strip_prefix(authorize::PATH).and_then(|rest| rest.strip_prefix('?'))
        && let Ok(parameters) = Parameters::parse(query.as_bytes())
    {
        return authorize::proceed(issuer, request, &parameters, Some(login)).await;
    }
    web::redirect(&Method::POST, &format!("{}{next}", issuer.settings.url.base_path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_our_own_pages_follows_a_login() {
        for good in
            ["/", "/auth?client_id=x", "/device", "/device?user_code=X", "/logout", "/password", "/sessions"]
        {
            assert!(is_ours(good), "{good}");
        }
        for wrong in [
            "",
            "//evil.example/auth",
            "/\\evil.example",
            "https://evil.example/auth",
            "auth",
            "/auth/../x",
            "/keys",
        ] {
            assert!(!is_ours(wrong), "{wrong}");
        }
    }
}

//! The pages people see: plain HTML with one style sheet, no script, nothing from elsewhere.
//!
//! Every text that is not written here goes through [`Text`], which escapes it. Fields carry the names by which
//! password managers know them (HTML, autofill detail tokens).

mod account;

use std::fmt;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use url::Url;

pub(crate) use self::account::{Leave, Place, home, logout, password, password_changed, sessions};
use crate::directory::User;
use crate::forms;
use crate::issuer::Issuer;
use crate::oauth::Error;
use crate::web::{self, Request, Response};

/// Where the style sheet is; its name changes with its content's version, so browsers may keep it.
pub(crate) const STYLE_PATH: &str = "/style-2.css";
const STYLE: &str = include_str!("pages/style.css");

/// A text inside HTML, between tags or in a quoted attribute.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => fmt::Write::write_char(f, other)?,
            }
        }
        Ok(())
    }
}

/// What a login is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asks<'a> {
    /// Where to go on.
    pub(crate) next: &'a str,
    /// The name of the application.
    pub(crate) client: Option<&'a str>,
    /// Where the browser will be sent in the end.
    pub(crate) redirect: Option<&'a str>,
    /// What the application, or the person before, typed as login.
    pub(crate) hint: Option<&'a str>,
}

impl Asks<'_> {
    /// A login for its own sake.
    pub(crate) fn nothing() -> Self {
        Self { next: "/", client: None, redirect: None, hint: None }
    }
}

/// A device that asks.
pub(crate) struct Confirm<'a> {
    pub(crate) client: &'a str,
    pub(crate) code: &'a str,
    pub(crate) who: &'a str,
}

/// What was typed of the first administrator.
#[derive(Default)]
pub(crate) struct Administrator<'a> {
    pub(crate) username: &'a str,
    pub(crate) name: &'a str,
    pub(crate) email: &'a str,
}

/// The login page; with a problem when it is shown again.
pub(crate) fn login(
    issuer: &Issuer,
    request: &Request,
    asks: &Asks<'_>,
    problem: Option<(StatusCode, &str)>,
) -> Response {
    let (status, alert) = match problem {
        Some((status, text)) => (status, alert(text)),
        None => (StatusCode::OK, String::new()),
    };
    let purpose = asks.client.map(|name| format!("<p>to go on to <strong>{}</strong></p>", Text(name)));
    let hint = asks.hint.unwrap_or_default();
    // The first field that is still empty has the cursor.
    let (first, second) = if hint.is_empty() { (" autofocus", "") } else { ("", " autofocus") };
    let fields = format!(
        "{alert}<input type=\"hidden\" name=\"next\" value=\"{next}\"><input type=\"hidden\" name=\"client\" value=\"{client}\">\
         <label for=\"login\">E-mail or username</label>\
         <input id=\"login\" name=\"login\" type=\"text\" inputmode=\"email\" autocomplete=\"username\" autocapitalize=\"none\" \
         autocorrect=\"off\" spellcheck=\"false\" maxlength=\"1024\" required value=\"{hint}\"{first}>\
         <label for=\"password\">Password</label>\
         <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" maxlength=\"1024\" required{second}>\
         <button type=\"submit\">Log in</button>",
        next = Text(asks.next),
        client = Text(asks.client.unwrap_or_default()),
        hint = Text(hint),
    );
    let page = Page {
        status,
        title: "Log in",
        body: purpose.unwrap_or_default(),
        form: Some(("/login", fields)),
        actions: actions(issuer, asks.redirect),
    };
    page.answer(issuer, Some(request))
}

/// The login page for somebody who has to wait.
pub(crate) fn login_wait(issuer: &Issuer, request: &Request, asks: &Asks<'_>, seconds: u64) -> Response {
    let text = format!("There were too many attempts. Wait {}, then try again.", duration(seconds));
    let response = login(issuer, request, asks, Some((StatusCode::TOO_MANY_REQUESTS, &text)));
    retry_after(response, seconds)
}

/// A page for somebody who has to wait before anything else.
pub(crate) fn wait(issuer: &Issuer, wait: Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let text = format!("There were too many attempts. Wait {}, then try again.", duration(seconds));
    retry_after(problem(issuer, StatusCode::TOO_MANY_REQUESTS, &text), seconds)
}

fn retry_after(mut response: Response, seconds: u64) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..=1 => "one second".to_owned(),
        2..=119 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

/// Asks for the code that a device shows.
pub(crate) fn device_code(issuer: &Issuer, request: &Request, problem: Option<&str>) -> Response {
    let fields = format!(
        "{}<label for=\"user_code\">Code on your device</label>\
         <input id=\"user_code\" name=\"user_code\" type=\"text\" class=\"code\" autocomplete=\"off\" autocapitalize=\"characters\" \
         spellcheck=\"false\" maxlength=\"32\" placeholder=\"XXXX-XXXX\" required autofocus>\
         <button type=\"submit\">Go on</button>",
        problem.map(alert).unwrap_or_default()
    );
    let mut page = Page::new("Log a device in", String::new()).with_form("/device", fields);
    if problem.is_some() {
        page.status = StatusCode::BAD_REQUEST;
    }
    page.answer(issuer, Some(request))
}

/// Asks whether a device may log in.
pub(crate) fn device_confirm(issuer: &Issuer, request: &Request, confirm: &Confirm<'_>) -> Response {
    let body = format!(
        "<p><strong>{}</strong> on another device wants to log in as <strong>{}</strong>.</p>\
         <p class=\"code\">{}</p><p>Go on only if you began this yourself, and your device shows this code.</p>",
        Text(confirm.client),
        Text(confirm.who),
        Text(confirm.code)
    );
    let fields = format!(
        "<input type=\"hidden\" name=\"user_code\" value=\"{}\">\
         <button type=\"submit\" name=\"answer\" value=\"allow\">Let it in</button>\
         <button type=\"submit\" name=\"answer\" value=\"deny\" class=\"quiet\">Refuse</button>",
        Text(confirm.code)
    );
    Page::new("Let this device in?", body).with_form("/device", fields).answer(issuer, Some(request))
}

/// Asks for the first administrator.
pub(crate) fn setup(
    issuer: &Issuer,
    request: &Request,
    token: &str,
    typed: &Administrator<'_>,
    problem: Option<&str>,
) -> Response {
    let fields = format!(
        "{alert}<input type=\"hidden\" name=\"token\" value=\"{token}\">\
         <label for=\"username\">Username</label>\
         <input id=\"username\" name=\"username\" type=\"text\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" required autofocus value=\"{username}\">\
         <label for=\"name\">Name <span>(optional)</span></label>\
         <input id=\"name\" name=\"name\" type=\"text\" autocomplete=\"name\" value=\"{name}\">\
         <label for=\"email\">E-mail</label>\
         <input id=\"email\" name=\"email\" type=\"email\" autocomplete=\"email\" required value=\"{email}\">\
         <label for=\"password\">Password</label>\
         <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"new-password\" required>\
         <label for=\"repeated\">Password, once more</label>\
         <input id=\"repeated\" name=\"repeated\" type=\"password\" autocomplete=\"new-password\" required>\
         <button type=\"submit\">Make the administrator</button>",
        alert = problem.map(alert).unwrap_or_default(),
        token = Text(token),
        username = Text(typed.username),
        name = Text(typed.name),
        email = Text(typed.email),
    );
    let body = "<p>Nobody can log in yet. Who you enter here becomes the first administrator.</p>".to_owned();
    let mut page = Page::new("Set up", body).with_form("/setup", fields);
    if problem.is_some() {
        page.status = StatusCode::BAD_REQUEST;
    }
    page.answer(issuer, Some(request))
}

/// What the first administrator sees.
pub(crate) fn welcome(issuer: &Issuer, user: &User) -> Response {
    let text = format!("You are logged in as {}. The link that brought you here works no more.", user.email);
    done(issuer, StatusCode::OK, "The administrator is made", &text)
}

/// A page that only says something.
pub(crate) fn done(issuer: &Issuer, status: StatusCode, title: &str, text: &str) -> Response {
    let page = Page { status, ..Page::new(title, format!("<p>{}</p>", Text(text))) };
    page.answer(issuer, None)
}

/// A page that says why something does not go on.
pub(crate) fn problem(issuer: &Issuer, status: StatusCode, text: &str) -> Response {
    let page = Page { status, ..Page::new("This does not work", alert(text)) };
    page.answer(issuer, None)
}

/// The same for what went wrong inside.
pub(crate) fn failure(issuer: &Issuer, error: &Error) -> Response {
    let (_, description) = error.tell();
    let status = match error {
        Error::Refused { .. } => StatusCode::BAD_REQUEST,
        Error::Wait { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    problem(issuer, status, description)
}

/// The style sheet.
pub(crate) fn style() -> Response {
    let mut response = web::body(StatusCode::OK, "text/css; charset=utf-8", STYLE);
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, forever);
    response
}

fn alert(text: &str) -> String {
    format!("<p class=\"alert\" role=\"alert\">{}</p>", Text(text))
}

/// Where a login form may lead: browsers check the redirects after it too (CSP 3 section 6.4.2).
fn actions(issuer: &Issuer, redirect: Option<&str>) -> String {
    let Some(url) = redirect.and_then(|uri| Url::parse(uri).ok()) else { return "'self'".to_owned() };
    let origin = url.origin();
    if !origin.is_tuple() {
        return format!("'self' {}:", url.scheme());
    }
    let origin = origin.ascii_serialization();
    if origin == issuer.settings.url.origin() {
        // Whoever asked our own other face sends the browser on, to a place that is not known here.
        return "'self' http: https:".to_owned();
    }
    // A policy cannot name an address of IPv6 (CSP 3 section 2.3.1).
    if origin.contains('[') { format!("'self' {}:", url.scheme()) } else { format!("'self' {origin}") }
}

/// A page.
struct Page<'a> {
    status: StatusCode,
    title: &'a str,
    body: String,
    /// Where the form goes, and its fields.
    form: Option<(&'static str, String)>,
    actions: String,
}

impl<'a> Page<'a> {
    fn new(title: &'a str, body: String) -> Self {
        Self { status: StatusCode::OK, title, body, form: None, actions: "'self'".to_owned() }
    }

    fn with_form(mut self, action: &'static str, fields: String) -> Self {
        self.form = Some((action, fields));
        self
    }

    /// The answer; `request` is needed for the token of a form.
    fn answer(self, issuer: &Issuer, request: Option<&Request>) -> Response {
        let base = issuer.settings.url.base_path();
        let token =
            request.filter(|_| self.form.is_some()).map(|request| issuer.forms.token(issuer, request));
        let form = self.form.map(|(action, fields)| {
            let field = token.as_ref().map(|token| token.field.as_str()).unwrap_or_default();
            format!(
                "<form method=\"post\" action=\"{base}{action}\"><input type=\"hidden\" name=\"{}\" value=\"{}\">{fields}</form>",
                forms::FIELD,
                Text(field)
            )
        });
        let html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} · Aphex</title>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
             <meta name=\"robots\" content=\"noindex\"><link rel=\"stylesheet\" href=\"{base}{STYLE_PATH}\"></head>\
             <body><main><p class=\"brand\">Aphex</p><h1>{title}</h1>{body}{form}</main></body></html>\n",
            title = Text(self.title),
            body = self.body,
            form = form.unwrap_or_default(),
            base = Text(base),
        );
        let mut response = web::no_store(web::body(self.status, "text/html; charset=utf-8", html));
        let policy = format!(
            "default-src 'none'; style-src 'self'; form-action {}; base-uri 'none'; frame-ancestors 'none'",
            self.actions
        );
        let headers = response.headers_mut();
        if let Ok(policy) = HeaderValue::try_from(policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        // A set-up link is in the address of its page.
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        match token.and_then(|token| token.cookie) {
            Some(cookie) => web::with_cookie(response, &cookie),
            None => response,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_stay_texts() {
        let text = Text("<script>alert('\"&\"')</script>").to_string();
        assert_eq!(text, "&lt;script&gt;alert(&#39;&quot;&amp;&quot;&#39;)&lt;/script&gt;");
    }

    #[test]
    fn waits_are_told_in_words() {
        let told: Vec<String> = [1, 2, 119, 120, 121].map(duration).into();
        assert_eq!(told, ["one second", "2 seconds", "119 seconds", "2 minutes", "3 minutes"]);
    }
}

//! The pages of one's own account, and the one that asks whether to log out.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::StatusCode;
use jiff::Timestamp;

use super::{Page, Text, actions, alert};
use crate::account;
use crate::directory::User;
use crate::issuer::Issuer;
use crate::logout;
use crate::web::{Request, Response};

/// Where a logout leads, and at whose wish.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Leave<'a> {
    pub(crate) client_id: Option<&'a str>,
    /// The application's name.
    pub(crate) client: Option<&'a str>,
    pub(crate) back: Option<&'a str>,
    pub(crate) state: Option<&'a str>,
}

/// Something that is logged in as somebody.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// It is the browser that asks.
    pub(crate) current: bool,
    pub(crate) what: String,
    pub(crate) since: Timestamp,
    pub(crate) source: Option<IpAddr>,
    /// When an application last got tokens.
    pub(crate) used: Option<Timestamp>,
    /// What its button says.
    pub(crate) end: String,
}

/// Who is logged in.
pub(crate) fn home(issuer: &Issuer, request: &Request, user: &User) -> Response {
    let groups = if user.groups.is_empty() { "none".to_owned() } else { user.groups.join(", ") };
    let base = issuer.settings.url.base_path();
    let password = if user.has_password {
        format!("<li><a href=\"{}{}\">Change your password</a></li>", Text(base), account::PASSWORD)
    } else {
        String::new()
    };
    let body = format!(
        "<dl><dt>Name</dt><dd>{}</dd><dt>E-mail</dt><dd>{}</dd><dt>Groups</dt><dd>{}</dd></dl>\
         <ul class=\"links\">{password}<li><a href=\"{}{}\">Where you are logged in</a></li></ul>",
        Text(&user.name),
        Text(&user.email),
        Text(&groups),
        Text(base),
        account::SESSIONS,
    );
    let fields = "<button type=\"submit\" class=\"quiet\">Log out</button>".to_owned();
    Page::new("You are logged in", body).with_form(logout::PATH, fields).answer(issuer, Some(request))
}

/// Asks whether to log out.
pub(crate) fn logout(issuer: &Issuer, request: &Request, user: &User, leave: &Leave<'_>) -> Response {
    let mut body = format!("<p>You are logged in as <strong>{}</strong>.</p>", Text(&user.email));
    if let Some(client) = leave.client {
        let _ = write!(body, "<p><strong>{}</strong> asks to log you out here.</p>", Text(client));
    }
    let mut fields = String::new();
    for (name, value) in
        [("client_id", leave.client_id), ("post_logout_redirect_uri", leave.back), ("state", leave.state)]
    {
        if let Some(value) = value {
            let _ = write!(fields, "<input type=\"hidden\" name=\"{name}\" value=\"{}\">", Text(value));
        }
    }
    fields.push_str("<button type=\"submit\">Log out</button>");
    let mut page = Page::new("Log out?", body).with_form(logout::PATH, fields);
    page.actions = actions(issuer, leave.back);
    page.answer(issuer, Some(request))
}

/// Asks for the present password and a new one.
pub(crate) fn password(
    issuer: &Issuer,
    request: &Request,
    user: &User,
    problem: Option<(StatusCode, &str)>,
) -> Response {
    let fields = format!(
        "{}<input type=\"hidden\" name=\"username\" autocomplete=\"username\" value=\"{}\">\
         <label for=\"current\">Present password</label>\
         <input id=\"current\" name=\"current\" type=\"password\" autocomplete=\"current-password\" maxlength=\"1024\" required autofocus>\
         <label for=\"password\">New password</label>\
         <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"new-password\" maxlength=\"1024\" required>\
         <label for=\"repeated\">New password, once more</label>\
         <input id=\"repeated\" name=\"repeated\" type=\"password\" autocomplete=\"new-password\" maxlength=\"1024\" required>\
         <button type=\"submit\">Change the password</button>",
        problem.map(|(_, text)| alert(text)).unwrap_or_default(),
        Text(&user.username),
    );
    let body = format!(
        "<p>of <strong>{}</strong>. Every other browser and application will have to log in again.</p>",
        Text(&user.email)
    );
    let mut page = Page::new("Change your password", body).with_form(account::PASSWORD, fields);
    page.status = problem.map_or(StatusCode::OK, |(status, _)| status);
    page.answer(issuer, Some(request))
}

/// The password is a new one.
pub(crate) fn password_changed(issuer: &Issuer) -> Response {
    let text = "You are still logged in here. Every other browser and application has to log in again.";
    super::done(issuer, StatusCode::OK, "Your password is changed", text)
}

/// Everything that is logged in as the person, each with a button that ends it.
pub(crate) fn sessions(issuer: &Issuer, request: &Request, places: &[Place], told: Option<&str>) -> Response {
    let mut fields = told.map(alert).unwrap_or_default();
    fields.push_str("<ul class=\"places\">");
    for place in places {
        let Place { current, what, since, source, used, end } = place;
        let this = if *current { " <span>this browser</span>" } else { "" };
        let mut told = format!("since {}", time(*since));
        if let Some(source) = source {
            let _ = write!(told, ", from {source}");
        }
        if let Some(used) = used {
            let _ = write!(told, ", last used {}", time(*used));
        }
        // Screen readers read buttons without what is around them.
        let _ = write!(
            fields,
            "<li><strong>{what}</strong>{this}<p>{told}</p>\
             <button type=\"submit\" name=\"end\" value=\"{}\" class=\"quiet\" aria-label=\"Log out {what}\">Log out</button></li>",
            Text(end),
            what = Text(what),
            told = Text(&told),
        );
    }
    fields.push_str("</ul>");
    if places.len() > 1 {
        fields.push_str(
            "<button type=\"submit\" name=\"end\" value=\"all.others\">Log out everywhere but here</button>",
        );
    }
    let body = "<p>Browsers, and applications that were given access. An application that is logged out here may go on until \
                its last token ends.</p>";
    let page = Page::new("Where you are logged in", body.to_owned()).with_form(account::SESSIONS, fields);
    page.answer(issuer, Some(request))
}

fn time(at: Timestamp) -> String {
    at.strftime("%F %H:%M UTC").to_string()
}

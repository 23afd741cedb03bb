//! `aphex user` and `aphex group`: requests to the administrative interface of a running issuer.

pub(crate) mod group;
mod list;
mod password;
pub(crate) mod user;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use aphex_issuer::Access;
use aphex_issuer::access::AccessError;
use reqwest::{Certificate, Client, Method, StatusCode, Url};
use serde_json::Value;

use crate::cli::{Format, Place};
use crate::{exit, local, output};

/// How long the issuer may take for an answer; hashing a password takes a part of a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the issuer keeps its things in the data folder.
const FOLDER: &str = "issuer";
/// The largest page that the interface gives.
const PAGE: usize = 100;

/// The administrative interface of an issuer.
struct Interface {
    client: Client,
    base: Url,
    token: String,
    /// Where the token is from, for messages.
    token_from: PathBuf,
}

fn coded(code: u8, message: String) -> anyhow::Error {
    exit::Coded { code, message }.into()
}

impl Interface {
    /// The interface that the flags name, else the one of this machine's own issuer.
    fn at(place: &Place) -> anyhow::Result<Self> {
        let data_dir = match &place.data_dir {
            Some(folder) => folder.clone(),
            None => local::default_data_dir()?,
        };
        let folder = data_dir.join(FOLDER);
        let own = match (&place.issuer, &place.token_file) {
            // Nothing of the folder is needed.
            (Some(_), Some(_)) => None,
            _ => Some(Access::read(&folder).map_err(|error| unreadable(error, &data_dir))?),
        };
        let url =
            place.issuer.clone().or_else(|| own.as_ref().map(|own| own.url.clone())).unwrap_or_default();
        let base = Url::parse(&format!("{}/", url.trim_end_matches('/')))
            .map_err(|_| coded(exit::USAGE, format!("{url:?} is no URL of an issuer")))?;
        let local = is_loopback(&base);
        if base.scheme() != "https" && !local {
            let message = format!("{url} is not on this machine: a bearer token goes there by https only");
            return Err(coded(exit::USAGE, message));
        }
        let (token, token_from) = match (&place.token_file, &own) {
            (Some(path), _) => (read(path)?.trim().to_owned(), path.clone()),
            (None, Some(own)) => {
                use secrecy::ExposeSecret as _;
                (own.token.expose_secret().to_owned(), folder)
            }
            (None, None) => (String::new(), folder),
        };
        let authority = place.issuer_ca.clone().or_else(|| own.and_then(|own| own.certificate_authority));
        Ok(Self { client: client(authority.as_deref(), local)?, base, token, token_from })
    }

    /// Sends a request; gives what came back, null when that was nothing.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let url = self.base.join(&format!("api/v3/{path}")).context("cannot make the address")?;
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let text = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        let answer: Value = serde_json::from_slice(&text).unwrap_or(Value::Null);
        if status.is_success() { Ok(answer) } else { Err(self.refused(status, &answer)) }
    }

    /// An object by its path; nothing when it is there no more.
    async fn find(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let is_gone = |error: &anyhow::Error| {
            error.downcast_ref::<exit::Coded>().is_some_and(|coded| coded.code == exit::NOT_FOUND)
        };
        match self.send(Method::GET, path, None).await {
            Err(error) if is_gone(&error) => Ok(None),
            other => other.map(Some),
        }
    }

    /// All objects of a list, page by page.
    async fn list(&self, path: &str, filters: &[(&str, &str)]) -> anyhow::Result<Vec<Value>> {
        let mut query = Url::parse("query:")?;
        query.query_pairs_mut().extend_pairs(filters).append_pair("page_size", &PAGE.to_string());
        let (mut objects, mut page) = (Vec::new(), 1);
        loop {
            let address = format!("{path}?{}&page={page}", query.query().unwrap_or_default());
            let mut answer = self.send(Method::GET, &address, None).await?;
            if let Value::Array(found) = answer["results"].take() {
                objects.extend(found);
            }
            page = answer["pagination"]["next"].as_u64().unwrap_or_default();
            if page == 0 {
                return Ok(objects);
            }
        }
    }

    /// The user with this username or e-mail address.
    async fn user(&self, name: &str) -> anyhow::Result<Value> {
        let users = self.list("core/users/", &[("search", name)]).await?;
        let is = |user: &Value, field: &str| {
            user[field].as_str().is_some_and(|text| text.eq_ignore_ascii_case(name))
        };
        let found = users.into_iter().find(|user| is(user, "username") || is(user, "email"));
        found.ok_or_else(|| {
            coded(exit::NOT_FOUND, format!("there is no user {name:?}; `aphex user list` shows who is there"))
        })
    }

    /// The group with this name.
    async fn group(&self, name: &str) -> anyhow::Result<Value> {
        let groups = self.list("core/groups/", &[]).await?;
        let names: Vec<&str> = groups.iter().filter_map(|group| group["name"].as_str()).collect();
        let known = names.join(", ");
        let found = groups
            .iter()
            .find(|group| group["name"].as_str().is_some_and(|text| text.eq_ignore_ascii_case(name)));
        found
            .cloned()
            .ok_or_else(|| coded(exit::NOT_FOUND, format!("there is no group {name:?}; there are {known}")))
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let why = aphex_runtime::errors::chain(error);
        let advice = if why.contains("certificate") {
            "give the authority of its certificate with --issuer-ca"
        } else {
            "start it with `aphex up` or `aphex issuer`, or name another with --issuer"
        };
        let message = format!("the issuer at {} does not answer ({why}): {advice}", self.base);
        coded(exit::UNREACHABLE, message)
    }

    fn refused(&self, status: StatusCode, answer: &Value) -> anyhow::Error {
        match status {
            StatusCode::UNAUTHORIZED => {
                let from = self.token_from.display();
                let advice = "restart the issuer of that folder to have a new one written, or give another with --token-file";
                coded(
                    exit::REFUSED,
                    format!("the issuer at {} does not know the token from {from}: {advice}", self.base),
                )
            }
            StatusCode::FORBIDDEN => {
                let from = self.token_from.display();
                coded(
                    exit::REFUSED,
                    format!(
                        "the token from {from} has no scope for this; `aphex user add --service-account --scope ...` makes others"
                    ),
                )
            }
            StatusCode::NOT_FOUND => {
                coded(exit::NOT_FOUND, format!("{} has no such object any more", self.base))
            }
            StatusCode::BAD_REQUEST => coded(exit::REFUSED, problems(answer)),
            _ => {
                let told = answer["detail"].as_str().unwrap_or("without saying why");
                coded(exit::FAILURE, format!("the issuer at {} answered {status}: {told}", self.base))
            }
        }
    }
}

fn unreadable(error: AccessError, data_dir: &Path) -> anyhow::Error {
    match error {
        AccessError::Missing { .. } => coded(
            exit::UNREACHABLE,
            format!(
                "no issuer was started on {}: start one with `aphex up` or `aphex issuer`, or name its folder with --data-dir",
                data_dir.display()
            ),
        ),
        other => other.into(),
    }
}

fn client(authority: Option<&Path>, local: bool) -> anyhow::Result<Client> {
    let mut builder = Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
    if local {
        builder = builder.no_proxy();
    }
    if let Some(path) = authority {
        let pem = read(path)?;
        for certificate in Certificate::from_pem_bundle(pem.as_bytes())
            .with_context(|| format!("{} holds no PEM certificates", path.display()))?
        {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().context("cannot make an HTTP client")
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_matches(['[', ']']);
            host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

/// What the issuer says of each field, as one line.
fn problems(answer: &Value) -> String {
    let Some(fields) = answer.as_object() else { return "the issuer refused the request".to_owned() };
    let told = fields.iter().map(|(field, problems)| match problems {
        Value::Array(all) => {
            let all: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
            format!("{field}: {}", all.join(" "))
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    });
    told.collect::<Vec<_>>().join("; ")
}

/// What `-o name` prints of an object.
fn title(noun: &str, object: &Value) -> String {
    format!("{noun}/{}", name(object))
}

/// A user's or a group's name.
fn name(object: &Value) -> &str {
    object["username"].as_str().or(object["name"].as_str()).unwrap_or_default()
}

/// Prints an object that something was done to; people are told what that was.
fn changed(format: &Format, noun: &str, object: &Value, told: &str) -> anyhow::Result<()> {
    output::answer(format, object, &title(noun, object), || {
        output::say(&format!("{} {told}", name(object)));
    })
}

/// A text of an object, for a cell of a table.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_of_several_fields_are_one_line() {
        let answer = serde_json::json!({ "email": ["Is taken.", "Is odd."], "detail": "No." });
        assert_eq!(problems(&answer), "No.; email: Is taken. Is odd.");
    }

    #[test]
    fn tokens_stay_on_this_machine_without_tls() {
        for (url, local) in [
            ("http://127.0.0.1:5556/", true),
            ("http://[::1]:5556/", true),
            ("http://localhost/", true),
            ("http://127.0.0.1.example.com/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), local, "{url}");
        }
    }
}

//! Requests to Cloudflare's API, version 4: its envelope, its pages, its limits.
//!
//! Nothing is tried again here: a pass of the controller is. After an answer 429 nothing is sent until the time that
//! Cloudflare asked for has passed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aphex_runtime::{Clock, Metrics};
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Token;
use super::calls::Call;
use super::error::{Error, Problem, Problems};
use super::metrics::Requests;

/// The API's public address.
pub const API: &str = "https://api.cloudflare.com/client/v4";

/// Entries of one page of a list; every list of the API accepts so many.
const PAGE: usize = 50;
/// Pages that are read at most: a list that goes on longer is not one of ours.
const PAGES: usize = 100;
/// How long to wait after an answer 429 that does not say.
const USUAL_WAIT: u64 = 60;
/// The longest wait that is believed.
const LONGEST_WAIT: u64 = 900;

/// How the API is spoken to.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The API's address, without a slash at the end.
    pub url: String,
    /// The API token.
    pub token: Token,
    /// How long a request may take.
    pub timeout: Duration,
}

impl Connection {
    /// The public API.
    #[must_use]
    pub fn new(token: Token) -> Self {
        Self { url: API.to_owned(), token, timeout: Duration::from_secs(20) }
    }
}

/// A client of the API.
pub struct Client {
    http: reqwest::Client,
    connection: Connection,
    clock: Clock,
    requests: Requests,
    /// Until when nothing may be asked.
    quiet_until: Mutex<Option<Timestamp>>,
}

/// What every answer is wrapped in.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    success: bool,
    #[serde(default)]
    errors: Option<Vec<Problem>>,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    result_info: Option<ResultInfo>,
}

/// Where in a list an answer is.
#[derive(Deserialize)]
struct ResultInfo {
    #[serde(default)]
    total_count: Option<usize>,
}

/// One request.
pub(super) struct Ask<'a> {
    pub(super) call: Call,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(&'a str, String)>,
    pub(super) body: Option<Value>,
}

impl<'a> Ask<'a> {
    pub(super) fn new(call: Call, method: Method, path: String) -> Self {
        Self { call, method, path, query: Vec::new(), body: None }
    }

    pub(super) fn with(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
}

impl Client {
    /// A client of the API at an address.
    pub fn new(connection: Connection, clock: Clock, metrics: &Metrics) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .timeout(connection.timeout)
            .connect_timeout(connection.timeout.min(Duration::from_secs(5)))
            .user_agent(concat!("aphex/", env!("CARGO_PKG_VERSION")))
            // A token is for the address that was configured and for no other.
            .redirect(reqwest::redirect::Policy::none())
            .https_only(connection.url.starts_with("https://"))
            .build()
            .map_err(Error::Setup)?;
        let connection = Connection { url: connection.url.trim_end_matches('/').to_owned(), ..connection };
        let requests = Requests::register(metrics);
        Ok(Self { http, connection, clock, requests, quiet_until: Mutex::default() })
    }

    /// What one request gives.
    pub(super) async fn one<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<T, Error> {
        let (call, envelope) = (ask.call, self.send(&ask, None).await?);
        read(call, envelope.result)
    }

    /// Every entry of a list, page by page.
    pub(super) async fn all<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<Vec<T>, Error> {
        let mut found: Vec<T> = Vec::new();
        for page in 1..=PAGES {
            let envelope = self.send(&ask, Some(page)).await?;
            let entries: Option<Vec<T>> = read(ask.call, envelope.result)?;
            let entries = entries.unwrap_or_default();
            let (count, before) = (entries.len(), found.len());
            found.extend(entries);
            let total = envelope.result_info.and_then(|info| info.total_count);
            let complete = total.map_or(count < PAGE, |total| before + count >= total);
            if complete || count == 0 {
                break;
            }
        }
        Ok(found)
    }

    async fn send(&self, ask: &Ask<'_>, page: Option<usize>) -> Result<Envelope, Error> {
        self.keep_quiet(ask.call)?;
        let result = self.exchange(ask, page).await;
        self.requests.count(ask.call, &result);
        result
    }

    async fn exchange(&self, ask: &Ask<'_>, page: Option<usize>) -> Result<Envelope, Error> {
        let call = ask.call;
        let token = self.connection.token.read().await?;
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", token.reveal())).map_err(|_| Error::TokenForm)?;
        bearer.set_sensitive(true);
        let mut request = self
            .http
            .request(ask.method.clone(), format!("{}{}", self.connection.url, ask.path))
            .header(reqwest::header::AUTHORIZATION, bearer)
            .query(&ask.query);
        if let Some(page) = page {
            request = request.query(&[("page", page), ("per_page", PAGE)]);
        }
        if let Some(body) = &ask.body {
            request = request.json(body);
        }
        // Queries name accounts and hosts; errors say in words what was asked.
        let unreachable = |source: reqwest::Error| Error::Unreachable { call, source: source.without_url() };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(self.quiet(call, response.headers()));
        }
        let bytes = response.bytes().await.map_err(unreachable)?;
        tracing::debug!(call = call.as_str(), status = status.as_u16(), "Cloudflare answered");
        judge(call, status, &bytes)
    }

    /// Refuses to ask while Cloudflare wants to be left alone.
    fn keep_quiet(&self, call: Call) -> Result<(), Error> {
        let mut until = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.map_or(0, |until| until.as_second() - self.clock.now().as_second());
        match u64::try_from(left) {
            Ok(seconds) if seconds > 0 => Err(Error::RateLimited { call, seconds }),
            _ => {
                *until = None;
                Ok(())
            }
        }
    }

    /// Notes that Cloudflare wants to be left alone.
    fn quiet(&self, call: Call, headers: &HeaderMap) -> Error {
        let seconds = retry_after(headers);
        let until = self.clock.now().saturating_add(Duration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        Error::RateLimited { call, seconds }
    }
}

/// `Retry-After` in seconds; Cloudflare sends no dates there.
fn retry_after(headers: &HeaderMap) -> u64 {
    let said = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    said.unwrap_or(USUAL_WAIT).clamp(1, LONGEST_WAIT)
}

/// What an answer means.
fn judge(call: Call, status: StatusCode, bytes: &[u8]) -> Result<Envelope, Error> {
    let envelope = serde_json::from_slice::<Envelope>(bytes);
    let code = status.as_u16();
    if status.is_server_error() {
        // Often a page of HTML from somewhere in between.
        let problems = Problems(envelope.ok().and_then(|e| e.errors).unwrap_or_default());
        return Err(Error::Failed { call, status: code, problems });
    }
    match envelope {
        Ok(envelope) if envelope.success && status.is_success() => Ok(envelope),
        Ok(envelope) => {
            let problems = Problems(envelope.errors.unwrap_or_default());
            Err(Error::Refused { call, status: code, problems })
        }
        Err(_) if status.is_client_error() => {
            Err(Error::Refused { call, status: code, problems: Problems::default() })
        }
        Err(error) => Err(unreadable(call, code, &error)),
    }
}

fn read<T: DeserializeOwned>(call: Call, result: Value) -> Result<T, Error> {
    serde_json::from_value(result).map_err(|error| unreadable(call, 200, &error))
}

fn unreadable(call: Call, status: u16, error: &serde_json::Error) -> Error {
    let place = format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column());
    Error::Unreadable { call, status, place }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> Result<Value, Error> {
        let status = StatusCode::from_u16(status).unwrap();
        judge(Call::ListZones, status, body.as_bytes()).map(|envelope| envelope.result)
    }

    #[test]
    fn an_answer_is_what_its_status_and_its_envelope_say() {
        let ok = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"1"}}"#;
        assert_eq!(judged(200, ok).unwrap()["id"], "1");
        let refused =
            r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"result":null}"#;
        let error = judged(403, refused).unwrap_err();
        assert!(error.is_not_allowed() && !error.is_passing());
        let said = error.to_string();
        assert!(
            said.contains("refused to list zones: status 403, Authentication error (code 10000)"),
            "{said}"
        );
        assert!(said.contains("Zone/DNS/Edit"), "{said}");
        assert!(judged(200, refused).unwrap_err().is_not_allowed());
        assert!(judged(404, "<html>").unwrap_err().is_not_found());
        for (status, body) in [(502, "<html>bad gateway</html>"), (200, "<html>login</html>")] {
            assert!(judged(status, body).unwrap_err().is_passing(), "{status}");
        }
    }

    #[test]
    fn an_unreadable_answer_is_not_repeated() {
        let error = read::<u8>(Call::GetTunnelToken, Value::from("a-secret")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("a-secret"));
    }

    #[test]
    fn waiting_times_have_a_default_and_a_limit() {
        let header = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            retry_after(&headers)
        };
        assert_eq!([header("7"), header("0"), header("999999"), header("soon")], [7, 1, 900, 60]);
        assert_eq!(retry_after(&HeaderMap::new()), 60);
    }
}

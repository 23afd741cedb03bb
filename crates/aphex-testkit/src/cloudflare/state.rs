//! What the stand-in keeps, who may do what, and which request goes where.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use super::answers::Answer;
use super::records::Record;
use super::tunnels::Tunnel;
use super::{ACCOUNT, DOMAIN, ZONE};

/// A group of permissions of an API token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Account, Cloudflare Tunnel, Edit.
    TunnelEdit,
    /// Account, Cloudflare Tunnel, Read.
    TunnelRead,
    /// Zone, DNS, Edit.
    DnsEdit,
    /// Zone, DNS, Read.
    DnsRead,
    /// Zone, Zone, Read.
    ZoneRead,
}

/// The API token.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its text.
    pub(super) text: String,
    /// What it may do.
    pub(super) scopes: BTreeSet<Scope>,
}

impl Token {
    pub(super) fn all() -> BTreeSet<Scope> {
        [Scope::TunnelEdit, Scope::TunnelRead, Scope::DnsEdit, Scope::DnsRead, Scope::ZoneRead].into()
    }
}

/// How a request fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error in the API's envelope, without any effect.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Cloudflare's code.
        code: i64,
        /// Its message.
        message: String,
    },
    /// A page of HTML, without any effect.
    Page {
        /// The HTTP status.
        status: u16,
    },
    /// Asked too often; `Retry-After` says how long to wait.
    TooMany {
        /// Seconds.
        seconds: u64,
    },
    /// No answer ever, and no effect.
    HangBefore,
    /// No answer ever, after the effect.
    HangAfter,
    /// The connection is cut before the effect.
    CutBefore,
    /// The connection is cut after the effect.
    CutAfter,
}

/// What there is at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Ids of the tunnels that are not deleted.
    pub tunnels: Vec<String>,
    /// DNS records.
    pub records: Vec<Record>,
}

/// A fault that waits for its request.
struct Planned {
    method: Method,
    path: String,
    left: usize,
    fault: Fault,
}

/// Everything.
pub(super) struct State {
    pub(super) token: Token,
    pub(super) tunnels: Vec<Tunnel>,
    pub(super) records: Vec<Record>,
    pub(super) calls: Vec<String>,
    pub(super) history: Vec<Moment>,
    planned: Vec<Planned>,
    made: u64,
}

impl Default for State {
    fn default() -> Self {
        let token = Token { text: "stand-in-token-0123456789".to_owned(), scopes: Token::all() };
        let history = vec![Moment::default()];
        Self { token, tunnels: vec![], records: vec![], calls: vec![], history, planned: vec![], made: 0 }
    }
}

/// A request, taken apart.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) query: &'a str,
    pub(super) body: &'a Value,
}

impl State {
    pub(super) fn inject(&mut self, method: &Method, path: &str, times: usize, fault: Fault) {
        self.planned.push(Planned { method: method.clone(), path: path.to_owned(), left: times, fault });
    }

    pub(super) fn heal(&mut self) {
        self.planned.clear();
    }

    /// Notes a request, and tells how it is to fail.
    pub(super) fn begin(&mut self, method: &Method, path: &str) -> Option<Fault> {
        self.calls.push(format!("{method} {path}"));
        let planned = self
            .planned
            .iter_mut()
            .find(|planned| planned.left > 0 && planned.method == method && path.contains(&planned.path))?;
        planned.left -= 1;
        Some(planned.fault.clone())
    }

    /// Notes what there is, if it is not what there was.
    pub(super) fn note(&mut self) {
        let tunnels = self.tunnels.iter().filter(|tunnel| tunnel.deleted_at.is_none());
        let tunnels = tunnels.map(|tunnel| tunnel.id.clone()).collect();
        let now = Moment { tunnels, records: self.records.clone() };
        if self.history.last() != Some(&now) {
            self.history.push(now);
        }
    }

    /// A number that was not given before.
    pub(super) fn next(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    pub(super) fn answer(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        bearer: &str,
        body: &Value,
    ) -> Answer {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let asked = Asked { method, query, body };
        if bearer != self.token.text {
            return match segments.as_slice() {
                ["user", "tokens", "verify"] => Answer::refused(401, 1000, "Invalid API Token"),
                _ => Answer::refused(403, 9109, "Invalid access token"),
            };
        }
        let get = *method == Method::GET;
        match segments.as_slice() {
            ["user", "tokens", "verify"] if get => Answer::ok(&json!({ "id": "1", "status": "active" })),
            ["accounts"] if get => Answer::page(&[account()], query),
            ["zones"] if get => self.zones(query),
            ["zones", ZONE] if get => match self.allowed(&[Scope::ZoneRead]) {
                Ok(()) => Answer::ok(&zone()),
                Err(_) => Answer::refused(403, 9109, "Unauthorized to access requested resource"),
            },
            ["zones", ZONE, "dns_records", rest @ ..] => {
                let scopes = if get { &[Scope::DnsRead, Scope::DnsEdit][..] } else { &[Scope::DnsEdit] };
                self.allowed(scopes).map_or_else(|refused| refused, |()| self.dns(&asked, rest))
            }
            ["accounts", ACCOUNT, "cfd_tunnel", rest @ ..] => {
                let scopes =
                    if get { &[Scope::TunnelRead, Scope::TunnelEdit][..] } else { &[Scope::TunnelEdit] };
                self.allowed(scopes).map_or_else(|refused| refused, |()| self.tunnel(&asked, rest))
            }
            _ => Answer::refused(
                404,
                7003,
                "Could not route to the path, perhaps your object identifier is invalid?",
            ),
        }
    }

    /// Any of these permissions is enough.
    fn allowed(&self, scopes: &[Scope]) -> Result<(), Answer> {
        if scopes.iter().any(|scope| self.token.scopes.contains(scope)) {
            Ok(())
        } else {
            Err(Answer::refused(403, 10000, "Authentication error"))
        }
    }

    /// Zones that the token does not see are not listed, and nothing says that there are any.
    fn zones(&self, query: &str) -> Answer {
        let wanted = parameter(query, "name");
        let seen = self.token.scopes.contains(&Scope::ZoneRead);
        let found = (seen && wanted.is_none_or(|name| name == DOMAIN)).then(zone);
        Answer::page(&found.into_iter().collect::<Vec<_>>(), query)
    }
}

fn account() -> Value {
    json!({ "id": ACCOUNT, "name": "Acme" })
}

fn zone() -> Value {
    json!({ "id": ZONE, "name": DOMAIN, "status": "active", "account": account() })
}

/// A parameter of a query; nothing that the platform asks for needs decoding.
pub(super) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|part| part.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

//! Tunnels: names, secrets, connectors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ACCOUNT;
use super::answers::Answer;
use super::state::{Asked, State, parameter};

/// Whether something carries a tunnel's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connector {
    /// Nothing.
    None,
    /// A connection that is left over: ending it is enough.
    Stale,
    /// A program that connects again as often as its connections are ended.
    Live,
}

/// A tunnel.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Secret, in base64.
    pub secret: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// Whether its configuration is kept at Cloudflare.
    pub remote_config: bool,
    /// What is connected.
    pub connector: Connector,
}

impl Tunnel {
    fn json(&self) -> Value {
        let status = if self.connector == Connector::None { "inactive" } else { "healthy" };
        json!({
            "id": self.id,
            "account_tag": ACCOUNT,
            "name": self.name,
            "created_at": self.created_at.to_string(),
            "deleted_at": self.deleted_at.map(|time| time.to_string()),
            "connections": [],
            "status": status,
            "tun_type": "cfd_tunnel",
            "config_src": if self.remote_config { "cloudflare" } else { "local" },
            "metadata": {},
        })
    }

    /// What Cloudflare gives connectors to run with.
    fn token(&self) -> String {
        STANDARD.encode(json!({ "a": ACCOUNT, "t": self.id, "s": self.secret }).to_string())
    }
}

fn not_found() -> Answer {
    Answer::refused(404, 1003, "Tunnel not found")
}

impl State {
    pub(super) fn put_tunnel(&mut self, name: &str, change: impl FnOnce(&mut Tunnel)) -> Tunnel {
        let number = self.next();
        let mut tunnel = Tunnel {
            id: format!("{number:08x}-0000-4000-8000-{number:012x}"),
            name: name.to_owned(),
            secret: STANDARD.encode(format!("a secret of 32 bytes, number {number:04}")),
            created_at: Timestamp::now(),
            deleted_at: None,
            remote_config: false,
            connector: Connector::None,
        };
        change(&mut tunnel);
        self.tunnels.push(tunnel.clone());
        tunnel
    }

    pub(super) fn tunnel(&mut self, asked: &Asked<'_>, rest: &[&str]) -> Answer {
        match (asked.method, rest) {
            (&Method::GET, []) => self.list_tunnels(asked.query),
            (&Method::POST, []) => self.create_tunnel(asked.body),
            (&Method::GET, [id]) => match self.tunnels.iter().find(|tunnel| tunnel.id == *id) {
                Some(tunnel) => Answer::ok(&tunnel.json()),
                None => not_found(),
            },
            (method, [id, more @ ..]) => {
                let found = self.tunnels.iter_mut().find(|t| t.id == *id && t.deleted_at.is_none());
                match (found, method, more) {
                    (None, ..) => not_found(),
                    (Some(tunnel), &Method::GET, ["token"]) => Answer::ok(&json!(tunnel.token())),
                    (Some(tunnel), &Method::DELETE, ["connections"]) => {
                        if tunnel.connector == Connector::Stale {
                            tunnel.connector = Connector::None;
                        }
                        Answer::ok(&json!({}))
                    }
                    (Some(tunnel), &Method::DELETE, []) => delete(tunnel),
                    _ => Answer::refused(405, 10405, "Method not allowed for this authentication scheme"),
                }
            }
            _ => Answer::refused(405, 10405, "Method not allowed for this authentication scheme"),
        }
    }

    fn list_tunnels(&self, query: &str) -> Answer {
        let name = parameter(query, "name");
        let deleted = parameter(query, "is_deleted");
        let found: Vec<Value> = self
            .tunnels
            .iter()
            .filter(|tunnel| name.is_none_or(|name| tunnel.name == name))
            .filter(|tunnel| deleted.is_none_or(|text| (text == "true") == tunnel.deleted_at.is_some()))
            .map(Tunnel::json)
            .collect();
        Answer::page(&found, query)
    }

    fn create_tunnel(&mut self, body: &Value) -> Answer {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (name, secret, source) = (text("name"), text("tunnel_secret"), text("config_src"));
        if name.is_empty() {
            return Answer::refused(400, 1001, "tunnel name is required");
        }
        if STANDARD.decode(&secret).map_or(0, |bytes| bytes.len()) < 32 {
            return Answer::refused(400, 1004, "tunnel secret must be at least 32 bytes, in base64");
        }
        if self.tunnels.iter().any(|tunnel| tunnel.name == name && tunnel.deleted_at.is_none()) {
            return Answer::refused(409, 1013, "You already have a tunnel with this name");
        }
        let tunnel = self.put_tunnel(&name, |tunnel| {
            tunnel.secret = secret;
            tunnel.remote_config = source == "cloudflare";
        });
        let mut answer = tunnel.json();
        answer["credentials_file"] = json!({
            "AccountTag": ACCOUNT, "TunnelID": tunnel.id, "TunnelName": tunnel.name, "TunnelSecret": tunnel.secret,
        });
        answer["token"] = json!(tunnel.token());
        Answer::ok(&answer)
    }
}

fn delete(tunnel: &mut Tunnel) -> Answer {
    if tunnel.connector != Connector::None {
        return Answer::refused(400, 1022, "Cannot delete tunnel because it has active connections");
    }
    tunnel.deleted_at = Some(Timestamp::now());
    Answer::ok(&tunnel.json())
}

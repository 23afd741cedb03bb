//! DNS records, and which of them may stand beside which.

use http::Method;
use serde_json::{Value, json};

use super::answers::Answer;
use super::state::{Asked, State, parameter};
use super::{DOMAIN, ZONE};

/// A DNS record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Id.
    pub id: String,
    /// Type.
    pub kind: String,
    /// Host name.
    pub name: String,
    /// What it leads to.
    pub content: String,
    /// Whether Cloudflare stands in between.
    pub proxied: bool,
    /// A note.
    pub comment: Option<String>,
}

impl Record {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "zone_id": ZONE,
            "zone_name": DOMAIN,
            "type": self.kind,
            "name": self.name,
            "content": self.content,
            "proxied": self.proxied,
            "ttl": 1,
            "comment": self.comment,
        })
    }

    fn change(&mut self, body: &Value) {
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        if let Some(kind) = text("type") {
            self.kind = kind;
        }
        if let Some(content) = text("content") {
            self.content = content;
        }
        if let Some(proxied) = body["proxied"].as_bool() {
            self.proxied = proxied;
        }
        if let Some(comment) = text("comment") {
            self.comment = Some(comment);
        }
    }
}

fn not_found() -> Answer {
    Answer::refused(404, 81044, "Record does not exist.")
}

fn leads(kind: &str) -> bool {
    matches!(kind, "A" | "AAAA" | "CNAME")
}

impl State {
    pub(super) fn put_record(&mut self, kind: &str, name: &str, content: &str) {
        let id = format!("{:032x}", self.next());
        let (kind, name, content) = (kind.to_owned(), name.to_owned(), content.to_owned());
        self.records.push(Record { id, kind, name, content, proxied: false, comment: None });
    }

    pub(super) fn dns(&mut self, asked: &Asked<'_>, rest: &[&str]) -> Answer {
        match (asked.method, rest) {
            (&Method::GET, []) => {
                let name = parameter(asked.query, "name.exact").or_else(|| parameter(asked.query, "name"));
                let found = self.records.iter().filter(|record| name.is_none_or(|name| record.name == name));
                Answer::page(&found.map(Record::json).collect::<Vec<_>>(), asked.query)
            }
            (&Method::POST, []) => self.create_record(asked.body),
            (method, [id]) => {
                let Some(at) = self.records.iter().position(|record| record.id == *id) else {
                    return not_found();
                };
                match *method {
                    Method::GET => Answer::ok(&self.records[at].json()),
                    Method::PATCH | Method::PUT => {
                        self.records[at].change(asked.body);
                        Answer::ok(&self.records[at].json())
                    }
                    Method::DELETE => {
                        let record = self.records.remove(at);
                        Answer::ok(&json!({ "id": record.id }))
                    }
                    _ => not_found(),
                }
            }
            _ => not_found(),
        }
    }

    fn create_record(&mut self, body: &Value) -> Answer {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (kind, name, content) = (text("type"), text("name"), text("content"));
        if name != DOMAIN && !name.ends_with(&format!(".{DOMAIN}")) {
            return Answer::refused(400, 9000, "DNS name is invalid.");
        }
        let beside = |record: &&Record| record.name == name && leads(&record.kind);
        if let Some(other) = self.records.iter().find(beside).filter(|_| leads(&kind)) {
            if other.kind == kind && other.content == content {
                return Answer::refused(400, 81057, "The record already exists.");
            }
            if kind == "CNAME" || other.kind == "CNAME" {
                let message = "An A, AAAA, or CNAME record with that host already exists.";
                return Answer::refused(400, 81053, message);
            }
        }
        self.put_record(&kind, &name, &content);
        let Some(record) = self.records.last_mut() else { return not_found() };
        record.change(body);
        Answer::ok(&record.json())
    }
}

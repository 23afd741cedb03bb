//! The bytes of a spooled event: a line with version and checksum, what is known of the event, the payload as gzip.
//!
//! ```text
//! aphex-spool 1 <SHA-256 of all that follows the line, hexadecimal> <length of the head>\n
//! {"namespace":…,"listener":…}<gzip>
//! ```
//!
//! It holds what a Delivery holds and no more: headers that carry secrets are not kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read as _};

use aphex_api::delivery::SecretKeyRef;
use aws_lc_rs::digest::{SHA256, digest};
use flate2::read::GzDecoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::deliveries::Incoming;
use crate::gzip;
use crate::sink::MAX_BODY;

const MAGIC: &str = "aphex-spool";
const VERSION: &str = "1";

/// Why bytes are no event.
#[derive(Debug, Error)]
pub enum RecordError {
    /// Something else, or cut within the first line.
    #[error("it does not begin as a spooled event does")]
    Start,
    /// Written by a later program.
    #[error("its format is {0}, and this program knows {VERSION}: let the program that wrote it drain it")]
    Version(String),
    /// Cut, or changed.
    #[error("its checksum differs from its content")]
    Checksum,
    /// What is known of the event is not JSON of this form.
    #[error("its head cannot be read")]
    Head(#[source] serde_json::Error),
    /// The payload is not gzip, or too large.
    #[error("its payload cannot be decompressed")]
    Gzip(#[source] io::Error),
    /// The payload is not JSON.
    #[error("its payload is not JSON")]
    Payload(#[source] serde_json::Error),
}

/// What is known of an event, without its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    namespace: String,
    listener_namespace: String,
    listener: String,
    #[serde(rename = "deliveryID")]
    delivery_id: String,
    event: String,
    headers: BTreeMap<String, String>,
    url: String,
    source: String,
    verified_by: Vec<SecretKeyRef>,
    received: Timestamp,
}

impl Head {
    pub(super) fn of(incoming: &Incoming) -> Self {
        Self {
            namespace: incoming.namespace.clone(),
            listener_namespace: incoming.listener_namespace.clone(),
            listener: incoming.listener.clone(),
            delivery_id: incoming.delivery_id.clone(),
            event: incoming.event.clone(),
            headers: incoming.headers.clone(),
            url: incoming.url.clone(),
            source: incoming.source.clone(),
            verified_by: incoming.verified_by.clone(),
            received: incoming.received,
        }
    }
}

pub(super) fn encode(head: &Head, json: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = serde_json::to_vec(head)?;
    let length = content.len();
    content.extend(gzip::compress(json)?);
    let mut bytes = format!("{MAGIC} {VERSION} {} {length}\n", checksum(&content)).into_bytes();
    bytes.append(&mut content);
    Ok(bytes)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(RecordError::Start)?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| RecordError::Start)?;
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        [MAGIC, VERSION, ..] => {}
        [MAGIC, version, ..] => return Err(RecordError::Version((*version).to_owned())),
        _ => return Err(RecordError::Start),
    }
    let [_, _, sum, length] = words.as_slice() else { return Err(RecordError::Start) };
    let content = &bytes[end + 1..];
    if checksum(content) != *sum {
        return Err(RecordError::Checksum);
    }
    let length: usize = length.parse().map_err(|_| RecordError::Start)?;
    let (head, payload) = content.split_at_checked(length).ok_or(RecordError::Start)?;
    let head: Head = serde_json::from_slice(head).map_err(RecordError::Head)?;
    let mut json = Vec::new();
    // Nobody who may write into the folder may fill this process's memory with one file.
    let limit = u64::try_from(MAX_BODY).unwrap_or(u64::MAX);
    GzDecoder::new(payload).take(limit).read_to_end(&mut json).map_err(RecordError::Gzip)?;
    Ok(Record { head, json })
}

/// An event whose payload is not read yet.
pub(super) struct Record {
    head: Head,
    json: Vec<u8>,
}

impl Record {
    pub(super) fn json(&self) -> &[u8] {
        &self.json
    }

    pub(super) fn organization(&self) -> &str {
        &self.head.listener_namespace
    }

    pub(super) fn read(self) -> Result<Incoming, RecordError> {
        let Self { head, json } = self;
        Ok(Incoming {
            body: serde_json::from_slice(&json).map_err(RecordError::Payload)?,
            json: json.into(),
            namespace: head.namespace,
            listener_namespace: head.listener_namespace,
            listener: head.listener,
            delivery_id: head.delivery_id,
            event: head.event,
            headers: head.headers,
            url: head.url,
            source: head.source,
            verified_by: head.verified_by,
            received: head.received,
        })
    }
}

fn checksum(content: &[u8]) -> String {
    digest(&SHA256, content).as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn incoming() -> Incoming {
        let body = json!({ "ref": "refs/heads/main", "text": "烈".repeat(100) });
        let key =
            SecretKeyRef { namespace: "org-acme".into(), name: "webhook-web".into(), key: "secret".into() };
        Incoming {
            namespace: "acme-web".into(),
            listener_namespace: "org-acme".into(),
            listener: "github-listener".into(),
            delivery_id: "72d3162e".into(),
            event: "push".into(),
            headers: [("X-Github-Event".to_owned(), "push".to_owned())].into(),
            url: "/acme".into(),
            source: "192.0.2.1".into(),
            json: body.to_string().into(),
            body,
            verified_by: vec![key],
            received: Timestamp::from_microsecond(1_700_000_000_123_456).unwrap(),
        }
    }

    fn bytes() -> Vec<u8> {
        encode(&Head::of(&incoming()), &incoming().json).unwrap()
    }

    #[test]
    fn an_event_reads_back_the_same() {
        let read = decode(&bytes()).unwrap().read().unwrap();
        assert_eq!(Head::of(&read), Head::of(&incoming()));
        assert_eq!((read.body, read.json), (incoming().body, incoming().json));
    }

    #[test]
    fn what_is_cut_or_changed_anywhere_is_no_event() {
        let whole = bytes();
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "cut after {length}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(decode(&changed).is_err(), "changed at {at}");
        }
        assert!(decode(&[whole.as_slice(), b"x"].concat()).is_err(), "something behind it");
    }

    #[test]
    fn a_later_format_says_so() {
        let mut later = bytes();
        later[MAGIC.len() + 1] = b'2';
        assert!(matches!(decode(&later), Err(RecordError::Version(version)) if version == "2"));
    }
}

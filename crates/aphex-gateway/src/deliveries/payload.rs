//! The payload as a Delivery keeps it: gzip, then base64; what does not fit one object goes into Secrets.
//!
//! etcd takes objects up to 1.5 MiB, GitHub sends payloads up to 25 MiB; nearly all compress to a few kilobytes.

use std::io::Read as _;
use std::sync::Arc;

use aphex_api::delivery::Delivery;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use kube::Client;
use serde_json::Value;
use thiserror::Error;

use super::parts::PayloadParts;
use crate::event;
use crate::gzip;
use crate::sink::MAX_BODY;
use crate::templates::hex;

/// How much base64 text one object carries.
const PART: usize = 900 * 1024;
/// Up to so many bytes many payloads may be decompressed at once.
pub(super) const SMALL: usize = 1 << 20;

/// A stored payload cannot be read.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// A Secret with a part of it cannot be read.
    #[error("cannot read part {0} of the payload")]
    Part(u32, #[source] Box<kube::Error>),
    /// The Secrets with its parts may not be read.
    #[error("the payload is kept in Secrets of namespace {namespace}, which may not be read")]
    Refused {
        /// Their namespace.
        namespace: String,
        /// The engine's answer.
        source: Box<kube::Error>,
    },
    /// A Secret with a part of it is not there.
    #[error("part {0} of the payload is missing")]
    Missing(u32),
    /// The Secrets with its parts take too long to read.
    #[error("the engine took longer than {0:?} to give the payload")]
    Late(std::time::Duration),
    /// The parts are not those that the Delivery names.
    #[error("the parts of the payload are not what was received")]
    Changed,
    /// The text is not base64.
    #[error("the payload is not base64")]
    Base64(#[source] base64::DecodeError),
    /// The bytes are not gzip, or too many.
    #[error("cannot decompress the payload")]
    Gzip(#[source] std::io::Error),
    /// The text is not JSON.
    #[error("the payload is not JSON")]
    Json(#[source] serde_json::Error),
}

impl UnpackError {
    /// Whether it may be readable later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Part(..) | Self::Refused { .. } | Self::Late(_))
    }
}

/// A payload cut into pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// What goes into the Delivery, if all of it does.
    pub first: String,
    /// What does not fit one object; almost always nothing.
    pub rest: Vec<String>,
    /// What tells it from other payloads with the same id.
    pub mark: Mark,
}

/// What gzip ends with: checksum and length of what it compressed. Whoever compresses has computed it anyway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark(u64);

impl Mark {
    const LENGTH: usize = 8;

    fn of(gzip: &[u8]) -> Self {
        let end = gzip.len().checked_sub(Self::LENGTH).and_then(|at| gzip.get(at..)).unwrap_or_default();
        Self(end.iter().fold(0, |mark, byte| mark << 8 | u64::from(*byte)))
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Packed {
    /// SHA-256 of all pieces, hexadecimal.
    pub(super) fn digest(&self) -> String {
        hex(&format!("{}{}", self.first, self.rest.concat()))
    }
}

/// Compresses a payload; the same bytes always give the same text.
pub fn pack(json: &[u8]) -> std::io::Result<Packed> {
    let bytes = gzip::compress(json)?;
    let mark = Mark::of(&bytes);
    let text = STANDARD.encode(bytes);
    if text.len() <= PART {
        return Ok(Packed { first: text, rest: Vec::new(), mark });
    }
    let mut pieces = text.as_bytes().chunks(PART).map(|piece| String::from_utf8_lossy(piece).into_owned());
    Ok(Packed { first: pieces.next().unwrap_or_default(), rest: pieces.collect(), mark })
}

/// A payload, read and as it was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// The JSON.
    pub body: Value,
    /// Its text, byte for byte.
    pub raw: Arc<str>,
    /// What tells it from other payloads with the same id.
    pub mark: Mark,
}

/// Reads what [`pack`] made, pieces joined.
pub fn unpack(text: &str) -> Result<Payload, UnpackError> {
    Text::unpack(text, MAX_BODY)?.read()
}

/// Whether a payload is all in its Delivery, and small once it is decompressed: gzip ends with how much it is (RFC 1952,
/// section 2.3.1).
pub(super) fn is_small(delivery: &Delivery) -> bool {
    let text = &delivery.spec.payload;
    let end =
        text.len().checked_sub(8).and_then(|at| text.get(at..)).and_then(|end| STANDARD.decode(end).ok());
    let length = end.and_then(|end| end.last_chunk().copied().map(u32::from_le_bytes));
    delivery.spec.payload_parts == 0 && length.is_some_and(|length| length as usize <= SMALL)
}

/// The text of a payload, which is not read yet.
pub(super) struct Text {
    json: Vec<u8>,
    mark: Mark,
}

impl Text {
    /// Decompresses what [`pack`] made, so many bytes at most.
    pub(super) fn unpack(text: &str, most: usize) -> Result<Self, UnpackError> {
        let bytes = STANDARD.decode(text).map_err(UnpackError::Base64)?;
        let mut json = Vec::new();
        // Nobody who may write Deliveries may fill this process's memory with one.
        let limit = u64::try_from(most).unwrap_or(u64::MAX);
        GzDecoder::new(bytes.as_slice()).take(limit).read_to_end(&mut json).map_err(UnpackError::Gzip)?;
        Ok(Self { json, mark: Mark::of(&bytes) })
    }

    pub(super) fn json(&self) -> &[u8] {
        &self.json
    }

    pub(super) fn read(self) -> Result<Payload, UnpackError> {
        let body = serde_json::from_slice(&self.json).map_err(UnpackError::Json)?;
        Ok(Payload { body, raw: event::raw(&self.json), mark: self.mark })
    }
}

/// The payload of a Delivery.
pub async fn fetch(client: &Client, delivery: &Delivery) -> Result<Payload, UnpackError> {
    unpack(&text(client, delivery).await?)
}

/// The same as it is kept.
pub(super) async fn text(client: &Client, delivery: &Delivery) -> Result<String, UnpackError> {
    let spec = &delivery.spec;
    let Some(parts) = PayloadParts::of(delivery) else { return Ok(spec.payload.clone()) };
    let rest = parts.read(client).await?;
    if !parts.is_apart() {
        return Ok(format!("{}{rest}", spec.payload));
    }
    if hex(&rest) == spec.payload_digest { Ok(rest) } else { Err(UnpackError::Changed) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_payload_reads_back_the_same() {
        let json = json!({ "ref": "refs/heads/main", "text": "烈".repeat(1000) });
        let packed = pack(json.to_string().as_bytes()).unwrap();
        assert!(packed.rest.is_empty() && packed.first.len() < 200);
        assert_eq!(packed, pack(json.to_string().as_bytes()).unwrap());
        assert_eq!(unpack(&packed.first).unwrap().body, json);
        assert_eq!(&*unpack(&packed.first).unwrap().raw, json.to_string());
        assert_eq!(unpack(&packed.first).unwrap().mark, packed.mark);
        assert_ne!(pack(b"{}").unwrap().mark, packed.mark);
        for (bytes, parts, small) in [(10, 0, true), (SMALL - 2, 0, true), (SMALL, 0, false), (10, 1, false)]
        {
            let json = format!("\"{}\"", "x".repeat(bytes));
            let mut delivery = Delivery::new("d", aphex_api::delivery::DeliverySpec::default());
            delivery.spec.payload = pack(json.as_bytes()).unwrap().first;
            delivery.spec.payload_parts = parts;
            assert_eq!(is_small(&delivery), small, "{bytes}");
        }
    }

    #[test]
    fn a_payload_that_does_not_compress_is_cut() {
        // Knuth's generator: text that gzip finds nothing in.
        let mut state = 1_u64;
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'0' + (state >> 58) as u8)
        };
        let noise: String = (0..1_500_000).map(|_| letter()).collect();
        let json = Value::String(noise);
        let packed = pack(json.to_string().as_bytes()).unwrap();
        assert!(!packed.rest.is_empty());
        assert_eq!(packed.digest(), hex(&(packed.first.clone() + &packed.rest.concat())));
        let unpacked = unpack(&(packed.first + &packed.rest.concat())).unwrap();
        assert_eq!((unpacked.body, unpacked.mark), (json, packed.mark));
    }

    #[test]
    fn what_is_not_a_payload_is_an_error() {
        assert!(matches!(unpack("?"), Err(UnpackError::Base64(_))));
        assert!(matches!(unpack("AAAA"), Err(UnpackError::Gzip(_))));
        let text = pack(b"{").unwrap().first;
        assert!(matches!(unpack(&text), Err(UnpackError::Json(_))));
    }
}

//! The payload as a Delivery keeps it: gzip, then base64; what does not fit one object goes into Secrets.
//!
//! etcd takes objects up to 1.5 MiB, GitHub sends payloads up to 25 MiB; nearly all compress to a few kilobytes.

use std::io::Read as _;
use std::sync::Arc;

use aphex_api::delivery::Delivery;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource as _};
use serde_json::{Value, json};
use thiserror::Error;

use super::FIELD_MANAGER;
use crate::event;
use crate::gzip;
use crate::sink::MAX_BODY;

/// How much base64 text one object carries.
const PART: usize = 900 * 1024;
/// The type of the Secrets that carry the rest.
const SECRET_TYPE: &str = "aphex.io/delivery-payload";
const KEY: &str = "payload";

/// A stored payload cannot be read.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// A Secret with a part of it cannot be read.
    #[error("cannot read part {0} of the payload")]
    Part(u32, #[source] Box<kube::Error>),
    /// A Secret with a part of it is not there.
    #[error("part {0} of the payload is missing")]
    Missing(u32),
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
        matches!(self, Self::Part(..))
    }
}

/// A payload cut into pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// What goes into the Delivery.
    pub first: String,
    /// What does not fit there; almost always nothing.
    pub rest: Vec<String>,
}

/// Compresses a payload; the same bytes always give the same text.
pub fn pack(json: &[u8]) -> std::io::Result<Packed> {
    let text = STANDARD.encode(gzip::compress(json)?);
    if text.len() <= PART {
        return Ok(Packed { first: text, rest: Vec::new() });
    }
    let mut pieces = text.as_bytes().chunks(PART).map(|piece| String::from_utf8_lossy(piece).into_owned());
    Ok(Packed { first: pieces.next().unwrap_or_default(), rest: pieces.collect() })
}

/// A payload, read and as it was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// The JSON.
    pub body: Value,
    /// Its text, byte for byte.
    pub raw: Arc<str>,
}

/// Reads what [`pack`] made, pieces joined.
pub fn unpack(text: &str) -> Result<Payload, UnpackError> {
    let bytes = STANDARD.decode(text).map_err(UnpackError::Base64)?;
    let mut json = Vec::new();
    // Nobody who may write Deliveries may fill this process's memory with one.
    let limit = u64::try_from(MAX_BODY).unwrap_or(u64::MAX);
    GzDecoder::new(bytes.as_slice()).take(limit).read_to_end(&mut json).map_err(UnpackError::Gzip)?;
    let body = serde_json::from_slice(&json).map_err(UnpackError::Json)?;
    Ok(Payload { body, raw: event::raw(&json) })
}

/// The payload of a Delivery.
pub async fn fetch(client: &Client, delivery: &Delivery) -> Result<Payload, UnpackError> {
    unpack(&text(client, delivery).await?)
}

/// The same as it is kept.
pub(super) async fn text(client: &Client, delivery: &Delivery) -> Result<String, UnpackError> {
    let mut text = delivery.spec.payload.clone();
    let namespace = delivery.metadata.namespace.as_deref().unwrap_or_default();
    let name = delivery.metadata.name.as_deref().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for part in 1..=delivery.spec.payload_parts {
        let secret =
            api.get_opt(&part_name(name, part)).await.map_err(|e| UnpackError::Part(part, Box::new(e)))?;
        let data = secret.and_then(|secret| secret.data?.remove(KEY)).ok_or(UnpackError::Missing(part))?;
        text.push_str(&String::from_utf8_lossy(&data.0));
    }
    Ok(text)
}

/// Stores what does not fit the Delivery, before the Delivery itself.
pub(super) async fn store_rest(
    client: &Client,
    namespace: &str,
    name: &str,
    rest: &[String],
) -> kube::Result<()> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for (part, text) in (1..).zip(rest) {
        let secret = Secret {
            metadata: ObjectMeta { name: Some(part_name(name, part)), ..ObjectMeta::default() },
            type_: Some(SECRET_TYPE.to_owned()),
            data: Some([(KEY.to_owned(), ByteString(text.clone().into_bytes()))].into()),
            ..Secret::default()
        };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&part_name(name, part), &params, &Patch::Apply(&secret)).await?;
    }
    Ok(())
}

/// Makes the Delivery own its parts, so that they go with it.
pub(super) async fn adopt_rest(client: &Client, delivery: &Delivery) -> kube::Result<()> {
    let namespace = delivery.metadata.namespace.as_deref().unwrap_or_default();
    let name = delivery.metadata.name.as_deref().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let owner = json!({ "metadata": { "ownerReferences": [delivery.owner_ref(&())] } });
    for part in 1..=delivery.spec.payload_parts {
        api.patch(&part_name(name, part), &PatchParams::default(), &Patch::Merge(&owner)).await?;
    }
    Ok(())
}

pub(super) fn part_name(delivery: &str, part: u32) -> String {
    format!("{delivery}-payload-{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_reads_back_the_same() {
        let json = json!({ "ref": "refs/heads/main", "text": "烈".repeat(1000) });
        let packed = pack(json.to_string().as_bytes()).unwrap();
        assert!(packed.rest.is_empty() && packed.first.len() < 200);
        assert_eq!(packed, pack(json.to_string().as_bytes()).unwrap());
        assert_eq!(unpack(&packed.first).unwrap().body, json);
        assert_eq!(&*unpack(&packed.first).unwrap().raw, json.to_string());
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
        assert_eq!(unpack(&(packed.first + &packed.rest.concat())).unwrap().body, json);
    }

    #[test]
    fn what_is_not_a_payload_is_an_error() {
        assert!(matches!(unpack("?"), Err(UnpackError::Base64(_))));
        assert!(matches!(unpack("AAAA"), Err(UnpackError::Gzip(_))));
        let text = pack(b"{").unwrap().first;
        assert!(matches!(unpack(&text), Err(UnpackError::Json(_))));
    }
}

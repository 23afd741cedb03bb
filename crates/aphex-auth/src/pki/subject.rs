//! A certificate's subject with several groups: one organization attribute each.
//!
//! rcgen's distinguished names hold each attribute type once, so a finished certificate gets
//! another subject here and is signed again.

use rcgen::{KeyPair, SigningKey};

use super::authority::cannot_make;
use crate::keystore::KeystoreError;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
const BIT_STRING: u8 = 0x03;
/// 2.5.4.3, the attribute type commonName.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
/// 2.5.4.10, the attribute type organizationName.
const ORGANIZATION: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x0a];

/// The same certificate about `name` in `groups`, signed with `key`.
pub(super) fn with_groups(
    certificate: &[u8],
    name: &str,
    groups: &[&str],
    key: &KeyPair,
) -> Result<Vec<u8>, KeystoreError> {
    let failed = |error: &dyn std::fmt::Display| cannot_make("a client certificate", error);
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|error| failed(&error))?;
    let tbs = parsed.tbs_certificate.as_ref();
    let old = parsed.tbs_certificate.subject.as_raw();
    let at = offset(tbs, old).ok_or_else(|| failed(&"its subject was not found"))?;
    let header = tbs.len() - content_length(tbs).ok_or_else(|| failed(&"it is no sequence"))?;
    let body = [&tbs[header..at], &subject(name, groups), &tbs[at + old.len()..]].concat();
    let tbs = element(SEQUENCE, &body);
    let signature = key.sign(&tbs).map_err(|error| failed(&error))?;
    // The algorithm is named inside the signed part and again beside the signature.
    let algorithm = ECDSA_WITH_SHA256.as_slice();
    let signature = element(BIT_STRING, &[&[0], signature.as_slice()].concat());
    Ok(element(SEQUENCE, &[&tbs, algorithm, &signature].concat()))
}

/// The AlgorithmIdentifier ecdsa-with-SHA256, 1.2.840.10045.4.3.2; the authority's key is P-256.
const ECDSA_WITH_SHA256: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// Where one slice lies inside the other it was cut from.
fn offset(whole: &[u8], part: &[u8]) -> Option<usize> {
    let at = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    (whole.get(at..at + part.len())? == part).then_some(at)
}

fn subject(name: &str, groups: &[&str]) -> Vec<u8> {
    let mut attributes = Vec::new();
    for group in groups {
        attributes.extend(attribute(&ORGANIZATION, group));
    }
    attributes.extend(attribute(&COMMON_NAME, name));
    element(SEQUENCE, &attributes)
}

fn attribute(kind: &[u8], value: &str) -> Vec<u8> {
    let value = element(UTF8_STRING, value.as_bytes());
    element(SET, &element(SEQUENCE, &[kind, &value].concat()))
}

/// A DER element: tag, length, content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    let first = length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1);
    let length = &length[first..];
    if content.len() >= 0x80 {
        // At most eight length bytes.
        #[expect(clippy::cast_possible_truncation, reason = "a usize has at most eight bytes")]
        out.push(0x80 | length.len() as u8);
    }
    out.extend_from_slice(length);
    out.extend_from_slice(content);
    out
}

/// The length of the content of the element that these bytes are.
fn content_length(element: &[u8]) -> Option<usize> {
    let header = match *element.get(1)? {
        short if short < 0x80 => 2,
        long => 2 + usize::from(long & 0x7f),
    };
    element.len().checked_sub(header)
}

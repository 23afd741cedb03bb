//! How senders show that they know a webhook secret: GitHub's signature here, the others' in `proofs`.
//!
//! GitHub's is HMAC-SHA256 over the raw body, as `sha256=<hex>` in `X-Hub-Signature-256`.

pub mod proofs;

use std::fmt::Write as _;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign as mac, verify as verify_mac};

/// The request header that carries the signature, in lower case.
pub(crate) const HEADER: &str = "x-hub-signature-256";
const PREFIX: &str = "sha256=";

/// The header value that GitHub would send for this body.
///
/// ```
/// // The example of GitHub's own documentation, "Validating webhook deliveries".
/// assert_eq!(
///     aphex_gateway::sign(b"It's a Secret to Everybody", b"Hello, World!"),
///     "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
/// );
/// ```
pub fn sign(secret: &[u8], body: &[u8]) -> String {
    let tag = mac(&Key::new(HMAC_SHA256, secret), body);
    tag.as_ref().iter().fold(PREFIX.to_owned(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A signature as sent: 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature([u8; 32]);

impl Signature {
    /// Reads a header value; anything but `sha256=` and 64 hexadecimal digits is none.
    pub fn parse(header: &str) -> Option<Self> {
        let hex = header.trim().strip_prefix(PREFIX)?.as_bytes();
        if hex.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// Whether the body was signed with the secret, in constant time; an empty secret signs nothing.
    pub fn verifies(&self, secret: &[u8], body: &[u8]) -> bool {
        !secret.is_empty() && verify_mac(&Key::new(HMAC_SHA256, secret), body, &self.0).is_ok()
    }
}

/// Compares digests, so that the time tells neither length nor beginning of the secret.
pub(crate) fn same(known: &[u8], given: &[u8]) -> bool {
    let (known, given) = (digest(&SHA256, known), digest(&SHA256, given));
    verify_slices_are_equal(known.as_ref(), given.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_verifies_its_own_body_and_secret_alone() {
        let signature = Signature::parse(&sign(b"secret", b"body")).unwrap();
        assert!(signature.verifies(b"secret", b"body"));
        assert!(!signature.verifies(b"secret", b"body "));
        assert!(!signature.verifies(b"secrets", b"body"));
        assert!(!Signature::parse(&sign(b"", b"body")).unwrap().verifies(b"", b"body"));
    }

    #[test]
    fn anything_else_is_no_signature() {
        let hex = "ab".repeat(32);
        assert!(Signature::parse(&format!("sha256={}", hex.to_uppercase())).is_some());
        for wrong in ["", &hex, "sha256=", &format!("sha1={hex}"), &format!("sha256={hex}0"), "sha256=zz"] {
            assert_eq!(Signature::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Signature::parse(&format!("sha256=+{}", &hex[1..])), None);
    }
}

//! Random secrets, and the digests under which they are kept.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;

/// A new secret of 256 random bits, in letters that URLs and headers take as they are.
pub fn random() -> SecretString {
    let bytes: [u8; 32] = rand::random();
    SecretString::from(URL_SAFE_NO_PAD.encode(bytes))
}

/// The digest under which a random secret is kept; no secret that people choose may be kept so.
///
/// Records are found by it: what somebody presents is never compared byte by byte with what is kept.
pub fn fingerprint(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.as_bytes()))
}

/// A random identifier in the form of RFC 9562, version 4.
pub fn uuid() -> String {
    let bits = (rand::random::<u128>() & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    parts.map(|part| hex.get(part).unwrap_or_default().to_owned()).join("-")
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn secrets_differ_and_their_fingerprints_do_not_tell_them() {
        let (one, other) = (random(), random());
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert_eq!(one.expose_secret().len(), 43);
        assert_ne!(fingerprint(one.expose_secret()), one.expose_secret());
        assert_eq!(fingerprint("abc"), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
    }

    #[test]
    fn identifiers_have_version_and_variant() {
        let uuid = uuid();
        let bytes = uuid.as_bytes();
        assert_eq!((bytes.len(), bytes[8], bytes[14]), (36, b'-', b'4'));
        assert!(b"89ab".contains(&bytes[19]), "{uuid}");
    }
}

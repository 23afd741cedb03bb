//! Webhook secrets: `whsec_` and 32 random bytes in hexadecimal.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rand::TryRngCore as _;
use rand::rand_core::OsError;
use rand::rngs::OsRng;

/// The key that holds a webhook secret inside a Secret.
pub const KEY: &str = "secret";

const BYTES: usize = 32;

/// A new secret, from the operating system's random numbers.
pub fn generate() -> Result<String, OsError> {
    let mut bytes = [0; BYTES];
    OsRng.try_fill_bytes(&mut bytes)?;
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    let hex: String = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect();
    Ok(format!("whsec_{hex}"))
}

/// The webhook secret that a Secret holds, if it holds one.
#[must_use]
pub fn read(secret: &Secret) -> Option<String> {
    let ByteString(bytes) = secret.data.as_ref()?.get(KEY)?;
    let text = String::from_utf8(bytes.clone()).ok()?;
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_each_is_new() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_ne!(one, two);
        let hex = one.strip_prefix("whsec_").unwrap();
        assert!(hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()));
    }

    #[test]
    fn an_empty_or_missing_key_is_no_secret() {
        let with = |value: &str| Secret {
            data: Some([(KEY.to_owned(), ByteString(value.as_bytes().to_vec()))].into()),
            ..Secret::default()
        };
        assert_eq!(read(&with("whsec_x")).as_deref(), Some("whsec_x"));
        assert_eq!(read(&with("")), None);
        assert_eq!(read(&Secret::default()), None);
    }
}

//! The keys an issuer signs with, from its JWKS (RFC 7517).

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{AlgorithmFamily, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::Value;

use super::token::Token;

/// The keys of an issuer; those of a kind we do not take are left out.
#[derive(Clone, Default)]
pub struct KeySet(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: String,
    key: DecodingKey,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

impl KeySet {
    /// Reads a key set; the error says what is wrong with the document.
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(document).map_err(|error| error.to_string())?;
        Ok(Self(document.keys.iter().filter_map(Key::of).collect()))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the keys signed the token: that which it names, or any when it names none.
    pub(super) fn signed(&self, token: &Token<'_>) -> bool {
        let Some(algorithm) = token.algorithm else { return false };
        let named = |key: &&Key| token.key_id.is_empty() || key.id == token.key_id;
        let fits = |key: &&Key| key.key.family() == algorithm.family();
        self.0.iter().filter(named).filter(fits).any(|key| {
            crypto::verify(token.signature, token.message.as_bytes(), &key.key, algorithm).unwrap_or(false)
        })
    }
}

impl Key {
    /// A public signing key; secrets and keys for encryption are none.
    fn of(value: &Value) -> Option<Self> {
        if value.get("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let public = matches!(key.family(), AlgorithmFamily::Rsa | AlgorithmFamily::Ec);
        public.then(|| Self { id: jwk.common.key_id.unwrap_or_default(), key })
    }
}

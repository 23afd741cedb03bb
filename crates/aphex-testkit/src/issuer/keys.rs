//! The keys of the issuer for tests.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

/// What kind of key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RS256.
    Rsa,
    /// ES256.
    P256,
    /// ES384.
    P384,
}

/// A signing key with its id.
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    id: String,
    pair: KeyPair,
    encoding: EncodingKey,
}

impl Key {
    /// A new key.
    pub fn generate(kind: Kind) -> anyhow::Result<Self> {
        let pair = match kind {
            Kind::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
            Kind::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
            Kind::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?,
        };
        let pem = pair.serialize_pem();
        let encoding = match kind {
            Kind::Rsa => EncodingKey::from_rsa_pem(pem.as_bytes())?,
            Kind::P256 | Kind::P384 => EncodingKey::from_ec_pem(pem.as_bytes())?,
        };
        Ok(Self { kind, id: format!("{:016x}", rand::random::<u64>()), pair, encoding })
    }

    /// Signs claims as this key's kind signs.
    pub fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        let mut header = Header::new(self.algorithm());
        header.kid = Some(self.id.clone());
        Ok(jsonwebtoken::encode(&header, claims, &self.encoding)?)
    }

    /// The public key as PEM.
    pub fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }

    /// Its entry in the key set.
    pub(super) fn jwk(&self) -> anyhow::Result<Value> {
        let mut entry = if self.kind == Kind::Rsa {
            serde_json::to_value(Jwk::from_encoding_key(&self.encoding, self.algorithm())?)?
        } else {
            // The point without the byte that says it is not compressed.
            let point = self.pair.public_key_raw().get(1..).context("a public key is a point")?.to_vec();
            let (x, y) = point.split_at(point.len() / 2);
            let curve = if self.kind == Kind::P256 { "P-256" } else { "P-384" };
            json!({ "kty": "EC", "crv": curve, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) })
        };
        entry["kid"] = json!(self.id);
        entry["use"] = json!("sig");
        Ok(entry)
    }

    fn algorithm(&self) -> Algorithm {
        match self.kind {
            Kind::Rsa => Algorithm::RS256,
            Kind::P256 => Algorithm::ES256,
            Kind::P384 => Algorithm::ES384,
        }
    }
}

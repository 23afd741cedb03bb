//! One signing key: RSA of 2048 bits for RS256, or a P-256 key for ES256 (RFC 7518).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::RSAPublicKey;

use super::KeyError;

/// How tokens are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSA with SHA-256: what every client and every Kubernetes can check.
    #[default]
    RS256,
    /// ECDSA on P-256: shorter tokens, faster to sign.
    ES256,
}

impl Algorithm {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::ES256 => "ES256",
        }
    }
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RS256 => Self::RS256,
            Algorithm::ES256 => Self::ES256,
        }
    }
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

/// A key pair with what is derived from it once.
pub(super) struct SigningKey {
    pair: Pair,
    pkcs8: String,
    id: String,
    jwk: Value,
    decoding: DecodingKey,
}

impl SigningKey {
    pub(super) fn generate(algorithm: Algorithm) -> Result<Self, String> {
        let pkcs8 = match algorithm {
            Algorithm::RS256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|error| error.to_string())?;
                let der = pair.as_der().map_err(|error| error.to_string())?;
                URL_SAFE_NO_PAD.encode(der.as_ref())
            }
            Algorithm::ES256 => {
                let der =
                    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
                URL_SAFE_NO_PAD.encode(der.map_err(|error| error.to_string())?.as_ref())
            }
        };
        Self::open(algorithm, &pkcs8)
    }

    /// The key in this PKCS#8 document.
    pub(super) fn open(algorithm: Algorithm, pkcs8: &str) -> Result<Self, String> {
        let der = URL_SAFE_NO_PAD.decode(pkcs8).map_err(|error| error.to_string())?;
        let (pair, mut jwk, decoding) = match algorithm {
            Algorithm::RS256 => rsa(&der)?,
            Algorithm::ES256 => ec(&der)?,
        };
        let id = thumbprint(&jwk);
        if let Some(jwk) = jwk.as_object_mut() {
            jwk.insert("use".to_owned(), json!("sig"));
            jwk.insert("alg".to_owned(), json!(algorithm.as_str()));
            jwk.insert("kid".to_owned(), json!(id));
        }
        Ok(Self { pair, pkcs8: pkcs8.to_owned(), id, jwk, decoding })
    }

    /// The key's thumbprint.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn pkcs8(&self) -> String {
        self.pkcs8.clone()
    }

    /// The public key (RFC 7517).
    pub(super) fn jwk(&self) -> &Value {
        &self.jwk
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Rsa(_) => Algorithm::RS256,
            Pair::Ec(_) => Algorithm::ES256,
        }
    }

    /// A token in compact form (RFC 7515). The pair is parsed and checked once, not for each token.
    pub(super) fn sign(&self, kind: &str, claims: &[u8]) -> Result<String, KeyError> {
        let header = json!({ "alg": self.algorithm().as_str(), "kid": self.id, "typ": kind });
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, token.as_bytes(), &mut signature).map(|()| signature)
            }
            Pair::Ec(pair) => {
                pair.sign(&random, token.as_bytes()).map(|signature| signature.as_ref().to_vec())
            }
        };
        let signature = signature.map_err(|error| KeyError::Sign(error.to_string()))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

type Parts = (Pair, Value, DecodingKey);

fn rsa(der: &[u8]) -> Result<Parts, String> {
    let pair = RsaKeyPair::from_pkcs8(der).map_err(|error| error.to_string())?;
    let (_, public) =
        RSAPublicKey::from_der(pair.public_key().as_ref()).map_err(|error| error.to_string())?;
    let plain = |number: &[u8]| URL_SAFE_NO_PAD.encode(number.strip_prefix(&[0]).unwrap_or(number));
    let (modulus, exponent) = (plain(public.modulus), plain(public.exponent));
    let decoding =
        DecodingKey::from_rsa_components(&modulus, &exponent).map_err(|error| error.to_string())?;
    Ok((Pair::Rsa(pair), json!({ "kty": "RSA", "n": modulus, "e": exponent }), decoding))
}

fn ec(der: &[u8]) -> Result<Parts, String> {
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map_err(|error| error.to_string())?;
    // An uncompressed point: 4, then both coordinates (SEC 1 section 2.3.3).
    let point = pair.public_key().as_ref().strip_prefix(&[4]).unwrap_or_default();
    let (x, y) = point.split_at_checked(32).ok_or("its public key is no point of P-256")?;
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let decoding = DecodingKey::from_ec_components(&x, &y).map_err(|error| error.to_string())?;
    Ok((Pair::Ec(pair), json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }), decoding))
}

/// The hash of the required members in the order of their names (RFC 7638); a JSON map is kept in that order.
fn thumbprint(jwk: &Value) -> String {
    let members: std::collections::BTreeMap<&String, &Value> =
        jwk.as_object().into_iter().flatten().collect();
    let text = serde_json::to_string(&members).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_that_of_the_specification() {
        // RFC 7638 section 3.1.
        let modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let jwk = json!({ "kty": "RSA", "n": modulus, "e": "AQAB" });
        assert_eq!(thumbprint(&jwk), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }
}

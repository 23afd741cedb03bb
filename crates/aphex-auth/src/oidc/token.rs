//! A JSON web token taken apart, not yet trusted (RFC 7515, compact serialisation).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What upstream lets issuers sign with and our library can check; never `none`, never an HMAC.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    crit: Option<Value>,
}

/// A token's parts; nothing in it is to be believed before its signature is checked.
pub struct Token<'a> {
    /// Header and payload as signed.
    pub(super) message: &'a str,
    /// The signature, as text.
    pub(super) signature: &'a str,
    /// The algorithm the header names, when it is one we take.
    pub(super) algorithm: Option<Algorithm>,
    /// The key the header names; empty when it names none.
    pub(super) key_id: String,
    /// The payload.
    pub(super) claims: Map<String, Value>,
}

/// Who has the token is its user: it is never printed.
impl std::fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("algorithm", &self.algorithm)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl<'a> Token<'a> {
    /// Takes a text apart; nothing for what is no signed JSON web token at all.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (message, signature) = text.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        if payload.contains('.') {
            return None;
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        let claims: Map<String, Value> = serde_json::from_slice(&decode(payload)?).ok()?;
        let algorithm = header.alg.parse().ok().filter(|algorithm| ALGORITHMS.contains(algorithm));
        // RFC 7515, section 4.1.11: extensions that must be understood, and none is.
        let algorithm = algorithm.filter(|_| header.crit.is_none());
        Some(Self { message, signature, algorithm, key_id: header.kid, claims })
    }

    /// The claim `iss`: who says to have issued it.
    pub fn issuer(&self) -> &str {
        self.claims.get("iss").and_then(Value::as_str).unwrap_or_default()
    }

    /// A claim that is a text.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// A claim that is a list of texts, or one text; empty when it is neither.
    pub fn texts(&self, claim: &str) -> Vec<String> {
        match self.claims.get(claim) {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// A claim that is a time, in seconds since 1970.
    pub fn time(&self, claim: &str) -> Option<i64> {
        let number = self.claims.get(claim)?;
        // RFC 7519, section 2: a NumericDate may have a fraction.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cast to i64 saturates, and no time is near its ends"
        )]
        number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64))
    }

    /// For whom it is: a text or a list of texts (RFC 7519, section 4.1.3).
    pub fn audiences(&self) -> Vec<String> {
        self.texts("aud")
    }
}

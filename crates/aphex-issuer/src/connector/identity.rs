//! The check of an ID token (OpenID Connect Core section 3.1.3.7), and what it says of a person.

use jiff::Timestamp;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use super::provider::ConnectorError;
use crate::directory::Arrival;

/// Signatures with public keys; neither none nor an HMAC, which anybody could make with a public key.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// What clocks may differ by.
const LEEWAY: i64 = 60;

/// What the token must say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now: Timestamp,
}

/// The id of the key that the token says it is signed with.
pub(super) fn key_id(token: &str) -> Option<String> {
    decode_header(token).ok()?.kid
}

/// The claims of a token that holds.
pub(super) fn verify(token: &str, keys: &JwkSet, expected: &Expected<'_>) -> Result<Value, ConnectorError> {
    let wrong = |problem: &str| Err(ConnectorError::wrong(problem));
    let Ok(head) = decode_header(token) else { return wrong("the ID token is no JSON Web Token") };
    if !ALGORITHMS.contains(&head.alg) {
        return wrong("the ID token is not signed with a public key");
    }
    let key = match &head.kid {
        Some(id) => keys.find(id),
        // Without an id only one key can be meant (OpenID Connect Core section 10.1).
        None => keys.keys.first().filter(|_| keys.keys.len() == 1),
    };
    let Some(key) = key.and_then(|key| DecodingKey::from_jwk(key).ok()) else {
        return wrong("the provider does not publish the key of the ID token");
    };
    let mut validation = Validation::new(head.alg);
    validation.required_spec_claims.clear();
    // Times are compared with our own clock, the audience with azp in mind.
    validation.validate_exp = false;
    validation.validate_aud = false;
    let Ok(decoded) = decode::<Value>(token, &key, &validation) else {
        return wrong("the signature of the ID token is wrong");
    };
    check(&decoded.claims, expected)?;
    Ok(decoded.claims)
}

fn check(claims: &Value, expected: &Expected<'_>) -> Result<(), ConnectorError> {
    let wrong = |problem: &str| Err(ConnectorError::wrong(problem));
    if claims["iss"] != expected.issuer {
        return wrong("the ID token is another issuer's");
    }
    let several = match &claims["aud"] {
        Value::String(audience) if audience == expected.client_id => false,
        Value::Array(all) if all.iter().any(|audience| audience == expected.client_id) => all.len() > 1,
        _ => return wrong("the ID token is for another client"),
    };
    let party = claims.get("azp");
    if party.is_some_and(|party| party != expected.client_id) || (several && party.is_none()) {
        return wrong("the ID token was given to another client");
    }
    let now = expected.now.as_second();
    match claims["exp"].as_f64() {
        Some(exp) if exp > seconds(now - LEEWAY) => {}
        _ => return wrong("the ID token has expired"),
    }
    let early = |claim: &str| claims[claim].as_f64().is_some_and(|time| time > seconds(now + LEEWAY));
    if !claims["iat"].is_number() || early("iat") || early("nbf") {
        return wrong("the ID token is from the future, or says no time");
    }
    if claims["nonce"] != expected.nonce {
        return wrong("the ID token is of another login");
    }
    match claims["sub"].as_str() {
        Some(subject) if !subject.is_empty() && subject.len() <= 255 => Ok(()),
        _ => wrong("the ID token does not say who it is about"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "times are far below 2^52")]
fn seconds(time: i64) -> f64 {
    time as f64
}

/// What the claims say of a person.
pub(super) fn arrival(
    claims: &Value,
    issuer: &str,
    groups_claim: &str,
    trust_email: bool,
) -> Result<Arrival, ConnectorError> {
    let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    let groups = match &claims[groups_claim] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(one) => vec![one.clone()],
        _ => Vec::new(),
    };
    let email = text("email");
    if email.is_empty() {
        return Err(ConnectorError::wrong(
            "the provider tells no e-mail address; ask it for the scope email",
        ));
    }
    Ok(Arrival {
        issuer: issuer.to_owned(),
        subject: text("sub"),
        username: text("preferred_username"),
        name: text("name"),
        email,
        email_verified: trust_email || claims["email_verified"] == true,
        groups,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expected() -> Expected<'static> {
        Expected {
            issuer: "https://id.example.com",
            client_id: "dex",
            nonce: "n",
            now: Timestamp::from_second(1000).unwrap(),
        }
    }

    fn claims() -> Value {
        json!({ "iss": "https://id.example.com", "aud": "dex", "exp": 1100, "iat": 990, "nonce": "n", "sub": "s" })
    }

    #[test]
    fn a_token_must_be_ours_fresh_and_of_this_login() {
        assert!(check(&claims(), &expected()).is_ok());
        for (claim, value) in [
            ("iss", json!("https://id.example.com/")),
            ("aud", json!("argocd")),
            ("aud", json!(["dex", "argocd"])),
            ("azp", json!("argocd")),
            ("exp", json!(940)),
            ("exp", Value::Null),
            ("iat", json!(1061)),
            ("iat", Value::Null),
            ("nbf", json!(1061)),
            ("nonce", json!("m")),
            ("nonce", Value::Null),
            ("sub", json!("")),
            ("sub", json!(7)),
        ] {
            let mut wrong = claims();
            wrong[claim] = value;
            assert!(check(&wrong, &expected()).is_err(), "{wrong}");
        }
        let mut several = claims();
        several["aud"] = json!(["dex", "argocd"]);
        several["azp"] = json!("dex");
        assert!(check(&several, &expected()).is_ok());
    }

    #[test]
    fn unsigned_and_symmetric_tokens_are_not_looked_at() {
        let keys = JwkSet { keys: Vec::new() };
        // Heads of alg none and HS256.
        for token in ["eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiJ9.e30.AA", "x", ""] {
            assert!(verify(token, &keys, &expected()).is_err(), "{token}");
        }
    }

    #[test]
    fn an_address_counts_as_verified_only_when_somebody_says_so() {
        let mut claims = claims();
        assert!(arrival(&claims, "i", "groups", true).is_err(), "there is no address");
        claims["email"] = json!("a@example.com");
        claims["roles"] = json!("one");
        let person = arrival(&claims, "i", "roles", false).unwrap();
        assert_eq!((person.email_verified, person.groups), (false, vec!["one".to_owned()]));
        claims["email_verified"] = json!(true);
        assert!(arrival(&claims, "i", "roles", false).unwrap().email_verified);
    }
}

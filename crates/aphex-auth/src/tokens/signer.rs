//! The key that signs service-account tokens, and the check of what it signed.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::claims::{BoundTo, Claims, KubernetesClaims, ObjectRef};
use crate::keystore::{self, KeystoreError};
use crate::quote::{quoted, quoted_list};
use crate::user::{CREDENTIAL_ID, NODE_NAME, NODE_UID, POD_NAME, POD_UID, User, service_account_name};

/// What clocks may differ by (go-jose's default).
const LEEWAY: i64 = 60;
/// What kube-apiserver signs with, and what every OIDC client can check.
const ALGORITHM: Algorithm = Algorithm::RS256;
const KEY_FILE: &str = "service-account.key";

/// Why a token was not issued or not accepted; the wording is Kubernetes'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token of this issuer: another authenticator may know it.
    #[error("not a token of this issuer")]
    Foreign,
    /// The signature, key id or algorithm is wrong.
    #[error("invalid signature: {0}")]
    Signature(String),
    /// It is meant for others.
    #[error("token audiences {} is invalid for the target audiences {}", quoted_list(.held), quoted_list(.wanted))]
    Audience {
        /// The token's audiences.
        held: Vec<String>,
        /// The audiences asked for.
        wanted: Vec<String>,
    },
    /// Its time is over.
    #[error("service account token has expired")]
    Expired,
    /// Its time has not come.
    #[error("service account token is not valid yet")]
    NotYet,
    /// It was made later than now.
    #[error("service account token is issued in the future")]
    Future,
    /// It could not be signed.
    #[error("cannot sign the token: {0}")]
    Signing(String),
}

/// What a token is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The service account's namespace.
    pub namespace: &'a str,
    /// The service account.
    pub account: &'a ObjectRef,
    /// What else the token is bound to.
    pub bound_to: &'a BoundTo,
    /// Who may accept it; empty for the API server.
    pub audiences: &'a [String],
    /// How long it is valid.
    pub seconds: i64,
    /// When its use should be warned about, for tokens valid longer than asked for.
    pub warn_after_seconds: Option<i64>,
}

/// A token made.
#[derive(Clone)]
pub struct Issued {
    /// The token; whoever has it is the service account.
    pub token: String,
    /// When it ends.
    pub expires: Timestamp,
    /// Its identifier, `JTI=...`, as users made from it carry it.
    pub credential_id: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("credential_id", &self.credential_id).finish_non_exhaustive()
    }
}

/// A token accepted; the objects in it may have gone since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The service account as a user, without `system:authenticated`.
    pub user: User,
    /// The audiences both held and asked for.
    pub audiences: Vec<String>,
    /// The service account's namespace.
    pub namespace: String,
    /// The service account.
    pub account: ObjectRef,
    /// What else must still exist.
    pub bound_to: BoundTo,
}

/// The signing key with the issuer it speaks for.
pub struct Signer {
    issuer: String,
    audiences: Vec<String>,
    key_id: String,
    jwk: Value,
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("issuer", &self.issuer)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// The signer whose key lies in a folder, made there when there is none.
    ///
    /// The issuer is also the API server's audience. Making an RSA key takes some 70 ms.
    pub fn load_or_create(folder: &Path, issuer: &str) -> Result<Self, KeystoreError> {
        keystore::open_folder(folder)?;
        let path = folder.join(KEY_FILE);
        let pem = if let Some(pem) = keystore::read(&path)? {
            pem
        } else {
            let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
                .map_err(|error| cannot_make(&error))?;
            let pem = key.serialize_pem();
            keystore::write(&path, &pem)?;
            pem
        };
        Self::from_pem(&pem, issuer).map_err(|problem| KeystoreError::Damaged { path, problem })
    }

    fn from_pem(pem: &str, issuer: &str) -> Result<Self, String> {
        let key =
            KeyPair::from_pem_and_sign_algo(pem, &PKCS_RSA_SHA256).map_err(|error| error.to_string())?;
        let spki = key.subject_public_key_info();
        let (modulus, exponent) = rsa_numbers(&spki)?;
        let key_id = key_id(&spki);
        let jwk = json!({
            "use": "sig", "kty": "RSA", "kid": key_id, "alg": "RS256",
            "n": URL_SAFE_NO_PAD.encode(&modulus), "e": URL_SAFE_NO_PAD.encode(&exponent),
        });
        // Only the pinned algorithm: neither none nor an HMAC keyed with the public key.
        let mut validation = Validation::new(ALGORITHM);
        // Times are compared with the caller's clock, audiences with the caller's wish.
        validation.validate_exp = false;
        validation.validate_aud = false;
        Ok(Self {
            issuer: issuer.to_owned(),
            audiences: vec![issuer.to_owned()],
            key_id,
            jwk,
            encoding: EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|error| error.to_string())?,
            decoding: DecodingKey::from_rsa_raw_components(&modulus, &exponent),
            validation,
        })
    }

    /// The issuer, as in the tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The audiences of the API server itself.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Makes a token.
    pub fn issue(&self, request: &Request<'_>, now: Timestamp) -> Result<Issued, TokenError> {
        let now = now.as_second();
        let audiences = match request.audiences {
            [] => &self.audiences,
            asked => asked,
        };
        let (mut pod, mut secret, mut node) = (None, None, None);
        match request.bound_to.clone() {
            BoundTo::Account => {}
            BoundTo::Pod { pod: bound, node: on } => (pod, node) = (Some(bound), on),
            BoundTo::Secret(bound) => secret = Some(bound),
            BoundTo::Node(bound) => node = Some(bound),
        }
        let exp = now.saturating_add(request.seconds);
        let expires = Timestamp::from_second(exp).map_err(|error| TokenError::Signing(error.to_string()))?;
        let jti = random_uuid().ok_or_else(|| TokenError::Signing("no random numbers".into()))?;
        let claims = Claims {
            aud: audiences.to_vec(),
            exp,
            iat: now,
            iss: self.issuer.clone(),
            jti: jti.clone(),
            kubernetes: KubernetesClaims {
                namespace: request.namespace.to_owned(),
                node,
                pod,
                secret,
                serviceaccount: request.account.clone(),
                warnafter: request.warn_after_seconds.map(|after| now.saturating_add(after)),
            },
            nbf: now,
            sub: service_account_name(request.namespace, &request.account.name),
        };
        let mut header = Header::new(ALGORITHM);
        header.typ = None;
        header.kid = Some(self.key_id.clone());
        let token = jsonwebtoken::encode(&header, &claims, &self.encoding)
            .map_err(|error| TokenError::Signing(error.to_string()))?;
        Ok(Issued { token, expires, credential_id: credential_id(&jti) })
    }

    /// Accepts a token for one of the audiences (none given: the API server's own).
    pub fn verify(&self, token: &str, audiences: &[String], now: Timestamp) -> Result<Verified, TokenError> {
        self.check_origin(token)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|error| TokenError::Signature(error.to_string()))?
            .claims;
        let wanted = if audiences.is_empty() { &self.audiences } else { audiences };
        let shared: Vec<String> =
            claims.aud.iter().filter(|audience| wanted.contains(audience)).cloned().collect();
        if shared.is_empty() {
            return Err(TokenError::Audience { held: claims.aud, wanted: wanted.to_vec() });
        }
        check_times(&claims, now.as_second())?;
        verified(claims, shared)
    }

    /// Before any cryptography: is the issuer ours, and is the key?
    fn check_origin(&self, token: &str) -> Result<(), TokenError> {
        let mut parts = token.split('.');
        let (Some(_), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Foreign);
        };
        let issuer = URL_SAFE_NO_PAD
            .decode(payload)
            .ok()
            .and_then(|payload| serde_json::from_slice::<Value>(&payload).ok())
            .is_some_and(|claims| claims["iss"] == self.issuer.as_str());
        if !issuer {
            return Err(TokenError::Foreign);
        }
        let header =
            jsonwebtoken::decode_header(token).map_err(|error| TokenError::Signature(error.to_string()))?;
        if header.kid.as_ref().is_some_and(|kid| *kid != self.key_id) {
            return Err(TokenError::Signature("no keys found".into()));
        }
        if header.crit.is_some() {
            return Err(TokenError::Signature("unsupported critical header".into()));
        }
        Ok(())
    }

    /// The key set at `/openid/v1/jwks`.
    pub fn jwks(&self) -> Value {
        json!({"keys": [self.jwk]})
    }

    /// The document at `/.well-known/openid-configuration`.
    pub fn openid_configuration(&self, jwks_uri: &str) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        })
    }
}

/// The id of a public key, as kube-apiserver's keyIDFromPublicKey derives it.
fn key_id(spki: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, spki))
}

fn check_times(claims: &Claims, now: i64) -> Result<(), TokenError> {
    if now.saturating_add(LEEWAY) < claims.nbf {
        return Err(TokenError::NotYet);
    }
    if now.saturating_sub(LEEWAY) > claims.exp {
        return Err(TokenError::Expired);
    }
    if now.saturating_add(LEEWAY) < claims.iat {
        return Err(TokenError::Future);
    }
    Ok(())
}

/// The user as apiserver's authentication/serviceaccount/util.go makes it.
fn verified(claims: Claims, audiences: Vec<String>) -> Result<Verified, TokenError> {
    let KubernetesClaims { namespace, node, pod, secret, serviceaccount: account, .. } = claims.kubernetes;
    if claims.sub != service_account_name(&namespace, &account.name) {
        return Err(TokenError::Signature(format!("the subject {} is another", quoted(&claims.sub))));
    }
    let mut user = User::service_account(&namespace, &account.name, &account.uid);
    let mut add = |key: &str, value: String| {
        user.extra.insert(key.to_owned(), vec![value]);
    };
    if let Some(pod) = &pod {
        add(POD_NAME, pod.name.clone());
        add(POD_UID, pod.uid.clone());
    }
    if let Some(node) = &node {
        add(NODE_NAME, node.name.clone());
        if !node.uid.is_empty() {
            add(NODE_UID, node.uid.clone());
        }
    }
    if !claims.jti.is_empty() {
        add(CREDENTIAL_ID, credential_id(&claims.jti));
    }
    let bound_to = match (pod, secret, node) {
        (Some(pod), _, node) => BoundTo::Pod { pod, node },
        (None, Some(secret), _) => BoundTo::Secret(secret),
        (None, None, Some(node)) => BoundTo::Node(node),
        (None, None, None) => BoundTo::Account,
    };
    Ok(Verified { user, audiences, namespace, account, bound_to })
}

fn credential_id(jti: &str) -> String {
    format!("JTI={jti}")
}

fn cannot_make(error: &dyn std::fmt::Display) -> KeystoreError {
    KeystoreError::Make { what: "a key for tokens".into(), problem: error.to_string() }
}

/// Modulus and exponent without the zero byte that keeps DER integers positive.
fn rsa_numbers(spki: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let (_, info) = SubjectPublicKeyInfo::from_der(spki).map_err(|error| error.to_string())?;
    let PublicKey::RSA(key) = info.parsed().map_err(|error| error.to_string())? else {
        return Err("it is no RSA key".into());
    };
    let plain = |number: &[u8]| number.strip_prefix(&[0]).unwrap_or(number).to_vec();
    Ok((plain(key.modulus), plain(key.exponent)))
}

/// A random UUID (RFC 9562, version 4).
fn random_uuid() -> Option<String> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
mod tests;

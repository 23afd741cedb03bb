//! What the issuer for tests remembers.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::keys::{Key, Kind};

/// A code given out by `/auth`, with what must fit when it is redeemed.
pub(super) struct Code {
    pub(super) client: String,
    pub(super) redirect: String,
    pub(super) challenge: String,
    pub(super) nonce: Option<String>,
}

pub(super) struct State {
    pub(super) url: String,
    pub(super) keys: Vec<Key>,
    /// Entries of the key set that are none of its own keys.
    pub(super) foreign_keys: Vec<Value>,
    pub(super) email: String,
    pub(super) groups: Vec<String>,
    /// Fields of the discovery document that a test changed.
    pub(super) discovery: Map<String, Value>,
    pub(super) key_fetches: usize,
    pub(super) refreshes: usize,
    pub(super) codes: HashMap<String, Code>,
    /// Good refresh tokens, each with its client.
    pub(super) refresh_tokens: HashMap<String, String>,
    /// Device codes by the code that people enter.
    pub(super) devices: HashMap<String, String>,
    pub(super) approved: HashSet<String>,
}

/// One key of each kind.
pub(super) fn keys() -> anyhow::Result<Vec<Key>> {
    [Kind::Rsa, Kind::P256, Kind::P384].into_iter().map(Key::generate).collect()
}

impl State {
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        Ok(Self {
            url: url.to_owned(),
            keys: keys()?,
            foreign_keys: Vec::new(),
            email: "jane@example.com".to_owned(),
            groups: vec!["platform-engineering".to_owned()],
            discovery: Map::new(),
            key_fetches: 0,
            refreshes: 0,
            codes: HashMap::new(),
            refresh_tokens: HashMap::new(),
            devices: HashMap::new(),
            approved: HashSet::new(),
        })
    }

    pub(super) fn claims(&self, audience: &str) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({
            "iss": self.url,
            "sub": format!("sub-of-{}", self.email),
            "aud": audience,
            "exp": now + 3600,
            "iat": now,
            "name": "Jane Doe",
            "email": self.email,
            "email_verified": true,
            "groups": self.groups,
        })
    }

    pub(super) fn approve(&mut self, user_code: &str) -> bool {
        let device = self.devices.get(user_code).cloned();
        device.is_some_and(|device| self.approved.insert(device))
    }

    pub(super) fn discovery_document(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.url);
        let mut document = json!({
            "issuer": self.url,
            "authorization_endpoint": at("/auth"),
            "token_endpoint": at("/token"),
            "jwks_uri": at("/keys"),
            "userinfo_endpoint": at("/userinfo"),
            "device_authorization_endpoint": at("/device/code"),
            "revocation_endpoint": at("/token/revoke"),
            "scopes_supported": ["openid", "profile", "email", "groups", "offline_access"],
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "code_challenge_methods_supported": ["S256"],
        });
        for (field, value) in &self.discovery {
            document[field] = value.clone();
        }
        document
    }
}

/// A text that nobody guesses.
pub(super) fn secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>())
}

//! Dex's configuration as its own types have it (`cmd/dex/config.go`, `connector/oidc`, `storage.Client`, v2.44); what they do
//! not know is an error, which Dex itself lets pass.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Dex {
    pub(super) issuer: String,
    #[expect(dead_code, reason = "only its form counts")]
    storage: Storage,
    pub(super) web: Web,
    pub(super) telemetry: Telemetry,
    #[expect(dead_code, reason = "only its form counts")]
    oauth2: OAuth2,
    #[expect(dead_code, reason = "only its form counts")]
    expiry: Expiry,
    pub(super) connectors: Vec<Connector>,
    pub(super) static_clients: Vec<Client>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "type", content = "config", rename_all = "lowercase")]
enum Storage {
    Kubernetes(#[expect(dead_code, reason = "only its form counts")] InCluster),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct InCluster {
    #[expect(dead_code, reason = "only its form counts")]
    in_cluster: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Web {
    pub(super) http: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Telemetry {
    pub(super) http: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "only its form counts")]
struct OAuth2 {
    skip_approval_screen: bool,
    response_types: Vec<ResponseType>,
    grant_types: Vec<GrantType>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ResponseType {
    Code,
}

#[derive(Debug, Deserialize)]
enum GrantType {
    #[serde(rename = "authorization_code")]
    Code,
    #[serde(rename = "refresh_token")]
    Refresh,
    #[serde(rename = "urn:ietf:params:oauth:grant-type:device_code")]
    Device,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "only its form counts")]
struct Expiry {
    id_tokens: Duration,
    signing_keys: Duration,
    refresh_tokens: Refresh,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "only its form counts")]
struct Refresh {
    reuse_interval: Duration,
    valid_if_not_used_for: Duration,
    absolute_lifetime: Duration,
}

/// As Go's `time.ParseDuration` takes it, one unit: days are not among them.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Duration;

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text.trim_end_matches(['h', 'm', 's']);
        match number.parse::<u32>() {
            Ok(_) if text.len() == number.len() + 1 => Ok(Self),
            _ => Err(format!("{text} is not a duration")),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form counts")]
pub(super) struct Connector {
    #[serde(rename = "type")]
    kind: ConnectorKind,
    id: String,
    name: String,
    pub(super) config: Oidc,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ConnectorKind {
    Oidc,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Oidc {
    pub(super) issuer: String,
    #[serde(rename = "clientID")]
    pub(super) client_id: String,
    pub(super) client_secret: String,
    #[serde(rename = "redirectURI")]
    pub(super) redirect_uri: String,
    pub(super) scopes: Vec<String>,
    pub(super) insecure_enable_groups: bool,
    #[expect(dead_code, reason = "only its form counts")]
    user_name_key: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Client {
    pub(super) id: String,
    #[expect(dead_code, reason = "only its form counts")]
    name: String,
    #[serde(default)]
    pub(super) public: bool,
    pub(super) secret_env: Option<String>,
    #[serde(default, rename = "redirectURIs")]
    pub(super) redirect_uris: Vec<String>,
    #[serde(default)]
    pub(super) trusted_peers: Vec<String>,
}

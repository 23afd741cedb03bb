//! The relying party: the crate's client with the provider's endpoints, and the claims that it does not know.

use anyhow::Context as _;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClaimName, CoreClaimType, CoreClientAuthMethod,
    CoreErrorResponseType, CoreGenderClaim, CoreGrantType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreSubjectIdentifierType,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AdditionalProviderMetadata, Client, ClientId, ClientSecret, DeviceAuthorizationUrl,
    EmptyExtraTokenFields, EndpointSet, IdToken, IdTokenClaims, IdTokenFields, IntrospectionUrl, IssuerUrl,
    ProviderMetadata, RedirectUrl, RevocationUrl, StandardErrorResponse, StandardTokenResponse,
    UserInfoClaims,
};
use reqwest::blocking::Client as Http;
use serde::{Deserialize, Serialize};

/// What a token tells beside the standard claims.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Groups {
    pub(crate) groups: Vec<String>,
}

impl AdditionalClaims for Groups {}

/// What discovery tells beside OpenID Connect's own endpoints (RFC 8414).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct More {
    device_authorization_endpoint: DeviceAuthorizationUrl,
    introspection_endpoint: IntrospectionUrl,
    revocation_endpoint: RevocationUrl,
    pub(crate) code_challenge_methods_supported: Vec<String>,
}

impl AdditionalProviderMetadata for More {}

pub(crate) type Metadata = ProviderMetadata<
    More,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

pub(crate) type Token =
    IdToken<Groups, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
pub(crate) type Claims = IdTokenClaims<Groups, CoreGenderClaim>;
pub(crate) type UserInfo = UserInfoClaims<Groups, CoreGenderClaim>;
pub(crate) type Tokens = StandardTokenResponse<
    IdTokenFields<
        Groups,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

/// A client that knows every endpoint.
pub(crate) type Party = Client<
    Groups,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointSet,
    EndpointSet,
    EndpointSet,
    EndpointSet,
    EndpointSet,
>;

/// Reads the provider's metadata and keys.
pub(crate) fn discover(issuer: &str, http: &Http) -> anyhow::Result<Metadata> {
    Metadata::discover(&IssuerUrl::new(issuer.to_owned())?, http).context("discovery")
}

/// A client of the provider; one without a secret is public.
pub(crate) fn party(
    metadata: &Metadata,
    id: &str,
    secret: Option<&str>,
    redirect: &str,
) -> anyhow::Result<Party> {
    let token = metadata.token_endpoint().context("discovery names no token endpoint")?.clone();
    let userinfo = metadata.userinfo_endpoint().context("discovery names no userinfo endpoint")?.clone();
    let more = metadata.additional_metadata();
    // The crate revokes over https alone (RFC 7009, 2); whoever calls sends it to where the provider is.
    let mut revocation = more.revocation_endpoint.url().clone();
    if revocation.scheme() == "http" {
        revocation = revocation.as_str().replacen("http:", "https:", 1).parse()?;
    }
    let secret = secret.map(|secret| ClientSecret::new(secret.to_owned()));
    let party = Client::from_provider_metadata(metadata.clone(), ClientId::new(id.to_owned()), secret)
        .set_token_uri(token)
        .set_user_info_url(userinfo)
        .set_device_authorization_url(more.device_authorization_endpoint.clone())
        .set_introspection_url(more.introspection_endpoint.clone())
        .set_revocation_url(RevocationUrl::from_url(revocation))
        .set_redirect_uri(RedirectUrl::new(redirect.to_owned())?);
    Ok(party)
}

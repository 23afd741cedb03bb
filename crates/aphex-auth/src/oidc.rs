//! Tokens of OpenID Connect issuers: which are trusted, how they are checked, who they stand for.
//!
//! ```text
//! Configuration ─► Issuer (rules compiled) ┐
//! bearer token ──► Token ──────────────────┼─► accept ─► User
//! key set of the issuer ─► KeySet ─────────┘
//! ```
//!
//! Configuration, checks and wording are those of kube-apiserver's structured authentication
//! (`apiserver.config.k8s.io/v1`; `plugin/pkg/authenticator/token/oidc/oidc.go` of Kubernetes 1.35). Nothing here
//! fetches: the API server brings the key set, and a new one when [`Refused::UnknownKey`] asks for it.

mod anonymous;
mod configuration;
mod issuer;
mod keys;
mod mapping;
mod token;
mod validation;

pub use anonymous::{Anonymous, AnonymousCondition, AnonymousSettings};
pub use configuration::{
    AudienceMatchPolicy, ClaimMappings, ClaimOrExpression, ClaimValidationRule, Configuration,
    ConfigurationError, ExtraMapping, IssuerSettings, Jwt, PrefixedClaimOrExpression, UserValidationRule,
};
pub use issuer::{Issuer, Refused};
pub use keys::KeySet;
pub use token::Token;
pub use validation::fetchable;

#[cfg(test)]
mod tests;

//! `AuthenticationConfiguration` of kube-apiserver.

use serde::Deserialize;

use super::anonymous::{Anonymous, AnonymousSettings};
use super::issuer::Issuer;
use super::validation;

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// It has another shape.
    #[error("it is no AuthenticationConfiguration: {0}")]
    Shape(String),
    /// It says what cannot be; field paths with the rule each breaks.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
}

/// Which issuers the API server trusts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// `apiserver.config.k8s.io/v1`, or one of its forerunners of the same shape.
    pub api_version: String,
    /// `AuthenticationConfiguration`.
    pub kind: String,
    /// The issuers, at most 64.
    #[serde(default)]
    pub jwt: Vec<Jwt>,
    /// Who gets in without credentials.
    #[serde(default)]
    pub anonymous: Option<AnonymousSettings>,
}

/// One issuer with what its claims mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Jwt {
    /// Who issues, and for whom.
    pub issuer: IssuerSettings,
    /// What must be in a token beyond the standard.
    #[serde(default)]
    pub claim_validation_rules: Vec<ClaimValidationRule>,
    /// From claims to a user.
    pub claim_mappings: ClaimMappings,
    /// What must hold for the user.
    #[serde(default)]
    pub user_validation_rules: Vec<UserValidationRule>,
}

/// Who issues, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuerSettings {
    /// The `iss` of its tokens; its discovery document lies below.
    pub url: String,
    /// Where the discovery document is, when it is elsewhere.
    #[serde(rename = "discoveryURL")]
    pub discovery_url: String,
    /// Certificates to trust when asking it, as PEM; the system's when empty.
    pub certificate_authority: String,
    /// Of these, a token must be for one.
    pub audiences: Vec<String>,
    /// `MatchAny` where there are several audiences.
    pub audience_match_policy: AudienceMatchPolicy,
    /// Which way to the issuer: `controlplane` or `cluster`, where the server has such ways.
    pub egress_selector_type: String,
}

/// How audiences of a token and of the configuration must meet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum AudienceMatchPolicy {
    /// Not said: only for a single audience.
    #[default]
    #[serde(rename = "")]
    Unset,
    /// One in common is enough.
    MatchAny,
}

/// A requirement on claims: a claim with its value, or an expression.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimValidationRule {
    /// The claim.
    pub claim: String,
    /// The text it must be.
    pub required_value: String,
    /// A CEL expression over `claims` that must be true.
    pub expression: String,
    /// What is logged when the expression is false.
    pub message: String,
}

/// A requirement on the user: a CEL expression over `user` that must be true.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct UserValidationRule {
    /// The expression.
    pub expression: String,
    /// What is logged when it is false.
    pub message: String,
}

/// From claims to a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimMappings {
    /// The user's name.
    pub username: PrefixedClaimOrExpression,
    /// The user's groups.
    pub groups: PrefixedClaimOrExpression,
    /// The user's uid.
    pub uid: ClaimOrExpression,
    /// What else is known of the user.
    pub extra: Vec<ExtraMapping>,
}

/// A claim with a prefix for its value, or an expression.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct PrefixedClaimOrExpression {
    /// The claim.
    pub claim: String,
    /// What is put before its value; must be given with a claim, and may be empty.
    pub prefix: Option<String>,
    /// A CEL expression over `claims`.
    pub expression: String,
}

/// A claim or an expression.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimOrExpression {
    /// The claim.
    pub claim: String,
    /// A CEL expression over `claims`.
    pub expression: String,
}

/// One key of a user's extra.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ExtraMapping {
    /// The key: a domain, a slash, a path.
    pub key: String,
    /// A CEL expression over `claims` that gives a text or a list of texts.
    pub value_expression: String,
}

impl Configuration {
    /// Reads a configuration from its JSON form.
    pub fn from_value(value: serde_json::Value) -> Result<Self, ConfigurationError> {
        serde_json::from_value(value).map_err(|error| ConfigurationError::Shape(error.to_string()))
    }

    /// A configuration that trusts one issuer as the platform's clusters do: `email` and `groups`, without prefixes.
    pub fn of_platform(url: &str, audiences: &[&str]) -> Self {
        let claim = |claim: &str| PrefixedClaimOrExpression {
            claim: claim.to_owned(),
            prefix: Some(String::new()),
            expression: String::new(),
        };
        Self {
            api_version: "apiserver.config.k8s.io/v1".to_owned(),
            kind: "AuthenticationConfiguration".to_owned(),
            jwt: vec![Jwt {
                issuer: IssuerSettings {
                    url: url.to_owned(),
                    audiences: audiences.iter().map(|audience| (*audience).to_owned()).collect(),
                    audience_match_policy: AudienceMatchPolicy::MatchAny,
                    ..IssuerSettings::default()
                },
                claim_validation_rules: Vec::new(),
                claim_mappings: ClaimMappings {
                    username: claim("email"),
                    groups: claim("groups"),
                    ..ClaimMappings::default()
                },
                user_validation_rules: Vec::new(),
            }],
            anonymous: None,
        }
    }

    /// Who gets in without credentials.
    pub fn anonymous(&self) -> Anonymous {
        Anonymous::new(self.anonymous.as_ref())
    }

    /// The issuers with their rules compiled; none of them may be one of `own`, the server's own token issuers.
    pub fn issuers(self, own: &[&str]) -> Result<Vec<Issuer>, ConfigurationError> {
        let problems = validation::problems(&self, own);
        if !problems.is_empty() {
            return Err(ConfigurationError::Invalid(problems));
        }
        let (mut issuers, mut problems) = (Vec::new(), Vec::new());
        for (at, jwt) in self.jwt.into_iter().enumerate() {
            match Issuer::compile(jwt) {
                Ok(issuer) => issuers.push(issuer),
                Err(found) => {
                    problems.extend(found.into_iter().map(|problem| format!("jwt[{at}].{problem}")));
                }
            }
        }
        if problems.is_empty() { Ok(issuers) } else { Err(ConfigurationError::Invalid(problems)) }
    }
}

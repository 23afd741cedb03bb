//! What a configuration must keep to; rules and wording of `apiserver/pkg/apis/apiserver/validation` 1.35.

use std::collections::BTreeSet;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::{Host, Url};

use super::configuration::{
    AudienceMatchPolicy, ClaimMappings, Configuration, IssuerSettings, Jwt, PrefixedClaimOrExpression,
};
use crate::quote::quoted;

const VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha1"];
const GROUP: &str = "apiserver.config.k8s.io/";
const MOST: usize = 64;

/// Every rule that the configuration breaks, with the path of the field.
pub(super) fn problems(configuration: &Configuration, own: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let version = configuration.api_version.strip_prefix(GROUP);
    if configuration.kind != "AuthenticationConfiguration"
        || !version.is_some_and(|version| VERSIONS.contains(&version))
    {
        found.push(format!(
            "apiVersion, kind: must be {GROUP}v1, AuthenticationConfiguration, and are {}, {}",
            quoted(&configuration.api_version),
            quoted(&configuration.kind)
        ));
    }
    if configuration.jwt.len() > MOST {
        found.push(format!("jwt: Too many: {}: must have at most {MOST} items", configuration.jwt.len()));
    }
    let mut urls = BTreeSet::new();
    for (at, jwt) in configuration.jwt.iter().enumerate() {
        let mut add = |problem: String| found.push(format!("jwt[{at}].{problem}"));
        let issuer = &jwt.issuer;
        check_issuer(issuer, &mut add);
        if own.contains(&issuer.url.as_str()) {
            add(format!(
                "issuer.url: Invalid value: {}: URL must not overlap with disallowed issuers: the API server issues its own tokens under it",
                quoted(&issuer.url)
            ));
        }
        for url in [&issuer.url, &issuer.discovery_url].into_iter().filter(|url| !url.is_empty()) {
            if !urls.insert(url.as_str()) {
                add(format!("issuer: Duplicate value: {}", quoted(url)));
            }
        }
        check_rules(jwt, &mut add);
        check_mappings(&jwt.claim_mappings, &mut add);
        check_verified_email(jwt, &mut add);
    }
    let anonymous = configuration.anonymous.as_ref();
    if anonymous.is_some_and(|anonymous| !anonymous.enabled && !anonymous.conditions.is_empty()) {
        found.push(
            "anonymous.conditions: Invalid value: enabled should be set to true when conditions are defined"
                .to_owned(),
        );
    }
    found
}

/// Whether an address may be asked for keys: HTTPS, or HTTP on this very machine.
pub fn fetchable(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" && url.host().is_some() || url.scheme() == "http" && loopback
}

fn check_issuer(issuer: &IssuerSettings, add: &mut impl FnMut(String)) {
    if issuer.url.is_empty() {
        add("issuer.url: Required value: URL is required".to_owned());
    } else {
        check_url("issuer.url", &issuer.url, add);
    }
    if !issuer.discovery_url.is_empty() {
        check_url("issuer.discoveryURL", &issuer.discovery_url, add);
        if issuer.discovery_url.trim_end_matches('/') == issuer.url.trim_end_matches('/') {
            add("issuer.discoveryURL: Invalid value: discoveryURL must be different from URL".to_owned());
        }
    }
    if issuer.audiences.is_empty() {
        add("issuer.audiences: Required value: at least one issuer.audiences is required".to_owned());
    }
    if issuer.audiences.iter().any(String::is_empty) {
        add("issuer.audiences: Required value: audience can't be empty".to_owned());
    }
    if issuer.audiences.iter().collect::<BTreeSet<_>>().len() < issuer.audiences.len() {
        add("issuer.audiences: Duplicate value".to_owned());
    }
    if issuer.audiences.len() > 1 && issuer.audience_match_policy == AudienceMatchPolicy::Unset {
        add("issuer.audienceMatchPolicy: Invalid value: \"\": audienceMatchPolicy must be MatchAny for multiple audiences".to_owned());
    }
    check_egress(&issuer.egress_selector_type, add);
    if !issuer.certificate_authority.is_empty() {
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(issuer.certificate_authority.as_bytes()).collect();
        if !certificates.is_ok_and(|certificates| !certificates.is_empty()) {
            add("issuer.certificateAuthority: Invalid value: it holds no PEM certificates".to_owned());
        }
    }
}

/// A way that the server does not have is refused, as kube-apiserver refuses it at start (`egressLookupForType` in oidc.go).
fn check_egress(selector: &str, add: &mut impl FnMut(String)) {
    let why = match selector {
        "" => return,
        "controlplane" | "cluster" => {
            format!(
                "egress lookup required with egress selector type {}: this server has none, leave it out",
                quoted(selector)
            )
        }
        _ => "egress selector must be either controlplane or cluster".to_owned(),
    };
    add(format!("issuer.egressSelectorType: Invalid value: {}: {why}", quoted(selector)));
}

fn check_url(field: &str, text: &str, add: &mut impl FnMut(String)) {
    let mut invalid = |why: &str| add(format!("{field}: Invalid value: {}: {why}", quoted(text)));
    let Ok(url) = Url::parse(text) else { return invalid("it is no URL") };
    if !fetchable(text) {
        invalid("URL scheme must be https (http only for this machine's own addresses)");
    }
    if !url.username().is_empty() || url.password().is_some() {
        invalid("URL must not contain a username or password");
    }
    if url.query().is_some() {
        invalid("URL must not contain a query");
    }
    if url.fragment().is_some() {
        invalid("URL must not contain a fragment");
    }
}

fn check_rules(jwt: &Jwt, add: &mut impl FnMut(String)) {
    let mut seen = BTreeSet::new();
    for (at, rule) in jwt.claim_validation_rules.iter().enumerate() {
        let path = format!("claimValidationRules[{at}]");
        match (rule.claim.is_empty(), rule.expression.is_empty()) {
            (true, true) => add(format!("{path}: Required value: claim or expression is required")),
            (false, false) => add(format!("{path}: Invalid value: claim and expression can't both be set")),
            (false, true) if !rule.message.is_empty() => {
                add(format!("{path}.message: Invalid value: message can't be set when claim is set"));
            }
            (true, false) if !rule.required_value.is_empty() => {
                add(format!(
                    "{path}.requiredValue: Invalid value: requiredValue can't be set when expression is set"
                ));
            }
            _ => {}
        }
        if !seen.insert((&rule.claim, &rule.expression)) {
            add(format!("{path}: Duplicate value"));
        }
    }
    let mut seen = BTreeSet::new();
    for (at, rule) in jwt.user_validation_rules.iter().enumerate() {
        let path = format!("userValidationRules[{at}].expression");
        if rule.expression.is_empty() {
            add(format!("{path}: Required value: expression is required"));
        }
        if !seen.insert(&rule.expression) {
            add(format!("{path}: Duplicate value"));
        }
    }
}

fn check_mappings(mappings: &ClaimMappings, add: &mut impl FnMut(String)) {
    if mappings.username.claim.is_empty() && mappings.username.expression.is_empty() {
        add("claimMappings.username: Required value: claim or expression is required".to_owned());
    }
    check_prefixed("username", &mappings.username, add);
    check_prefixed("groups", &mappings.groups, add);
    if !mappings.uid.claim.is_empty() && !mappings.uid.expression.is_empty() {
        add("claimMappings.uid: Invalid value: claim and expression can't both be set".to_owned());
    }
    let mut seen = BTreeSet::new();
    for (at, extra) in mappings.extra.iter().enumerate() {
        let path = format!("claimMappings.extra[{at}]");
        match extra.key.split_once('/') {
            Some((domain, rest)) if !domain.is_empty() && !rest.is_empty() => {
                let reserved = ["kubernetes.io", "k8s.io"];
                if reserved.iter().any(|own| domain == *own || domain.ends_with(&format!(".{own}"))) {
                    add(format!(
                        "{path}.key: Invalid value: {}: {domain} is reserved for Kubernetes",
                        quoted(&extra.key)
                    ));
                }
            }
            _ => add(format!(
                "{path}.key: Invalid value: {}: must be a domain-prefixed path (such as \"acme.io/foo\")",
                quoted(&extra.key)
            )),
        }
        if extra.key.chars().any(char::is_uppercase) {
            add(format!("{path}.key: Invalid value: {}: key must be lowercase", quoted(&extra.key)));
        }
        if extra.value_expression.is_empty() {
            add(format!("{path}.valueExpression: Required value: valueExpression is required"));
        }
        if !seen.insert(&extra.key) {
            add(format!("{path}.key: Duplicate value: {}", quoted(&extra.key)));
        }
    }
}

fn check_prefixed(field: &str, mapping: &PrefixedClaimOrExpression, add: &mut impl FnMut(String)) {
    let path = format!("claimMappings.{field}");
    if !mapping.claim.is_empty() && !mapping.expression.is_empty() {
        add(format!("{path}: Invalid value: claim and expression can't both be set"));
    }
    if !mapping.claim.is_empty() && mapping.prefix.is_none() {
        add(format!(
            "{path}.prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing"
        ));
    }
    if mapping.claim.is_empty() && mapping.prefix.is_some() {
        add(format!("{path}.prefix: Invalid value: prefix can't be set when claim is not set"));
    }
}

/// A user named by `claims.email` in an expression must have it verified, as the claim `email` has by itself.
fn check_verified_email(jwt: &Jwt, add: &mut impl FnMut(String)) {
    let mappings = &jwt.claim_mappings;
    if !mappings.username.expression.contains("claims.email") {
        return;
    }
    let rules = jwt.claim_validation_rules.iter().map(|rule| &rule.expression);
    let extra = mappings.extra.iter().map(|extra| &extra.value_expression);
    let mut texts = rules.chain(extra).chain([&mappings.username.expression]);
    let email = mappings.username.expression.replace("claims.email_verified", "");
    if email.contains("claims.email") && !texts.any(|text| text.contains("claims.email_verified")) {
        add("claimMappings.username.expression: Invalid value: claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression".to_owned());
    }
}

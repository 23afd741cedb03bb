//! Objects with which others extend the API server: webhook configurations and certificate requests.

use aphex_schema::validate::names;
use aphex_schema::{FieldError, Path};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::fields::{has, items, text, texts};

const REVIEWS: &[&str] = &["v1", "v1beta1"];
const REQUEST: &str = "-----BEGIN CERTIFICATE REQUEST-----";

/// The webhooks of a configuration: `validateValidatingWebhook` of 1.35.
pub(super) fn webhooks(configuration: &Value, errors: &mut Vec<FieldError>) {
    for (index, webhook) in items(configuration, "webhooks").iter().enumerate() {
        let path = Path::root().child("webhooks").index(index);
        let name = text(webhook, "name");
        let faults = names::subdomain_faults(name);
        if !faults.is_empty() {
            let faults = faults.into_iter();
            errors.extend(faults.map(|why| FieldError::invalid(&path.child("name"), name, why)));
        } else if name.split('.').count() < 3 {
            let why = "should be a domain with at least three segments separated by dots";
            errors.push(FieldError::invalid(&path.child("name"), name, why));
        }
        let effects = text(webhook, "sideEffects");
        let supported = ["None", "NoneOnDryRun"];
        if effects.is_empty() {
            let why = format!("must specify one of {}", supported.join(", "));
            errors.push(FieldError::required(&path.child("sideEffects"), why));
        } else if !supported.contains(&effects) {
            errors.push(FieldError::not_supported(&path.child("sideEffects"), effects, &supported));
        }
        if has(webhook, "clientConfig.url") == has(webhook, "clientConfig.service") {
            let why = "exactly one of url or service is required";
            errors.push(FieldError::required(&path.child("clientConfig"), why));
        }
        let versions = texts(webhook, "admissionReviewVersions");
        let place = path.child("admissionReviewVersions");
        if versions.is_empty() {
            let why = format!("must specify one of {}", REVIEWS.join(", "));
            errors.push(FieldError::required(&place, why));
        } else if !versions.iter().any(|version| REVIEWS.contains(version)) {
            let why = format!("must include at least one of {}", REVIEWS.join(", "));
            errors.push(FieldError::invalid(&place, versions, why));
        }
    }
}

/// The request inside a CertificateSigningRequest must be one.
pub(super) fn signing_request(spec: &Value, errors: &mut Vec<FieldError>) {
    let request = text(spec, "request");
    let decoded = STANDARD.decode(request).unwrap_or_default();
    if !String::from_utf8_lossy(&decoded).contains(REQUEST) {
        let path = Path::root().child("spec").child("request");
        errors.push(FieldError::invalid(&path, request, "PEM block type must be CERTIFICATE REQUEST"));
    }
}

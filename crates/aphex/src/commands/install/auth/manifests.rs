//! The files of `platform/auth` and `platform/integrations` as objects, with the host names of an installation.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Site;
use crate::commands::apply::parse;

/// The domain in the files.
const DOMAIN: &str = "home.local";
/// The ConfigMap with the authority's certificate, which pods mount where it is there.
const CA: &str = "auth-ca";

const AUTH: &[&str] = &[
    include_str!("../../../../../../platform/auth/namespace.yaml"),
    include_str!("../../../../../../platform/auth/dex/configmap.yaml"),
    include_str!("../../../../../../platform/auth/dex/rbac.yaml"),
    include_str!("../../../../../../platform/auth/dex/deployment.yaml"),
    include_str!("../../../../../../platform/auth/dex/network-policy.yaml"),
    include_str!("../../../../../../platform/auth/authentik/config.yaml"),
    include_str!("../../../../../../platform/auth/authentik/blueprint.yaml"),
    include_str!("../../../../../../platform/auth/authentik/postgresql.yaml"),
    include_str!("../../../../../../platform/auth/authentik/server.yaml"),
    include_str!("../../../../../../platform/auth/authentik/worker.yaml"),
    include_str!("../../../../../../platform/auth/authentik/network-policy.yaml"),
    include_str!("../../../../../../platform/auth/ingress/ingress.yaml"),
];
const ARGOCD: &[&str] = &[include_str!("../../../../../../platform/integrations/argocd-oidc-config.yaml")];
const TEKTON: &[&str] = &[include_str!("../../../../../../platform/integrations/tekton-dashboard-oidc.yaml")];
const KIND: &str = include_str!("../../../../../../platform/bootstrap/kind-cluster-config.yaml");

/// What is installed together.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Its folder's name.
    pub(super) name: &'static str,
    /// What people call it.
    pub(super) title: &'static str,
    /// Where it is; only the first part brings its own.
    pub(super) namespace: &'static str,
    pub(super) objects: Vec<Value>,
}

/// All parts, in the order of installing.
pub(super) fn render(site: &Site) -> anyhow::Result<Vec<Part>> {
    let parts = [
        ("auth", "Dex and Authentik", "auth-system", AUTH),
        ("argocd", "Argo CD", "argocd", ARGOCD),
        ("tekton-dashboard", "Tekton's Dashboard", "tekton-pipelines", TEKTON),
    ];
    let part = |(name, title, namespace, files): (_, _, _, &[&str])| {
        let mut objects = Vec::new();
        for file in files {
            objects.extend(parse(file).context("a built-in manifest is not readable")?);
        }
        for object in &mut objects {
            rename(object, &site.domain);
            adapt(object, site);
        }
        let runs_pods = objects.iter().any(|object| object["kind"] == "Deployment");
        if let Some(ca) = site.ca.as_deref().filter(|_| runs_pods) {
            objects.push(json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": CA,
                    "namespace": namespace,
                    "labels": { "app.kubernetes.io/part-of": "aphex" },
                },
                "data": { "ca.crt": ca },
            }));
        }
        Ok(Part { name, title, namespace, objects })
    };
    parts.into_iter().map(part).collect()
}

/// Puts another domain into every text.
fn rename(value: &mut Value, domain: &str) {
    match value {
        Value::String(text) if text.contains(DOMAIN) => *text = text.replace(DOMAIN, domain),
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, domain)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rename(field, domain)),
        _ => {}
    }
}

/// Adds what this installation alone has.
fn adapt(object: &mut Value, site: &Site) {
    if object["kind"] == "Ingress" {
        if let Some(issuer) = &site.cluster_issuer {
            object["metadata"]["annotations"] = json!({ "cert-manager.io/cluster-issuer": issuer });
        }
        if let Some(class) = &site.ingress_class {
            object["spec"]["ingressClassName"] = json!(class);
        }
    }
    if let (Some(ca), Some(Value::String(config))) = (&site.ca, object.pointer_mut("/data/oidc.config")) {
        config.push_str("rootCA: |\n");
        config.extend(ca.lines().map(|line| format!("  {line}\n")));
    }
}

/// The configuration of a kind cluster whose API server asks this installation's Dex.
pub(super) fn kind(site: &Site) -> String {
    let mut text = String::new();
    let mut mounts = false;
    // The comment at the top is for readers of the repository.
    for line in KIND.lines().skip_while(|line| line.starts_with('#')) {
        mounts =
            if line.contains("extraMounts:") { true } else { mounts && !line.contains("extraPortMappings:") };
        if site.ca.is_some() || !(mounts || line.contains("oidc-ca-file")) {
            text.push_str(&line.replace(DOMAIN, &site.domain));
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests;

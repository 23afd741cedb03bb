//! Flags that say what is installed onto a cluster.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

/// What can be installed.
#[derive(Debug, Subcommand)]
pub(crate) enum Install {
    /// Where people log in: Dex and Authentik, and Argo CD and Tekton's Dashboard as their clients
    ///
    /// Renders platform/auth and platform/integrations with real host names, and makes the Secrets that they refer to.
    /// Secrets that are there already are kept, and none is printed.
    #[command(
        after_help = "Examples:\n  aphex install auth --domain example.com --apply\n  aphex install auth --domain example.com --cluster-issuer letsencrypt --apply\n  aphex install auth --domain home.lan --ca ca.crt --out ./auth"
    )]
    Auth(Auth),
    /// The platform itself: kinds, policies, rights of groups, controllers, gateway
    ///
    /// What `kubectl apply --server-side -k platform/` installs, from this program alone, with an image and a configuration.
    /// Tekton, Argo CD and External Secrets have to be there. What the cluster's ConfigMap aphex-config says already stays,
    /// unless it is given anew.
    #[command(
        after_help = "Examples:\n  aphex install platform --image registry.example.com/aphex:0.1.0 --set APHEX_LOG=debug --apply\n  aphex install platform --image registry.example.com/aphex:0.1.0 --gateway-url https://hooks.example.com --out ./platform"
    )]
    Platform(Platform),
}

#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("whither").args(["out", "apply"]).required(true))]
pub(crate) struct Platform {
    /// Image of the controllers and the gateway, as nodes pull it: see docs/install.md
    #[arg(long, value_name = "IMAGE", value_parser = image)]
    pub(crate) image: String,
    /// Public address of the gateway, the same as --set APHEX_GATEWAY_URL=URL
    #[arg(long, value_name = "URL")]
    pub(crate) gateway_url: Option<String>,
    /// A key of the ConfigMap aphex-config; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// Write everything into a folder, for `kubectl apply --server-side -k DIR`
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Apply everything to the cluster
    #[arg(long)]
    pub(crate) apply: bool,
    /// Wait until the controllers and the gateway run, SECONDS at most [default: 300]
    #[arg(long, value_name = "SECONDS", requires = "apply", num_args = 0..=1, default_missing_value = "300")]
    pub(crate) wait: Option<u64>,
    /// Take fields over from other managers
    #[arg(long, requires = "apply")]
    pub(crate) force_conflicts: bool,
}

fn image(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) || text.contains("://")
    {
        return Err(
            "an image is a name with a tag or digest, such as registry.example.com/aphex:0.1.0".to_owned()
        );
    }
    Ok(text.to_owned())
}

fn setting(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("a setting is KEY=VALUE, such as APHEX_DOMAIN=hooks.example.com")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("how").args(["out", "apply"]).required(true))]
pub(crate) struct Auth {
    /// Domain of the host names: dex.DOMAIN, auth.DOMAIN, argocd.DOMAIN, tekton.DOMAIN
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    pub(crate) domain: String,
    /// Write everything into a folder, Secrets into files that their owner alone may read
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Apply everything to the cluster
    #[arg(long)]
    pub(crate) apply: bool,
    /// Certificate of the authority (PEM) that signs the host names' certificates, where not everybody trusts it
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// cert-manager's ClusterIssuer that makes the certificates
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster_issuer: Option<String>,
    /// Class of the Ingress objects [default: the cluster's default class]
    #[arg(long, value_name = "NAME")]
    pub(crate) ingress_class: Option<String>,
    /// Take fields over from other managers
    #[arg(long, requires = "apply")]
    pub(crate) force_conflicts: bool,
}

/// The longest first label is `argocd`, and a name has at most 253 characters (RFC 1123).
const LONGEST: usize = 253 - "argocd.".len();

fn domain(text: &str) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.starts_with(inner)
            && label.ends_with(inner)
            && label.chars().all(|c| inner(c) || c == '-')
    };
    if text.len() <= LONGEST && text.split('.').all(label) {
        return Ok(text.to_owned());
    }
    Err("a domain is labels of lower-case letters, digits and '-' with dots between, such as example.com"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::domain;

    #[test]
    fn domains_are_names_and_not_addresses_of_pages() {
        for right in ["example.com", "home.local", "a", "x1.y-2.example"] {
            assert_eq!(domain(right).as_deref(), Ok(right));
        }
        for wrong in
            ["", "Example.com", "https://example.com", "example.com/", "a..b", ".a", "-a.com", "a_b.com"]
        {
            assert!(domain(wrong).is_err(), "{wrong}");
        }
        assert!(domain(&["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(60)].join(".")).is_err());
    }
}

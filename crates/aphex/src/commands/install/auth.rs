//! `aphex install auth`: Dex, Authentik and their clients, with real host names and secrets of their own.
//!
//! ```text
//! manifests   the files of platform/auth and platform/integrations, as objects with other host names
//! secrets     what they refer to: kept where it is there, else random; two ends of one secret are the same
//! folder      all of it as files      cluster   all of it applied
//! next        what people have to do
//! ```
//!
//! No value of a Secret is printed, here or in an error.

mod cluster;
mod folder;
mod manifests;
mod next;
#[cfg(test)]
mod references;
mod secrets;

use anyhow::Context as _;

use crate::cli::{Auth, Global};
use crate::output::say;

/// What an installation is made of.
#[derive(Clone, Debug)]
struct Site {
    domain: String,
    /// The certificate of the authority that signs the host names' certificates.
    ca: Option<String>,
    cluster_issuer: Option<String>,
    ingress_class: Option<String>,
}

pub(crate) async fn run(global: &Global, arguments: Auth) -> anyhow::Result<()> {
    let ca = match &arguments.ca {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the certificate {}", path.display()))?;
            anyhow::ensure!(
                text.contains("-----BEGIN CERTIFICATE-----") && !text.contains("PRIVATE KEY"),
                "{} is not a certificate in PEM form: --ca takes the authority's certificate, and no key",
                path.display()
            );
            Some(text)
        }
    };
    let Auth { domain, cluster_issuer, ingress_class, .. } = arguments;
    let site = Site { domain, ca, cluster_issuer, ingress_class };
    let parts = manifests::render(&site)?;
    let left_out = match &arguments.out {
        Some(path) => {
            folder::write(path, &site, &parts)?;
            Vec::new()
        }
        None => cluster::apply(global, &parts, arguments.force_conflicts).await?,
    };
    say(&next::steps(&site, arguments.out.as_deref(), &left_out));
    Ok(())
}

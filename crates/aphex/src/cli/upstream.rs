//! Flags that say where people log in.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Upstream {
    /// Log people in at the OpenID provider that this file describes, as Dex's `oidc` connector does (YAML)
    #[arg(long, value_name = "FILE", env = "APHEX_UPSTREAM", conflicts_with = "chain_authentik")]
    pub(crate) upstream: Option<PathBuf>,
    /// Log people in at Authentik's face of this issuer and send them back, as on a cluster
    #[arg(long)]
    pub(crate) chain_authentik: bool,
}

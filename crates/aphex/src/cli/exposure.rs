//! Flags that say how webhooks reach organizations.

use std::path::PathBuf;

use aphex_controllers::sensitive::Sensitive;
use clap::{Args, ValueEnum};

/// How webhooks reach organizations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// cloudflare where an API token and a domain are configured, else local
    #[default]
    Auto,
    /// A Cloudflare tunnel and a public name for each organization
    Cloudflare,
    /// An Ingress for each organization
    Ingress,
    /// The gateway's own address, with the organization as path
    Local,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Exposure")]
pub(crate) struct Exposure {
    /// How webhooks reach organizations
    #[arg(long = "exposure", value_name = "WAY", value_enum, env = "APHEX_EXPOSURE", default_value_t)]
    pub(crate) choice: Choice,
    /// Domain below which each organization has its name (`<organization>.<domain>`)
    #[arg(long, value_name = "DOMAIN", env = "APHEX_DOMAIN")]
    pub(crate) domain: Option<String>,
    /// Class of Ingress objects, of standalone tenants too [default: the cluster's default class]
    #[arg(long, value_name = "NAME", env = "APHEX_INGRESS_CLASS")]
    pub(crate) ingress_class: Option<String>,
    /// Secret in platform-system with the certificate for Ingress objects [default: the ingress controller's own]
    #[arg(long, value_name = "NAME", env = "APHEX_INGRESS_TLS_SECRET")]
    pub(crate) ingress_tls_secret: Option<String>,
    /// File with the Cloudflare API token; the token itself is taken from $CLOUDFLARE_API_TOKEN and from no flag
    #[arg(long, value_name = "FILE", env = "APHEX_CLOUDFLARE_TOKEN_FILE")]
    pub(crate) cloudflare_token_file: Option<PathBuf>,
    /// The token itself, where a command found one; no flag sets it.
    #[arg(skip)]
    pub(crate) cloudflare_token: Option<Sensitive>,
    /// Id of the Cloudflare account [default: the zone's]
    #[arg(long, value_name = "ID", env = "APHEX_CLOUDFLARE_ACCOUNT_ID")]
    pub(crate) cloudflare_account: Option<String>,
    /// Id of the Cloudflare zone [default: looked up by the domain]
    #[arg(long, value_name = "ID", env = "APHEX_CLOUDFLARE_ZONE_ID")]
    pub(crate) cloudflare_zone: Option<String>,
    /// Address of Cloudflare's API
    #[arg(
        long,
        value_name = "URL",
        env = "APHEX_CLOUDFLARE_URL",
        default_value = aphex_controllers::tunnels::cloudflare::API
    )]
    pub(crate) cloudflare_url: String,
    /// Image of the tunnels' connectors
    #[arg(
        long,
        value_name = "IMAGE",
        env = "APHEX_CLOUDFLARED_IMAGE",
        default_value = aphex_controllers::context::CLOUDFLARED_IMAGE
    )]
    pub(crate) cloudflared_image: String,
}

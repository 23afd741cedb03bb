//! Flags of the OpenID provider that runs alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::SignedDuration;

use super::{Proxies, Upstream};

#[derive(Args, Clone, Debug)]
pub(crate) struct Issuer {
    /// URL by which clients know the issuer; https, or http on loopback [default: the address it listens on]
    #[arg(long = "issuer-url", value_name = "URL", env = "APHEX_ISSUER_URL")]
    pub(crate) url: Option<String>,
    /// Address to listen on
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5556")]
    pub(crate) listen: SocketAddr,
    /// Where everything is kept, in the folder `issuer` [default: $XDG_DATA_HOME/aphex or ~/.local/share/aphex]
    #[arg(long, value_name = "DIR", env = "APHEX_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Certificate with its chain (PEM), to serve TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Clients as in Dex's `staticClients` (YAML) [default: clients.yaml in the issuer's folder, made at first start]
    #[arg(long, value_name = "FILE")]
    pub(crate) clients: Option<PathBuf>,
    /// How tokens are signed
    #[arg(long, value_name = "ALGORITHM", value_enum, ignore_case = true, default_value_t)]
    pub(crate) signing_algorithm: Signing,
    /// How long ID tokens and access tokens are valid
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub(crate) id_token_lifetime: SignedDuration,
    /// How long a refresh token is valid that nobody uses
    #[arg(long, value_name = "DURATION", default_value = "2160h")]
    pub(crate) refresh_token_lifetime: SignedDuration,
    /// How long a login in a browser lasts
    #[arg(long, value_name = "DURATION", default_value = "12h")]
    pub(crate) session_lifetime: SignedDuration,
    /// How long a key signs before a new one does
    #[arg(long, value_name = "DURATION", default_value = "168h")]
    pub(crate) key_lifetime: SignedDuration,
    #[command(flatten)]
    pub(crate) proxies: Proxies,
    #[command(flatten)]
    pub(crate) upstream: Upstream,
}

/// How tokens are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Signing {
    /// RSA of 2048 bits with SHA-256: every client can check it
    #[default]
    #[value(name = "RS256")]
    Rs256,
    /// ECDSA on P-256: shorter tokens
    #[value(name = "ES256")]
    Es256,
}

//! Flags of what strangers connect to: TLS, how many connections, how it ends.

use std::path::PathBuf;

use clap::Args;
use jiff::SignedDuration;

#[derive(Args, Clone, Debug)]
pub(crate) struct Serving {
    /// Certificate chain to serve TLS with, as PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "APHEX_GATEWAY_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key of the certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "APHEX_GATEWAY_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Connections at once; one more takes the place of the one that is idle longest
    #[arg(
        long,
        value_name = "N",
        env = "APHEX_GATEWAY_MAX_CONNECTIONS",
        default_value_t = aphex_runtime::serve::CONNECTIONS,
        value_parser = positive
    )]
    pub(crate) max_connections: usize,
    /// Connections of one address at once [default: half of all; an ingress is one address]
    #[arg(long, value_name = "N", env = "APHEX_GATEWAY_MAX_CONNECTIONS_PER_ADDRESS", value_parser = positive)]
    pub(crate) max_connections_per_address: Option<usize>,
    /// How long to serve on after SIGTERM while not ready, so that senders notice, such as 5s
    #[arg(long, value_name = "DURATION", env = "APHEX_GATEWAY_DRAIN_DELAY", default_value = "0s")]
    pub(crate) drain_delay: SignedDuration,
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "it must be a number from 1 on".to_owned())
}

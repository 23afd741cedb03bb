//! Flags of local mode.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Calls, Inbox, Upstream};

#[derive(Args, Clone, Debug)]
pub(crate) struct Up {
    /// Where everything is kept [default: $XDG_DATA_HOME/aphex or ~/.local/share/aphex]
    #[arg(long, value_name = "DIR", env = "APHEX_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Port of the Kubernetes API (HTTPS); 0 takes any free one
    #[arg(long, value_name = "N", default_value_t = 7443)]
    pub(crate) api_port: u16,
    /// Port of the webhook gateway (HTTP); 0 takes any free one
    #[arg(long, value_name = "N", default_value_t = 8080)]
    pub(crate) gateway_port: u16,
    /// Port of the OpenID issuer on 127.0.0.1 (HTTP); 0 takes any free one
    #[arg(long, value_name = "N", default_value_t = 5556)]
    pub(crate) issuer_port: u16,
    #[command(flatten)]
    pub(crate) upstream: Upstream,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub(crate) bind: IpAddr,
    /// Keep the history that watches and continued lists need for so long and no longer [default: 300, and
    /// longer while there is little of it]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) history: Option<u64>,
    /// Which OpenID Connect issuers to trust: kube-apiserver's AuthenticationConfiguration, YAML or JSON [default: the
    /// local issuer, for the audiences aphex and kubernetes]
    #[arg(long, value_name = "FILE")]
    pub(crate) authentication_config: Option<PathBuf>,
    /// Leave a part to somebody else, such as a kube-controller-manager
    #[arg(long, value_name = "PART", value_enum)]
    pub(crate) without: Vec<Part>,
    #[command(flatten)]
    pub(crate) calls: Calls,
    #[command(flatten)]
    pub(crate) inbox: Inbox,
}

/// A part of local mode that another program can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Ends of namespaces, garbage collection, service accounts
    Housekeeping,
    /// Logins: the OpenID issuer
    Issuer,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Demo {
    /// Leave the platform serving until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
    /// Folder with organization.yaml, repo-binding.yaml and github-push.json [default: built in]
    #[arg(long, value_name = "DIR")]
    pub(crate) examples: Option<PathBuf>,
}

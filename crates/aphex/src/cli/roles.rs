//! Flags of the roles that serve a cluster, and of what looks whether they can.

use std::net::{IpAddr, SocketAddr};

use aphex_controllers::webhook_secret::parse_grace;
use clap::Args;

use super::{Calls, Exposure, Inbox, Serving};

#[derive(Args, Clone, Debug)]
pub(crate) struct Controller {
    /// Public base URL of the gateway; webhook URLs are below it
    #[arg(long, value_name = "URL", env = "APHEX_GATEWAY_URL")]
    pub(crate) gateway_url: String,
    /// Namespace in which Argo CD looks for AppProjects
    #[arg(long, value_name = "NAME", env = "APHEX_ARGOCD_NAMESPACE", default_value = "argocd")]
    pub(crate) argocd_namespace: String,
    /// Host name of the webhooks of standalone tenants that name none; each gets an Ingress for it
    #[arg(long, value_name = "HOST", env = "APHEX_INGRESS_HOST", default_value = "")]
    pub(crate) ingress_host: String,
    /// The gateway's Service as the cluster's DNS knows it; those Ingresses lead to it
    #[arg(
        long,
        value_name = "NAME",
        env = "APHEX_GATEWAY_SERVICE",
        default_value = "aphex-gateway.platform-system.svc.cluster.local"
    )]
    pub(crate) gateway_service: String,
    /// Address of the Kubernetes API as Argo CD knows this cluster
    #[arg(
        long,
        value_name = "URL",
        env = "APHEX_CLUSTER_URL",
        default_value = "https://kubernetes.default.svc"
    )]
    pub(crate) cluster_url: String,
    /// Hosts of git servers that KnowledgeBases may name, with commas between; * for all
    #[arg(
        long,
        value_name = "HOSTS",
        env = "APHEX_GIT_HOSTS",
        default_value = "github.com",
        value_delimiter = ','
    )]
    pub(crate) git_hosts: Vec<String>,
    /// Ask git servers at private and loopback addresses, and without encryption (http, git), too
    #[arg(long, value_name = "BOOL", env = "APHEX_GIT_ALLOW_PRIVATE", default_value_t = false, action = clap::ArgAction::Set)]
    pub(crate) git_allow_private: bool,
    /// Seconds between two looks at a repository of a KnowledgeBase
    #[arg(long, value_name = "SECONDS", env = "APHEX_GIT_INTERVAL", default_value_t = 300, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    pub(crate) git_interval: u64,
    /// Work only while holding the Lease platform-system/aphex-controller, so that any number of replicas may run
    #[arg(long, value_name = "BOOL", env = "APHEX_LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) leader_elect: bool,
    /// How long a rotated webhook secret's predecessor still verifies, where a request does not say
    #[arg(long, value_name = "DURATION", env = "APHEX_ROTATION_GRACE", default_value = "24h", value_parser = parse_grace)]
    pub(crate) rotation_grace: jiff::SignedDuration,
    /// Address of /livez, /readyz and /metrics
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:8081")]
    pub(crate) admin: SocketAddr,
    #[command(flatten)]
    pub(crate) exposure: Exposure,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Doctor {
    /// Public base URL of the gateway [default: what the platform's own configuration says]
    #[arg(long, value_name = "URL", env = "APHEX_GATEWAY_URL")]
    pub(crate) gateway_url: Option<String>,
    #[command(flatten)]
    pub(crate) exposure: Exposure,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Gateway {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0")]
    pub(crate) bind: IpAddr,
    /// Port to listen on
    #[arg(long, value_name = "N", default_value_t = 8080)]
    pub(crate) port: u16,
    /// Domain whose first label names the organization (`<organization>.<domain>`)
    #[arg(long, value_name = "DOMAIN", env = "APHEX_DOMAIN")]
    pub(crate) domain: Option<String>,
    /// Address of /livez, /readyz and /metrics
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:8081")]
    pub(crate) admin: SocketAddr,
    #[command(flatten)]
    pub(crate) serving: Serving,
    #[command(flatten)]
    pub(crate) calls: Calls,
    #[command(flatten)]
    pub(crate) inbox: Inbox,
}

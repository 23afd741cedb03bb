//! Arguments of `login`, `logout`, `whoami` and `token`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Which issuer, and as which of its clients.
#[derive(Args, Clone, Debug)]
pub(crate) struct Provider {
    /// URL of the OpenID Connect issuer [default: that of the kubeconfig's user aphex, else http://127.0.0.1:5556]
    #[arg(long, alias = "oidc-issuer-url", value_name = "URL", env = "APHEX_ISSUER")]
    pub(crate) issuer: Option<String>,
    /// The client to log in as [default: that of the kubeconfig's user aphex, else aphex; with kubelogin, kubernetes]
    #[arg(long, alias = "oidc-client-id", value_name = "ID", env = "APHEX_CLIENT_ID")]
    pub(crate) client_id: Option<String>,
    /// Certificate authority of the issuer, a PEM file [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate_authority: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Login {
    #[command(flatten)]
    pub(crate) provider: Provider,
    /// Client of the issuer that the Kubernetes API knows, for whom the token has to be as well; '' for none [default:
    /// kubernetes, where --client-id is aphex]
    #[arg(long, value_name = "ID")]
    pub(crate) audience: Option<String>,
    /// Log in with a browser on another machine: enter a code there, or paste the address it ends at
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// Seconds to wait for the login in the browser
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) timeout: u64,
    /// Address of the Kubernetes API [default: that of the kubeconfig's cluster aphex, else of `aphex up`, else of
    /// the current context]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Certificate authority of the Kubernetes API, a PEM file, with --server
    #[arg(long, value_name = "FILE", requires = "server")]
    pub(crate) server_ca: Option<PathBuf>,
    /// Make aphex the current context
    #[arg(long = "use")]
    pub(crate) use_context: bool,
    /// Who gives kubectl its tokens [default: kubelogin where `kubectl oidc-login` is installed, else aphex]
    #[arg(long, value_name = "PLUGIN", value_enum)]
    pub(crate) with: Option<Plugin>,
}

/// A credential plugin of kubectl.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Plugin {
    /// `kubectl oidc-login` (int128/kubelogin)
    Kubelogin,
    /// `aphex token`
    Aphex,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Logout {
    /// Only this issuer [default: every one logged in at]
    #[arg(long, alias = "oidc-issuer-url", value_name = "URL")]
    pub(crate) issuer: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Whoami {
    /// Namespace to tell the rights in [default: that of the context]
    #[arg(short = 'n', long)]
    pub(crate) namespace: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Token {
    #[command(flatten)]
    pub(crate) provider: Provider,
}

//! Whom the gateway may call while it evaluates, as typed.

use aphex_gateway::calls::{GITHUB_API, Rule};
use clap::Args;

#[derive(Args, Clone, Debug)]
pub(crate) struct Calls {
    /// Let interceptors have a loopback or link-local address, or one of this machine: an address, a range or a host name; may be repeated
    #[arg(
        long = "allow-interceptor-address",
        value_name = "ADDR",
        env = "APHEX_ALLOW_INTERCEPTOR_ADDRESS",
        value_delimiter = ','
    )]
    allowed: Vec<Rule>,
    /// GitHub's API, which `addChangedFiles` and `githubOwners` ask (`https://HOST/api/v3` of an Enterprise Server)
    #[arg(long = "github-api-url", value_name = "URL", env = "APHEX_GITHUB_API_URL", default_value = GITHUB_API)]
    github_api: String,
}

impl From<Calls> for aphex_gateway::calls::Calls {
    fn from(typed: Calls) -> Self {
        let github_api = typed.github_api.trim_end_matches('/').to_owned();
        Self { allowed: typed.allowed, github_api }
    }
}

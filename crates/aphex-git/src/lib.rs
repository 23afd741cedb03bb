//! Asks a git server which commits branches point at, and nothing else: no objects are fetched, nothing is stored.
//!
//! ```text
//! Remote (an address) -> Policy (may it be asked?) -> http | daemon | ssh -> ls_refs over pkt-lines -> branch: commit
//! ```
//!
//! Addresses come from users and answers from anywhere, so: every connection goes through [`Policy`], after DNS and after each
//! redirect; time and size are bounded; credentials go to the origin they were given for; no error repeats them.

mod credentials;
mod daemon;
mod error;
mod http;
mod ls_refs;
mod packet;
mod policy;
mod remote;
mod ssh;

use std::collections::BTreeMap;
use std::time::Duration;

pub use credentials::Credentials;
pub use error::{ClientError, RemoteError};
pub use policy::Policy;
pub use remote::{Remote, RemoteFormatError, SshAddress};

/// The longest that one remote may take, from the first look-up of its name to the last byte of its answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest answer that is read.
const ANSWER_MAX: usize = 4 * 1024 * 1024;

/// The commit that each branch points at, in hexadecimal; a branch that does not exist is missing.
pub type Commits = BTreeMap<String, String>;

/// Asks git servers.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    policy: Policy,
}

impl Client {
    /// A client that asks only whom the policy permits.
    pub fn new(policy: Policy) -> Result<Self, ClientError> {
        Ok(Self { http: http::client(&policy)?, policy })
    }

    /// Asks a remote for some of its branches.
    pub async fn branches(
        &self,
        remote: &Remote,
        credentials: Option<&Credentials>,
        branches: &[String],
    ) -> Result<Commits, RemoteError> {
        self.policy.permit(remote)?;
        let asked = async {
            match remote {
                Remote::Http(url) => {
                    http::branches(&self.http, &self.policy, url, credentials, branches).await
                }
                Remote::Git { host, port, path } => {
                    daemon::branches(&self.policy, host, *port, path, branches).await
                }
                Remote::Ssh(address) => ssh::branches(&self.policy, address, credentials, branches).await,
            }
        };
        let late = |_| RemoteError::Timeout { host: remote.host().to_owned(), seconds: PATIENCE.as_secs() };
        tokio::time::timeout(PATIENCE, asked).await.map_err(late)?
    }
}

//! `ssh://`: `git-upload-pack` on the other side, with a key, on a host whose key is known.
//!
//! In process, not by an `ssh` program: the image has none, and the private key never becomes a file.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use russh::client::{self, Config, Handler};
use russh::keys::ssh_key::known_hosts::{HostPatterns, KnownHosts};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate, decode_secret_key};
use russh::{Disconnect, Preferred};

use crate::daemon::talk;
use crate::policy::Policy;
use crate::remote::SshAddress;
use crate::{Commits, Credentials, RemoteError};

/// SSH's own port.
pub(crate) const PORT: u16 = 22;

pub(crate) async fn branches(
    policy: &Policy,
    address: &SshAddress,
    credentials: Option<&Credentials>,
    branches: &[String],
) -> Result<Commits, RemoteError> {
    let Some(Credentials::Key { private_key, known_hosts }) = credentials else {
        return Err(RemoteError::Key("SSH needs a private key and known_hosts"));
    };
    let key = private(private_key)?;
    let trusted = host_keys(known_hosts, address)?;
    let host = || address.host.clone();
    let refused = Arc::new(AtomicBool::new(false));
    // Which call the end of the connection shows in depends on how fast it was.
    let broken = |source: russh::Error| {
        if refused.load(Ordering::Acquire) {
            return RemoteError::HostKey(host());
        }
        RemoteError::Connect { host: host(), source: Box::new(source) }
    };
    // The server shows a key of the first kind that it has: it must be one that is known.
    let kinds: Vec<_> = trusted.iter().map(PublicKey::algorithm).collect();
    let config = Config {
        preferred: Preferred { key: Cow::Owned(kinds), ..Preferred::default() },
        ..Config::default()
    };
    let stream = policy.connect(&address.host, address.port).await?;
    let trust = Trust { keys: trusted, refused: Arc::clone(&refused) };
    let session = client::connect_stream(Arc::new(config), stream, trust).await;
    let mut session = session.map_err(broken)?;
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    let entered = session.authenticate_publickey(address.user.as_str(), key).await.map_err(broken)?;
    if !entered.success() {
        return Err(RemoteError::Refused);
    }
    let channel = session.channel_open_session().await.map_err(broken)?;
    // A server that does not pass it on answers as before version 2.
    channel.set_env(false, "GIT_PROTOCOL", "version=2").await.map_err(broken)?;
    channel.exec(false, address.command()).await.map_err(broken)?;
    let commits = talk(&mut channel.into_stream(), branches).await;
    // A polite end; the answer is had whether it arrives or not.
    let _ = session.disconnect(Disconnect::ByApplication, "", "").await;
    commits
}

fn private(text: &str) -> Result<PrivateKey, RemoteError> {
    let key = decode_secret_key(text, None)
        .map_err(|_| RemoteError::Key("ssh-privatekey is not a private key without a passphrase"))?;
    if key.algorithm().is_rsa() {
        return Err(RemoteError::Key("RSA keys are not used: make one with ssh-keygen -t ed25519"));
    }
    Ok(key)
}

/// The keys that a host may show, by the lines of `known_hosts` that name it in full.
fn host_keys(known_hosts: &str, address: &SshAddress) -> Result<Vec<PublicKey>, RemoteError> {
    let bare = address.host.trim_start_matches('[').trim_end_matches(']');
    let name = if address.port == PORT { bare.to_owned() } else { format!("[{bare}]:{}", address.port) };
    let named = KnownHosts::new(known_hosts).filter_map(Result::ok).filter(|entry| {
        // A marker says that the key is an authority's, or revoked.
        let HostPatterns::Patterns(patterns) = entry.host_patterns() else { return false };
        entry.marker().is_none() && patterns.iter().any(|pattern| pattern.eq_ignore_ascii_case(&name))
    });
    let keys: Vec<PublicKey> =
        named.map(|entry| entry.public_key().clone()).filter(|key| !key.algorithm().is_rsa()).collect();
    if keys.is_empty() {
        return Err(RemoteError::UnknownHost(name));
    }
    Ok(keys)
}

/// Trusts a host that shows one of these keys; notes when it shows another.
struct Trust {
    keys: Vec<PublicKey>,
    refused: Arc<AtomicBool>,
}

impl Handler for Trust {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let known = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                self.keys.iter().any(|known| known.key_data() == key.key_data())
            }
            PublicKeyOrCertificate::Certificate(_) => false,
        };
        self.refused.store(!known, Ordering::Release);
        Ok(known)
    }
}

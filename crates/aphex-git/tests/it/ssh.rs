//! SSH: a server that runs git's own `upload-pack`, with keys that ssh-keygen made.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use aphex_git::{Credentials, RemoteError};
use aphex_testkit::git::GitServer;
use russh::keys::{PrivateKey, PublicKey, decode_secret_key};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::{ask, commits};

/// A key pair in a folder: the private key's text, and the public key's line.
fn keygen(folder: &Path, name: &str, kind: &str) -> anyhow::Result<(String, String)> {
    let path = folder.join(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", name, "-t", kind, "-f"])
        .arg(&path)
        .stdin(Stdio::null())
        .status()?;
    anyhow::ensure!(made.success(), "ssh-keygen failed");
    let line = std::fs::read_to_string(path.with_extension("pub"))?;
    Ok((std::fs::read_to_string(path)?, line.trim().to_owned()))
}

/// One connection of the server.
struct Guest {
    friend: PublicKey,
    root: PathBuf,
    protocol: Option<String>,
    passes_environment: bool,
    channel: Option<Channel<Msg>>,
}

impl Handler for Guest {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        let known = user == "git" && key.public_key.key_data() == self.friend.key_data();
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channel = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn env_request(
        &mut self,
        _: ChannelId,
        name: &str,
        value: &str,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if name == "GIT_PROTOCOL" && self.passes_environment {
            self.protocol = Some(value.to_owned());
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        _: ChannelId,
        command: &[u8],
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(channel) = self.channel.take() else { return Ok(()) };
        // As sshd does: by a shell, in the user's home.
        let mut shell = tokio::process::Command::new("sh");
        shell.arg("-c").arg(String::from_utf8_lossy(command).as_ref()).current_dir(&self.root);
        if let Some(protocol) = &self.protocol {
            shell.env("GIT_PROTOCOL", protocol);
        }
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        tokio::spawn(async move {
            let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            let (mut from, mut to) = tokio::io::split(channel.into_stream());
            tokio::select! {
                _ = tokio::io::copy(&mut from, &mut input) => {}
                _ = tokio::io::copy(&mut output, &mut to) => {}
            }
            let _ = to.shutdown().await;
        });
        Ok(())
    }
}

/// Starts a server that lets one key in.
async fn serve(
    root: &Path,
    host_key: PrivateKey,
    friend: PublicKey,
    passes_environment: bool,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let config = Arc::new(Config { keys: vec![host_key], ..Config::default() });
    let root = root.to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let guest = Guest {
                friend: friend.clone(),
                root: root.clone(),
                protocol: None,
                passes_environment,
                channel: None,
            };
            let config = Arc::clone(&config);
            tokio::spawn(async move {
                if let Ok(session) = russh::server::run_stream(config, stream, guest).await {
                    let _ = session.await;
                }
            });
        }
    });
    Ok(address)
}

#[tokio::test]
async fn a_key_opens_a_repository_on_a_host_that_shows_the_known_key() -> anyhow::Result<()> {
    let git = GitServer::start().await?;
    let main = git.repository("app.git").await?;
    let keys = tempfile::tempdir()?;
    let (host, host_line) = keygen(keys.path(), "host", "ed25519")?;
    let (_, other_line) = keygen(keys.path(), "other", "ed25519")?;
    let (friend, friend_line) = keygen(keys.path(), "friend", "ecdsa")?;
    let (stranger, _) = keygen(keys.path(), "stranger", "ed25519")?;
    for passes_environment in [true, false] {
        let friend_key = PublicKey::from_openssh(&friend_line)?;
        let host_key = decode_secret_key(&host, None)?;
        let address = serve(git.root(), host_key, friend_key, passes_environment).await?;
        let known = |line: &str| format!("# ours\n[127.0.0.1]:{} {line}\n", address.port());
        let key = |private_key: &str, known_hosts: String| Credentials::Key {
            private_key: private_key.to_owned(),
            known_hosts,
        };
        let url = |path: &str| format!("ssh://git@{address}{path}");
        let right = key(&friend, known(&host_line));
        let path = git.root().join("app.git").display().to_string();
        assert_eq!(ask(&url(&path), Some(&right), &["main"]).await?, commits(&[("main", &main)]));

        let refused = ask(&url(&path), Some(&key(&stranger, known(&host_line))), &["main"]).await;
        assert!(matches!(refused, Err(RemoteError::Refused)), "{refused:?}");
        let changed = ask(&url(&path), Some(&key(&friend, known(&other_line))), &["main"]).await;
        assert!(matches!(changed, Err(RemoteError::HostKey(_))), "{changed:?}");
        let unknown = key(&friend, format!("other.example {host_line}"));
        let unknown = ask(&url(&path), Some(&unknown), &["main"]).await;
        assert!(matches!(unknown, Err(RemoteError::UnknownHost(_))), "{unknown:?}");
        let missing = ask(&url("/none.git"), Some(&right), &["main"]).await;
        assert!(matches!(missing, Err(RemoteError::NotFound)), "{missing:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_told_of_and_not_shown() -> anyhow::Result<()> {
    let keys = tempfile::tempdir()?;
    let (rsa, _) = keygen(keys.path(), "rsa", "rsa")?;
    for (private_key, told) in [
        (rsa.as_str(), "RSA keys are not used: make one with ssh-keygen -t ed25519"),
        ("no key", "ssh-privatekey is not a private key without a passphrase"),
    ] {
        let key = Credentials::Key { private_key: private_key.to_owned(), known_hosts: String::new() };
        let error = ask("ssh://git@127.0.0.1:1/x", Some(&key), &["main"]).await.unwrap_err();
        assert_eq!(error.to_string(), told);
    }
    let none = ask("ssh://git@127.0.0.1:1/x", None, &["main"]).await.unwrap_err();
    assert_eq!(none.to_string(), "SSH needs a private key and known_hosts");
    Ok(())
}

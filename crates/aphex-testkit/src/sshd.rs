//! OpenSSH's own server, which lets one key read git repositories and nothing else.
//!
//! It runs as whoever runs the test, on a free port of this machine, with a host key of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::wait::eventually_for;

/// Where Debian and others put it: no user's PATH has it.
const PLACES: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"];
/// What sshd wants to exist when root starts it (sshd(8), FILES).
const SEPARATION: &str = "/run/sshd";

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct Sshd {
    folder: tempfile::TempDir,
    address: SocketAddr,
    user: String,
    _process: Child,
}

impl Sshd {
    /// Starts one for the repositories in a folder; nothing where there is no sshd.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let Some(program) = PLACES.into_iter().map(Path::new).find(|place| place.exists()) else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        for name in ["host", "client", "other"] {
            key(&folder.path().join(name)).await?;
        }
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = folder.path().join("config");
        std::fs::write(&config, text(folder.path(), address))?;
        let user = said(Command::new("id").arg("-un")).await?;
        if user == "root" {
            std::fs::create_dir_all(SEPARATION)?;
        }
        let mut command = Command::new(program);
        command.arg("-D").arg("-e").arg("-f").arg(&config);
        let log = std::fs::File::create(folder.path().join("log"))?;
        let process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true).spawn()?;
        let server = Self { folder, address, user, _process: process };
        let ready = eventually_for(Duration::from_secs(30), "sshd listens", || async {
            Ok(TcpStream::connect(address).await.ok())
        });
        ready.await.with_context(|| server.log())?;
        Ok(Some(server))
    }

    /// The address of a repository by its path on this machine.
    #[must_use]
    pub fn url(&self, repository: &Path) -> String {
        format!("ssh://{}@{}{}", self.user, self.address, repository.display())
    }

    /// The private key that may read.
    pub fn private_key(&self) -> anyhow::Result<String> {
        self.read("client")
    }

    /// A private key that the server does not know.
    pub fn unknown_key(&self) -> anyhow::Result<String> {
        self.read("other")
    }

    /// The line of a known_hosts file for this server.
    pub fn known_hosts(&self) -> anyhow::Result<String> {
        Ok(self.host_line(&self.read("host.pub")?))
    }

    /// A line for this server's address with another key.
    pub fn wrong_known_hosts(&self) -> anyhow::Result<String> {
        Ok(self.host_line(&self.read("other.pub")?))
    }

    /// What the server wrote.
    #[must_use]
    pub fn log(&self) -> String {
        self.read("log").unwrap_or_default()
    }

    fn host_line(&self, public: &str) -> String {
        let kind_and_key: Vec<&str> = public.split_whitespace().take(2).collect();
        format!("[{}]:{} {}\n", self.address.ip(), self.address.port(), kind_and_key.join(" "))
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        let path: PathBuf = self.folder.path().join(name);
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

/// git-shell runs what git asks for and nothing else; the command it gets is the one that the client named.
fn text(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "ListenAddress {address}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/client.pub\n\
         PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nAllowTcpForwarding no\nAcceptEnv GIT_PROTOCOL\nLogLevel VERBOSE\n\
         ForceCommand case \"$SSH_ORIGINAL_COMMAND\" in \"git-upload-pack \"*) exec git-shell -c \"$SSH_ORIGINAL_COMMAND\";; *) exit 1;; esac\n"
    )
}

async fn key(path: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("ssh-keygen");
    said(command.args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(path)).await.map(drop)
}

async fn said(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().await.with_context(|| format!("{command:?}"))?;
    anyhow::ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

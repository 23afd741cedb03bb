//! Who did what, when and from where: one JSON object a line, in a file for its owner only.
//!
//! Holds no secret: no password, no token, and no login name that nobody has (people type passwords into
//! the wrong field). Full files are set aside, so that strangers who guess cannot fill the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aphex_runtime::{Clock, errors};
use jiff::Timestamp;
use serde::Serialize;

/// The log in the data folder.
const FILE: &str = "audit.log";
/// A file of this size is set aside.
const MOST_BYTES: u64 = 8 << 20;
/// So many full files are kept, `audit.log.1` being the newest.
const KEPT: u32 = 8;

/// Who does something, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// `user:NAME`, `token:IDENTIFIER`, `client:ID`, or `anonymous`.
    #[serde(rename = "actor")]
    pub name: String,
    /// The address of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

impl Actor {
    /// Somebody who has not said who they are.
    pub fn anonymous(address: Option<IpAddr>) -> Self {
        Self { name: "anonymous".to_owned(), address }
    }

    /// A person, by username.
    pub fn user(username: &str, address: Option<IpAddr>) -> Self {
        Self { name: format!("user:{username}"), address }
    }

    /// Whoever holds a bearer token, by the token's identifier.
    pub fn token(identifier: &str, address: Option<IpAddr>) -> Self {
        Self { name: format!("token:{identifier}"), address }
    }

    /// A relying party, by its id.
    pub fn client(id: &str, address: Option<IpAddr>) -> Self {
        Self { name: format!("client:{id}"), address }
    }

    /// The program itself.
    pub fn system() -> Self {
        Self { name: "system".to_owned(), address: None }
    }
}

/// What happened; the names on the wire are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Action {
    /// Somebody proved who they are.
    #[serde(rename = "login.succeeded")]
    LoginSucceeded,
    /// Somebody did not.
    #[serde(rename = "login.refused")]
    LoginRefused,
    /// A session was ended.
    #[serde(rename = "logout")]
    Logout,
    /// Tokens were given to a client.
    #[serde(rename = "tokens.issued")]
    TokensIssued,
    /// Tokens were taken back.
    #[serde(rename = "tokens.revoked")]
    TokensRevoked,
    /// A code or refresh token came twice.
    #[serde(rename = "tokens.replayed")]
    TokensReplayed,
    /// The link for the first administrator was made.
    #[serde(rename = "setup.created")]
    SetupCreated,
    /// The link for the first administrator was used.
    #[serde(rename = "setup.redeemed")]
    SetupRedeemed,
    /// A user was created.
    #[serde(rename = "user.created")]
    UserCreated,
    /// A user was changed.
    #[serde(rename = "user.changed")]
    UserChanged,
    /// A user's password was changed.
    #[serde(rename = "user.password-changed")]
    UserPasswordChanged,
    /// A user was deleted.
    #[serde(rename = "user.deleted")]
    UserDeleted,
    /// A group was created.
    #[serde(rename = "group.created")]
    GroupCreated,
    /// A group was changed.
    #[serde(rename = "group.changed")]
    GroupChanged,
    /// A group was deleted.
    #[serde(rename = "group.deleted")]
    GroupDeleted,
    /// A bearer token was created.
    #[serde(rename = "token.created")]
    TokenCreated,
    /// A bearer token was deleted.
    #[serde(rename = "token.deleted")]
    TokenDeleted,
    /// An OAuth2 provider was created.
    #[serde(rename = "provider.created")]
    ProviderCreated,
    /// An OAuth2 provider was changed.
    #[serde(rename = "provider.changed")]
    ProviderChanged,
    /// An OAuth2 provider was deleted.
    #[serde(rename = "provider.deleted")]
    ProviderDeleted,
    /// A request to the administrative interface was refused.
    #[serde(rename = "request.refused")]
    RequestRefused,
}

#[derive(Serialize)]
struct Line<'a> {
    time: Timestamp,
    action: Action,
    #[serde(flatten)]
    actor: &'a Actor,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

/// The audit log; clones write to the same one.
#[derive(Clone, Debug)]
pub struct Audit {
    clock: Clock,
    file: Option<Arc<Mutex<Sink>>>,
}

#[derive(Debug)]
struct Sink {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Audit {
    /// Opens or creates `audit.log` in the folder.
    pub fn open(folder: &Path, clock: Clock) -> io::Result<Self> {
        let sink = Sink::open(folder.join(FILE))?;
        Ok(Self { clock, file: Some(Arc::new(Mutex::new(sink))) })
    }

    /// Writes to `tracing` alone.
    pub fn traced(clock: Clock) -> Self {
        Self { clock, file: None }
    }

    /// Writes down what happened. `subject` names what it happened to, `detail` says more; neither is secret.
    pub fn record(&self, action: Action, actor: &Actor, subject: &str, detail: &str) {
        let line = Line { time: self.clock.now(), action, actor, subject, detail };
        let text = match serde_json::to_string(&line) {
            Ok(text) => text,
            Err(error) => return tracing::error!(%error, "cannot write a line of the audit log"),
        };
        tracing::info!(target: "aphex_issuer::audit", "{text}");
        let Some(file) = &self.file else { return };
        let mut sink = file.lock().unwrap_or_else(PoisonError::into_inner);
        // What happened has happened: a full disk must not undo it, but somebody has to act.
        if let Err(error) = sink.write(&text) {
            let path = sink.path.display();
            tracing::error!(%path, error = errors::chain(&error), "cannot write to the audit log");
        }
    }
}

impl Sink {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, file, size })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.size >= MOST_BYTES {
            self.set_aside()?;
        }
        // One write: lines of a process that is killed are whole or not there.
        let line = format!("{line}\n");
        self.file.write_all(line.as_bytes())?;
        self.size += line.len() as u64;
        Ok(())
    }

    fn set_aside(&mut self) -> io::Result<()> {
        let name = |number: u32| self.path.with_added_extension(number.to_string());
        for number in (1..KEPT).rev() {
            match fs::rename(name(number), name(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, name(1))?;
        *self = Self::open(self.path.clone())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_line_says_who_what_when_and_from_where_and_others_cannot_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let (clock, _) = Clock::manual(Timestamp::from_second(1_704_542_400).unwrap());
        let audit = Audit::open(folder.path(), clock.clone()).unwrap();
        let actor = Actor::token("cli", Some([127, 0, 0, 1].into()));
        audit.record(Action::UserCreated, &actor, "alice", "");
        // Another process' lines come after those that are there.
        Audit::open(folder.path(), clock).unwrap().record(Action::Logout, &Actor::system(), "", "idle");
        let path = folder.path().join(FILE);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\"time\":\"2024-01-06T12:00:00Z\",\"action\":\"user.created\",\"actor\":\"token:cli\",\"address\":\"127.0.0.1\",\"subject\":\"alice\"}\n\
             {\"time\":\"2024-01-06T12:00:00Z\",\"action\":\"logout\",\"actor\":\"system\",\"detail\":\"idle\"}\n"
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_full_file_is_set_aside_and_the_oldest_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = Sink::open(folder.path().join(FILE)).unwrap();
        for number in 0..KEPT + 3 {
            sink.size = MOST_BYTES;
            sink.write(&number.to_string()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            (read(FILE), read("audit.log.1"), read("audit.log.8")),
            ("10\n".into(), "9\n".into(), "2\n".into())
        );
        assert!(!folder.path().join("audit.log.9").exists());
    }
}

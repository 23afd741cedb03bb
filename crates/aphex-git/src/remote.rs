//! The address of a repository on a git server.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::ssh;

/// git's own port.
const GIT_PORT: u16 = 9418;

/// The address of a repository on a git server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Remote {
    /// `https://` or `http://`.
    Http(Url),
    /// `git://`, as `git daemon` serves it.
    Git {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The path, with a slash at its beginning.
        path: String,
    },
    /// `ssh://`, or `user@host:path` for short.
    Ssh(SshAddress),
}

/// Where `git-upload-pack` is run by SSH.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SshAddress {
    /// Who enters.
    pub user: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path: from the root with a slash at its beginning, else from the user's home.
    pub path: String,
}

impl SshAddress {
    /// What the other side's shell is told to run.
    #[must_use]
    pub(crate) fn command(&self) -> String {
        // No quote is in it: see `parse`.
        format!("git-upload-pack '{}'", self.path)
    }

    fn new(user: &str, host: &str, port: u16, path: &str) -> Result<Self, RemoteFormatError> {
        let word = |text: &str| {
            text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
                && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        };
        // The path is for a shell; % is not, but servers do not agree on what it means.
        let path_ok = !path.starts_with('-') && !path.contains(['\'', '!', '%', '"', '`', '$']);
        if !word(user) || !path_ok {
            return Err(RemoteFormatError::Url);
        }
        if path.trim_matches('/').is_empty() {
            return Err(RemoteFormatError::NoPath);
        }
        let path = path.trim_end_matches('/').to_owned();
        Ok(Self { user: user.to_owned(), host: host.to_owned(), port, path })
    }

    /// `user@host:path`, as git reads it: no slash before the first colon.
    fn short(text: &str) -> Option<Result<Self, RemoteFormatError>> {
        let (before, path) = text.split_once(':')?;
        let (user, host) = before.split_once('@')?;
        if before.contains('/') || path.starts_with("//") {
            return None;
        }
        let host_ok = !host.is_empty()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
            && !host.starts_with('-');
        if !host_ok {
            return Some(Err(RemoteFormatError::Url));
        }
        Some(Self::new(user, &host.to_ascii_lowercase(), ssh::PORT, path))
    }
}

/// Why a text is not the address of a repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteFormatError {
    /// It is no address.
    #[error("must be the address of a git repository, such as https://github.com/org/repo")]
    Url,
    /// It has a scheme that is not git's, or not known here.
    #[error("must begin with https://, ssh://, http:// or git://")]
    Scheme,
    /// It carries credentials, which everybody who reads the object would see.
    #[error("must not carry a user name or a password: name a Secret with them in secretRef")]
    Credentials,
    /// It goes on after the path.
    #[error("must not have a query or a fragment")]
    Query,
    /// It names no repository on the host.
    #[error("must name a repository, not only a host")]
    NoPath,
}

impl Remote {
    /// The host.
    #[must_use]
    pub fn host(&self) -> &str {
        match self {
            Self::Http(url) => url.host_str().unwrap_or_default(),
            Self::Git { host, .. } => host,
            Self::Ssh(address) => &address.host,
        }
    }

    /// Host and port: what answers, or does not, for all its repositories.
    #[must_use]
    pub fn authority(&self) -> String {
        let port = match self {
            Self::Http(url) => url.port_or_known_default().unwrap_or_default(),
            Self::Git { port, .. } | Self::Ssh(SshAddress { port, .. }) => *port,
        };
        format!("{}:{port}", self.host())
    }

    /// Its scheme, unless what is said is encrypted.
    #[must_use]
    pub fn plain(&self) -> Option<&'static str> {
        match self {
            Self::Http(url) if url.scheme() == "https" => None,
            Self::Http(_) => Some("http"),
            Self::Git { .. } => Some("git"),
            Self::Ssh(_) => None,
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => write!(f, "{url}"),
            Self::Git { host, port, path } => write!(f, "git://{host}:{port}{path}"),
            Self::Ssh(SshAddress { user, host, port, path }) => {
                write!(f, "ssh://{user}@{host}:{port} {path}")
            }
        }
    }
}

impl FromStr for Remote {
    type Err = RemoteFormatError;

    fn from_str(text: &str) -> Result<Self, RemoteFormatError> {
        // The parser drops some of these without a word.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(RemoteFormatError::Url);
        }
        if let Some(short) = SshAddress::short(text) {
            return short.map(Self::Ssh);
        }
        let url = Url::parse(text).map_err(|_| RemoteFormatError::Url)?;
        if !matches!(url.scheme(), "https" | "http" | "git" | "ssh") {
            return Err(RemoteFormatError::Scheme);
        }
        let named = !url.username().is_empty() && url.scheme() != "ssh";
        if named || url.password().is_some() {
            return Err(RemoteFormatError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(RemoteFormatError::Query);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(RemoteFormatError::Url)?;
        let path = url.path().trim_end_matches('/');
        if path.is_empty() {
            return Err(RemoteFormatError::NoPath);
        }
        if url.scheme() == "ssh" {
            let user = if url.username().is_empty() { "git" } else { url.username() };
            return SshAddress::new(user, host, url.port().unwrap_or(ssh::PORT), path).map(Self::Ssh);
        }
        if url.scheme() == "git" {
            // Servers do not agree on what that means.
            if path.contains('%') {
                return Err(RemoteFormatError::Url);
            }
            let (host, path) = (host.to_owned(), path.to_owned());
            return Ok(Self::Git { host, port: url.port().unwrap_or(GIT_PORT), path });
        }
        let mut plain = url.clone();
        plain.set_path(path);
        Ok(Self::Http(plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_repositories_are_read() {
        for (text, shown) in [
            ("https://github.com/org/repo", "https://github.com/org/repo"),
            ("https://GitHub.com/org/repo.git/", "https://github.com/org/repo.git"),
            ("http://127.0.0.1:8080/a%20b", "http://127.0.0.1:8080/a%20b"),
            ("git://localhost/repo", "git://localhost:9418/repo"),
            ("ssh://git@github.com/org/repo.git", "ssh://git@github.com:22 /org/repo.git"),
            ("ssh://h:2222/repo", "ssh://git@h:2222 /repo"),
            ("git@GitHub.com:org/repo", "ssh://git@github.com:22 org/repo"),
        ] {
            assert_eq!(text.parse::<Remote>().unwrap().to_string(), shown);
        }
        assert_eq!("https://h/x".parse::<Remote>().unwrap().plain(), None);
        assert_eq!("git://h/x".parse::<Remote>().unwrap().plain(), Some("git"));
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", RemoteFormatError::Url),
            ("github.com/org/repo", RemoteFormatError::Url),
            ("https://github.com/a\tb", RemoteFormatError::Url),
            ("https://evil.com\\@github.com/a", RemoteFormatError::Url),
            ("file:///etc", RemoteFormatError::Scheme),
            ("ext::sh -c id", RemoteFormatError::Url),
            ("https://user:pass@github.com/a/b", RemoteFormatError::Credentials),
            ("https://token@github.com/a/b", RemoteFormatError::Credentials),
            ("https://github.com/a?x=1", RemoteFormatError::Query),
            ("https://github.com/a#x", RemoteFormatError::Query),
            ("https://github.com", RemoteFormatError::NoPath),
            ("https://github.com/", RemoteFormatError::NoPath),
            ("git://h/a%20b", RemoteFormatError::Url),
            ("ssh://me:pass@h/repo", RemoteFormatError::Credentials),
            ("ssh://-oProxyCommand=x@h/repo", RemoteFormatError::Url),
            ("git@-h:repo", RemoteFormatError::Url),
            ("git@h:-x", RemoteFormatError::Url),
            ("git@h:a'$(id)'", RemoteFormatError::Url),
            ("ssh://git@h/a'b", RemoteFormatError::Url),
            ("git@h:", RemoteFormatError::NoPath),
        ] {
            assert_eq!(text.parse::<Remote>(), Err(reason), "{text}");
        }
    }
}

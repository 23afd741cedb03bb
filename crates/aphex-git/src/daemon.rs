//! `git://`: what `git daemon` serves, without encryption and without credentials.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::ls_refs::{self, Greeting};
use crate::packet;
use crate::policy::Policy;
use crate::{ANSWER_MAX, Commits, RemoteError};

pub(crate) async fn branches(
    policy: &Policy,
    host: &str,
    port: u16,
    path: &str,
    branches: &[String],
) -> Result<Commits, RemoteError> {
    let mut stream = policy.connect(host, port).await?;
    let mut request = Vec::new();
    // The host's port is not said, as git does not say its own (connect.c, git_connect).
    let line = format!("git-upload-pack {path}\0host={host}\0\0version=2\0");
    packet::push(&mut request, line.as_bytes());
    write(&mut stream, &request).await?;
    talk(&mut stream, branches).await
}

/// Greeting, request, answer, over any stream that leads to `git upload-pack`.
pub(crate) async fn talk<S>(stream: &mut S, branches: &[String]) -> Result<Commits, RemoteError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let format = match read(stream, |bytes| ls_refs::greeting(bytes, branches)).await? {
        Greeting::Told(commits) => return Ok(commits),
        Greeting::Capable(format) => format,
    };
    write(stream, &ls_refs::request(format, branches)).await?;
    let commits = read(stream, |bytes| ls_refs::answer(bytes, branches)).await?;
    // A polite end; the answer is had whether it arrives or not.
    let _ = stream.write_all(packet::FLUSH).await;
    Ok(commits)
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), RemoteError> {
    stream.write_all(bytes).await.map_err(|source| RemoteError::Read(Box::new(source)))
}

/// Reads until there is something to be understood.
async fn read<S, T>(
    stream: &mut S,
    understand: impl Fn(&[u8]) -> Result<Option<T>, RemoteError>,
) -> Result<T, RemoteError>
where
    S: AsyncRead + Unpin,
{
    let mut bytes = Vec::new();
    loop {
        let count =
            stream.read_buf(&mut bytes).await.map_err(|source| RemoteError::Read(Box::new(source)))?;
        if let Some(understood) = understand(&bytes)? {
            return Ok(understood);
        }
        if count == 0 && bytes.is_empty() {
            // What git says then goes elsewhere, or nowhere.
            return Err(RemoteError::NotFound);
        }
        if count == 0 {
            let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Err(RemoteError::Read(Box::new(source)));
        }
        if bytes.len() > ANSWER_MAX {
            return Err(RemoteError::TooLarge(ANSWER_MAX));
        }
    }
}

//! Where the API token comes from: a value given once, or a file that may change, as a mounted Secret does.

use std::path::PathBuf;

use crate::sensitive::Sensitive;

use super::Error;

/// An API token.
#[derive(Clone, Debug)]
pub enum Token {
    /// A value.
    Value(Sensitive),
    /// A file, read anew for each request, so that a new token needs no restart.
    File(PathBuf),
}

impl Token {
    /// The token as it is now.
    pub(super) async fn read(&self) -> Result<Sensitive, Error> {
        let path = match self {
            Self::Value(token) => return Ok(token.clone()),
            Self::File(path) => path,
        };
        let failed = |source| Error::Token { path: path.display().to_string(), source };
        let text = Sensitive::new(tokio::fs::read_to_string(path).await.map_err(failed)?);
        match text.reveal().trim() {
            "" => Err(failed(std::io::Error::new(std::io::ErrorKind::InvalidData, "the file is empty"))),
            token => Ok(Sensitive::new(token)),
        }
    }
}

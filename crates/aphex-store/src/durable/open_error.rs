//! Why a store could not be opened, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use redb::{DatabaseError, StorageError};

use super::holder::Holder;

type Source = Box<dyn Error + Send + Sync>;

/// Why a store could not be opened. Every message names the file and a remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store of this one, has it open.
    #[error("the store {} is held by {}; stop it, or use another data folder", path.display(), Who(*pid))]
    Held {
        /// The store's file.
        path: PathBuf,
        /// The process, if it left a note.
        pid: Option<u32>,
    },
    /// We may not write the file or its folder.
    #[error(
        "the store {} cannot be written; give this user write access to its folder, or use another data folder",
        path.display()
    )]
    ReadOnly {
        /// The store's file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Source,
    },
    /// The disk is full.
    #[error("there is no space left for the store {}; free some, or use another data folder", path.display())]
    NoSpace {
        /// The store's file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Source,
    },
    /// The file is not a store, or no longer a whole one.
    #[error(
        "the store {} is damaged; move it away and restore a backup, or start anew without it",
        path.display()
    )]
    Damaged {
        /// The store's file.
        path: PathBuf,
        /// What was found.
        #[source]
        source: Source,
    },
    /// A newer program wrote it.
    #[error(
        "the store {} has format {found} and this program reads up to {supported}; use the newer program that \
         wrote it",
        path.display()
    )]
    NewerFormat {
        /// The store's file.
        path: PathBuf,
        /// The format of the file.
        found: u64,
        /// The newest format that is understood.
        supported: u64,
    },
    /// Anything else that the system refused.
    #[error("the store {} could not be opened; see the cause, or use another data folder", path.display())]
    Other {
        /// The store's file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Source,
    },
}

struct Who(Option<u32>);

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// The same before it is known which file it is about.
#[derive(Debug)]
pub(crate) enum OpenFailure {
    Io(std::io::Error),
    Database(DatabaseError),
    Engine(Box<redb::Error>),
    Damaged(Source),
    NewerFormat { found: u64, supported: u64 },
}

impl OpenFailure {
    pub(super) fn engine(error: impl Into<redb::Error>) -> Self {
        Self::Engine(Box::new(error.into()))
    }

    pub(super) fn at(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        match self {
            Self::Database(DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) => {
                let pid = Holder::of(&path);
                OpenError::Held { path, pid }
            }
            Self::Io(error) | Self::Database(DatabaseError::Storage(StorageError::Io(error))) => {
                io(path, error)
            }
            Self::Database(DatabaseError::Storage(error)) => engine(path, error.into()),
            Self::Database(error) => OpenError::Other { path, source: Box::new(error) },
            Self::Engine(error) => engine(path, *error),
            Self::Damaged(source) => OpenError::Damaged { path, source },
            Self::NewerFormat { found, supported } => OpenError::NewerFormat { path, found, supported },
        }
    }
}

fn engine(path: PathBuf, error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(error) => io(path, error),
        error => OpenError::Damaged { path, source: Box::new(error) },
    }
}

fn io(path: PathBuf, error: std::io::Error) -> OpenError {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            OpenError::ReadOnly { path, source: Box::new(error) }
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            OpenError::NoSpace { path, source: Box::new(error) }
        }
        // The engine says so of a file that is not one of its own, or ends too early.
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
            OpenError::Damaged { path, source: Box::new(error) }
        }
        _ => OpenError::Other { path, source: Box::new(error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_becomes_a_named_cause_with_a_remedy() {
        let open = |kind: ErrorKind| OpenFailure::Io(kind.into()).at(Path::new("/data/store.redb"));
        for kind in [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem] {
            assert!(matches!(open(kind), OpenError::ReadOnly { .. }));
        }
        assert!(matches!(open(ErrorKind::StorageFull), OpenError::NoSpace { .. }));
        assert!(matches!(open(ErrorKind::InvalidData), OpenError::Damaged { .. }));
        let full = redb::Error::Io(ErrorKind::StorageFull.into());
        let full = OpenFailure::engine(full).at(Path::new("/data/store.redb"));
        assert!(matches!(full, OpenError::NoSpace { .. }), "also when the engine says so");
        let newer = OpenFailure::NewerFormat { found: 9, supported: 1 }.at(Path::new("/data/store.redb"));
        for (error, remedy) in [
            (open(ErrorKind::ReadOnlyFilesystem), "write access"),
            (open(ErrorKind::StorageFull), "free some"),
            (open(ErrorKind::InvalidData), "backup"),
            (newer, "newer program"),
        ] {
            let message = error.to_string();
            assert!(message.contains("/data/store.redb") && message.contains(remedy), "{message}");
        }
    }
}

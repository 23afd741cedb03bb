//! Files with keys: a folder only its owner enters, files only its owner reads, replaced whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why keys could not be loaded or made; each message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// The folder cannot be made.
    #[error("cannot create the folder {path} for keys; choose another data folder or allow writing there")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {path}; make it readable for the user who runs this program")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}; allow writing to its folder or free some space")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// One file of a pair is missing.
    #[error(
        "{path} is missing beside {other}; restore it, or remove {other} to start with new keys (kubeconfigs and tokens made before stop working)"
    )]
    Half {
        /// The file that is missing.
        path: PathBuf,
        /// The file that is there.
        other: PathBuf,
    },
    /// A file is there but is not what it should be.
    #[error(
        "{path} is damaged: {problem}; restore it, or remove the folder it is in to start with new keys (kubeconfigs and tokens made before stop working)"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The cryptographic library refused.
    #[error("cannot make {what}: {problem}")]
    Make {
        /// What was to be made.
        what: String,
        /// What the library said.
        problem: String,
    },
}

/// Makes the folder, closed to others; an existing one is closed too.
pub(crate) fn open_folder(path: &Path) -> Result<(), KeystoreError> {
    let failed = |source| KeystoreError::Folder { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

/// The text of a file, or none when there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, KeystoreError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeystoreError::Read { path: path.to_owned(), source }),
    }
}

/// Writes a file whole or not at all, readable for the owner only.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), KeystoreError> {
    write_whole(path, text).map_err(|source| KeystoreError::Write { path: path.to_owned(), source })
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_added_extension("new");
    // A draft left by a crash may have any mode: it must not lend it to the new file.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Both files of a pair, or none when neither is there.
pub(crate) fn read_pair(first: &Path, second: &Path) -> Result<Option<(String, String)>, KeystoreError> {
    let half =
        |path: &Path, other: &Path| KeystoreError::Half { path: path.to_owned(), other: other.to_owned() };
    match (read(first)?, read(second)?) {
        (Some(first), Some(second)) => Ok(Some((first, second))),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(half(first, second)),
        (Some(_), None) => Err(half(second, first)),
    }
}

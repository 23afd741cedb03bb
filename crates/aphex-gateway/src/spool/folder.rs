//! The files of the spool: written whole or not at all, readable to their owner alone.
//!
//! `<number>-<listener and sequence>-<milliseconds>.event`; `.tmp` while it is being written, `.bad` once it was set aside.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{Entry, SpoolError};

const EVENT: &str = ".event";
const UNFINISHED: &str = ".tmp";
const ASIDE: &str = ".bad";
const LOCK: &str = "lock";

/// What an earlier process left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Events by number.
    pub(super) events: BTreeMap<u64, Entry>,
    /// What was set aside.
    pub(super) aside: Vec<(u64, Entry)>,
}

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Its lock says that the folder is this process's; the system takes it away with the process.
    _lock: File,
}

impl Folder {
    /// Makes the folder its owner's alone, and this process the only one that uses it.
    pub(super) fn open(path: PathBuf) -> Result<Self, SpoolError> {
        let failed = |error| SpoolError::Folder(path.clone(), error);
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        // A volume of a cluster belongs to root and its group is ours: then its mode is not ours to change.
        if let Err(error) = fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
            && error.kind() != ErrorKind::PermissionDenied
        {
            return Err(failed(error));
        }
        let mut private = OpenOptions::new();
        private.write(true).create(true).truncate(false).mode(0o600);
        let lock = private.open(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(SpoolError::InUse(path)),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The finished files, events in order of arrival, which a folder does not keep. What was being written when a process ended was never acknowledged, and is removed.
    pub(super) fn list(&self) -> Result<Left, SpoolError> {
        let failed = |error| SpoolError::Folder(self.path.clone(), error);
        let mut left = Left::default();
        for file in fs::read_dir(&self.path).map_err(failed)? {
            let file = file.map_err(failed)?;
            let name = file.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.ends_with(UNFINISHED) {
                fs::remove_file(file.path()).map_err(failed)?;
            } else if let Some((number, entry)) = parse(name, EVENT) {
                let bytes = file.metadata().map_err(failed)?.len();
                left.events.insert(number, Entry { bytes, ..entry });
            } else if let Some((number, entry)) = parse(name, ASIDE) {
                let bytes = file.metadata().map_err(failed)?.len();
                left.aside.push((number, Entry { bytes, ..entry }));
            } else if name.ends_with(EVENT) {
                tracing::error!(file = %file.path().display(), "not a file of the spool; it is left alone");
            }
        }
        Ok(left)
    }

    pub(super) fn file(&self, number: u64, entry: &Entry) -> PathBuf {
        self.path.join(format!("{}{EVENT}", stem(number, entry)))
    }

    /// Writes a file whole: it is there with all its bytes after a power cut, or not at all.
    pub(super) fn write(&self, number: u64, entry: &Entry, bytes: &[u8]) -> Result<(), SpoolError> {
        let (unfinished, finished) =
            (self.path.join(format!("{}{UNFINISHED}", stem(number, entry))), self.file(number, entry));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, &finished)?;
            self.sync()
        };
        write().map_err(|error| {
            // It is not acknowledged; what cannot be removed now is, or is drained, at the next start.
            let _ = fs::remove_file(&unfinished);
            let _ = fs::remove_file(&finished);
            SpoolError::Write(finished.clone(), error)
        })
    }

    pub(super) fn read(&self, number: u64, entry: &Entry) -> Result<Option<Vec<u8>>, SpoolError> {
        let file = self.file(number, entry);
        match fs::read(&file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SpoolError::Read(file, error)),
        }
    }

    /// How many bytes the payload has when it is unpacked: a gzip ends with that (RFC 1952, section 2.3.1).
    pub(super) fn unpacked(&self, number: u64, entry: &Entry) -> Result<Option<u64>, SpoolError> {
        let path = self.file(number, entry);
        let last = || -> io::Result<u64> {
            let mut file = File::open(&path)?;
            let mut last = [0; 4];
            // A file without them is damaged, which reading it tells.
            if file.seek(SeekFrom::End(-4)).is_ok() {
                file.read_exact(&mut last)?;
            }
            Ok(u64::from(u32::from_le_bytes(last)))
        };
        match last() {
            Ok(size) => Ok(Some(size)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SpoolError::Read(path, error)),
        }
    }

    /// Should the removal itself be lost, the event is found to be stored already.
    pub(super) fn remove(&self, number: u64, entry: &Entry) -> Result<(), SpoolError> {
        let file = self.file(number, entry);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(SpoolError::Write(file, error)),
            _ => Ok(()),
        }
    }

    pub(super) fn set_aside(&self, number: u64, entry: &Entry) -> Result<(), SpoolError> {
        let (file, aside) =
            (self.file(number, entry), self.path.join(format!("{}{ASIDE}", stem(number, entry))));
        fs::rename(&file, &aside).and_then(|()| self.sync()).map_err(|error| SpoolError::Write(aside, error))
    }

    /// A new name is only certain once the folder itself is on disk.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

fn stem(number: u64, entry: &Entry) -> String {
    format!("{number:020}-{}-{}", entry.group, entry.received.max(0))
}

/// Number and entry of a file with this ending, the entry without its size.
fn parse(name: &str, ending: &str) -> Option<(u64, Entry)> {
    let stem_of_it = name.strip_suffix(ending)?;
    let mut parts = stem_of_it.split('-');
    let (number, group, received) = (parts.next()?, parts.next()?, parts.next()?);
    let plain = !group.is_empty() && group.chars().all(|c| c.is_ascii_alphanumeric());
    let number = number.parse().ok()?;
    let entry = Entry { group: group.to_owned(), received: received.parse().ok()?, bytes: 0 };
    // The same name is made of it again, so that what is listed can be read.
    let same = stem_of_it == stem(number, &entry);
    (plain && same && parts.next().is_none()).then_some((number, entry))
}

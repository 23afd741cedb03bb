//! The key file, and the sealing of values with it.
//!
//! AES-256-GCM-SIV (RFC 8452): a random nonce that comes twice gives nothing away but equal values. The
//! record's key is authenticated with its value, so that values cannot change places in the file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use secrecy::zeroize::Zeroizing;

use super::StorageError;

const KEY_LEN: usize = 32;

/// Seals and opens values.
pub(super) struct Seal(RandomizedNonceKey);

impl Seal {
    /// The key in this file; made when `fresh`, because nothing is sealed yet.
    pub(super) fn load(path: &Path, fresh: bool) -> Result<Self, StorageError> {
        let failed = |source| StorageError::KeyFile { path: path.to_owned(), source };
        let bytes = match fs::read(path) {
            Ok(bytes) => {
                close_to_others(path).map_err(failed)?;
                Zeroizing::new(bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && fresh => {
                let bytes = Zeroizing::new(rand::random::<[u8; KEY_LEN]>().to_vec());
                write_private(path, &bytes).map_err(failed)?;
                bytes
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StorageError::KeyMissing { path: path.to_owned() });
            }
            Err(error) => return Err(failed(error)),
        };
        Self::new(&bytes).ok_or_else(|| StorageError::KeyDamaged { path: path.to_owned() })
    }

    /// A key that lives as long as the process.
    pub(super) fn random() -> Option<Self> {
        Self::new(&rand::random::<[u8; KEY_LEN]>())
    }

    fn new(bytes: &[u8]) -> Option<Self> {
        RandomizedNonceKey::new(&AES_256_GCM_SIV, bytes).ok().map(Self)
    }

    /// Nonce, ciphertext and tag.
    pub(super) fn close(&self, key: &str, mut value: Vec<u8>) -> Result<Vec<u8>, StorageError> {
        let failed = |_| StorageError::Seal { key: key.to_owned() };
        let nonce = self.0.seal_in_place_append_tag(Aad::from(key), &mut value).map_err(failed)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut value);
        Ok(sealed)
    }

    /// The value, if it was sealed with this key under this record key.
    pub(super) fn open(&self, key: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StorageError> {
        let damaged = || StorageError::Sealed { key: key.to_owned() };
        let (nonce, value) = sealed.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut value = Zeroizing::new(value.to_vec());
        let length = self.0.open_in_place(nonce, Aad::from(key), &mut value).map_err(|_| damaged())?.len();
        value.truncate(length);
        Ok(value)
    }
}

fn close_to_others(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        tracing::warn!(path = %path.display(), "the file was open to others; it is closed now, and what it holds may be known");
    }
    Ok(())
}

/// Writes a file whole or not at all, readable for its owner only.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_added_extension("new");
    // A draft left by a crash may have any mode: it must not lend it to the new file.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

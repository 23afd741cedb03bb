//! The files of an image, as one tar file whose bytes depend on nothing but them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use crate::digest;

/// The files of an image, by path without a leading slash. Folders on the way to a file are made.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    entries: BTreeMap<String, Entry>,
    compress: bool,
}

#[derive(Debug)]
enum Entry {
    Folder { mode: u32 },
    File { mode: u32, bytes: Vec<u8> },
    Link { target: String },
}

/// A layer as it lies in an archive.
#[derive(Debug)]
pub(crate) struct Packed {
    /// The bytes: a tar file, possibly compressed.
    pub(crate) bytes: Vec<u8>,
    /// SHA-256 of the bytes.
    pub(crate) digest: String,
    /// SHA-256 of the bytes before compression.
    pub(crate) diff: String,
    /// What the bytes are.
    pub(crate) media_type: &'static str,
}

impl Layer {
    /// A layer with a folder for temporary files, which most programs expect.
    pub(crate) fn new() -> Self {
        Self::default().folder("tmp", 0o1777)
    }

    /// Compressed: smaller to send, slower to make and to unpack.
    pub(crate) fn compressed(mut self) -> Self {
        self.compress = true;
        self
    }

    /// Adds a folder.
    pub(crate) fn folder(mut self, path: &str, mode: u32) -> Self {
        self.entries.insert(path.to_owned(), Entry::Folder { mode });
        self
    }

    /// Adds a file.
    pub(crate) fn file(mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        self.entries.insert(path.to_owned(), Entry::File { mode, bytes: bytes.into() });
        self
    }

    /// Adds a program from this machine.
    pub(crate) fn program(self, path: &str, source: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
        Ok(self.file(path, 0o755, bytes))
    }

    /// Adds a symbolic link.
    pub(crate) fn link(mut self, path: &str, target: &str) -> Self {
        self.entries.insert(path.to_owned(), Entry::Link { target: target.to_owned() });
        self
    }

    /// The layer's bytes.
    pub(crate) fn pack(mut self) -> anyhow::Result<Packed> {
        self.complete();
        let tar = self.tar().context("cannot write a layer")?;
        let diff = digest::sha256(&tar);
        if !self.compress {
            let media_type = "application/vnd.oci.image.layer.v1.tar";
            return Ok(Packed { bytes: tar, digest: diff.clone(), diff, media_type });
        }
        let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        let written = encoder.write_all(&tar).and_then(|()| encoder.finish());
        let bytes = written.context("cannot compress a layer")?;
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        Ok(Packed { digest: digest::sha256(&bytes), bytes, diff, media_type })
    }

    /// Adds the folders that paths go through.
    fn complete(&mut self) {
        let paths: Vec<String> = self.entries.keys().cloned().collect();
        for path in paths {
            for (end, _) in path.match_indices('/') {
                self.entries.entry(path[..end].to_owned()).or_insert(Entry::Folder { mode: 0o755 });
            }
        }
    }

    fn tar(&self) -> std::io::Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            let mut header = Header::new_gnu();
            // Owner and time are zero: everything is root's and of no time.
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(0);
            match entry {
                Entry::Folder { mode } => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_mode(*mode);
                    builder.append_data(&mut header, format!("{path}/"), std::io::empty())?;
                }
                Entry::File { mode, bytes } => {
                    header.set_entry_type(EntryType::Regular);
                    header.set_mode(*mode);
                    header.set_size(bytes.len() as u64);
                    builder.append_data(&mut header, path, bytes.as_slice())?;
                }
                Entry::Link { target } => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_mode(0o777);
                    builder.append_link(&mut header, path, target)?;
                }
            }
        }
        builder.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(bytes: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap();
        entries.map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    }

    #[test]
    fn the_order_of_adding_does_not_change_the_bytes() {
        let one = Layer::new().file("bin/a", 0o755, "a").link("bin/b", "a").compressed().pack().unwrap();
        let two = Layer::new().link("bin/b", "a").file("bin/a", 0o755, "a").compressed().pack().unwrap();
        assert_eq!(one.digest, two.digest);
        let other = Layer::new().link("bin/b", "a").file("bin/a", 0o755, "c").compressed().pack().unwrap();
        assert_ne!(one.digest, other.digest);
    }

    #[test]
    fn folders_come_before_what_they_hold() {
        let packed = Layer::new().file("etc/ssl/certs/ca.crt", 0o644, "x").pack().unwrap();
        assert_eq!(
            paths(&packed.bytes),
            ["etc/", "etc/ssl/", "etc/ssl/certs/", "etc/ssl/certs/ca.crt", "tmp/"]
        );
        assert_eq!(packed.digest, packed.diff);
    }

    #[test]
    fn compression_keeps_the_digest_of_the_content() {
        let plain = Layer::new().pack().unwrap();
        let small = Layer::new().compressed().pack().unwrap();
        assert_eq!(plain.diff, small.diff);
        assert_ne!(small.digest, small.diff);
    }
}

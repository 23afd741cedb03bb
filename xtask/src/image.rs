//! Container images without Docker: the shipped one, and those that a cluster on one machine needs.
//!
//! An [`Image`] is a reference, a configuration and one [`Layer`]; [`archive`] writes images into a file that containerd,
//! kind, Docker and skopeo read. Equal input gives equal bytes: entries are sorted, times are fixed.

pub(crate) mod archive;
pub(crate) mod layer;
mod program;
mod reference;

use std::collections::BTreeMap;

pub(crate) use layer::Layer;
pub(crate) use program::{Arguments, Build, build, run, target};
pub(crate) use reference::Reference;

/// Who runs what in images: no one that has an account here, distroless' number for it.
pub(crate) const NONROOT: &str = "65532:65532";

/// One image.
#[derive(Debug)]
pub(crate) struct Image {
    /// Its name and tag.
    pub(crate) reference: Reference,
    /// What runs, with fixed arguments.
    pub(crate) entrypoint: Vec<String>,
    /// User and group, by number.
    pub(crate) user: String,
    /// Environment, as `NAME=value`.
    pub(crate) environment: Vec<String>,
    /// Labels of the configuration, and annotations of the manifest.
    pub(crate) labels: BTreeMap<String, String>,
    /// When it was made, as RFC 3339: the epoch, or the time of the source it was made from.
    pub(crate) created: String,
    /// Its files.
    pub(crate) layer: Layer,
}

impl Image {
    /// An image that runs one program as nobody.
    pub(crate) fn new(reference: Reference, entrypoint: &[&str], layer: Layer) -> Self {
        Self {
            reference,
            entrypoint: entrypoint.iter().map(|&word| word.to_owned()).collect(),
            user: NONROOT.to_owned(),
            environment: vec!["PATH=/bin:/ko-app".to_owned()],
            labels: BTreeMap::new(),
            created: "1970-01-01T00:00:00Z".to_owned(),
            layer,
        }
    }
}

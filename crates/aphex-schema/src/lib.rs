//! Schemas of Kubernetes objects: the model, the published OpenAPI data, and what follows from them.
//!
//! - [`model`]: one schema node and the cursor [`Typed`] that walks it, references resolved.
//! - [`builtin`]: Kubernetes' published definitions, shipped as data, parsed on first use.
//! - [`structural`]: reading a CRD's `openAPIV3Schema` and the rules it must obey.
//! - [`prune`], [`default`], [`validate`], [`rules`]: the walks over an object.
//! - [`custom`]: all of them in the order a custom resource goes through.
//! - [`decode`]: JSON types of built-in objects, checked as Go's decoder would.
//! - [`openapi`]: documents of custom kinds; [`gnostic`]: the v2 document in protobuf.
//! - [`error`] and [`path`]: field errors with Kubernetes' texts.
//!
//! Pure: no IO, no async, no knowledge of HTTP. Messages and field paths are Kubernetes' own.

pub mod builtin;
mod correlate;
pub mod custom;
pub mod decode;
pub mod default;
pub mod error;
mod field_path;
pub mod gnostic;
pub mod golang;
pub mod model;
pub mod openapi;
pub mod path;
pub mod prune;
mod read;
pub mod rules;
pub mod structural;
pub mod validate;

pub use error::{FieldError, FieldErrorKind};
pub use model::{Additional, Definitions, ListKind, MapKind, Schema, Structure, Type, Typed};
pub use path::Path;

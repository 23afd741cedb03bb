//! Schemas of Kubernetes objects: the model, the published OpenAPI data, and what follows from them.
//!
//! - [`model`]: one schema node and the cursor [`Typed`] that walks it, references resolved.
//! - `builtin`: Kubernetes' published definitions, shipped as data, parsed on first use.
//! - `structural`: reading a CRD's `openAPIV3Schema` and the rules it must obey.
//! - `prune`, `default`, `validate`: the three walks over an object.
//!
//! Pure: no IO, no async, no knowledge of HTTP. Messages and field paths are Kubernetes' own.

pub mod model;

pub use model::{Additional, Definitions, ListKind, MapKind, Schema, Structure, Type, Typed};

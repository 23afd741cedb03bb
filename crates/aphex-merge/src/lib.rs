//! Server-side apply, managed fields and the other three patch formats, over a schema.
//!
//! - [`apply()`] and [`update()`]: what a write does to an object and to `metadata.managedFields`.
//! - [`FieldSet`]: sets of field paths, `FieldsV1` in and out.
//! - [`strategic_merge`], [`json_patch()`], [`merge_patch()`]: the patch formats.
//!
//! Semantics follow structured-merge-diff v6 and apimachinery 0.35. Pure: no IO, no defaulting, no pruning,
//! no validation beyond what merging needs. Built-in and custom kinds differ only by their schema.

mod apply;
mod conflict;
mod field_set;
mod last_applied;
mod managed;
mod node;
mod patch;
mod path;
mod typed;
mod update;
mod updater;

pub use apply::{Apply, ApplyError, apply};
pub use conflict::{Cause, Conflict, Conflicts};
pub use field_set::{FieldSet, FieldSetError};
pub use managed::keep_times;
pub use patch::{JsonPatchError, MergePatchError, PatchError, json_patch, merge_patch, strategic_merge};
pub use path::{Path, PathElement, Scalar};
pub use update::{Update, update};

use aphex_schema::Typed;

/// Another apiVersion of the same kind, with the schema it has there.
#[derive(Clone, Copy, Debug)]
pub struct OtherVersion<'a> {
    /// `apps/v1`, `v1`, ...
    pub api_version: &'a str,
    /// The schema in that version; `None` means deduced from the values.
    pub schema: Option<Typed<'a>>,
}

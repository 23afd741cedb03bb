//! The patch formats that are not apply: JSON patch, merge patch, strategic merge patch.

mod json;
mod strategic;
mod strategic_list;
#[cfg(test)]
mod tests;

pub use json::{JsonPatchError, MergePatchError, json_patch, merge_patch};
pub use strategic::{PatchError, strategic_merge};

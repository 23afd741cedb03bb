//! Other projects' kinds: only the fields we set or read; unknown fields are kept.
//!
//! Hand-written on purpose: generated types for the same kinds cost minutes of compiling and change with each release.

pub mod argocd;
pub mod external_secrets;
pub mod tekton;
pub mod triggers;

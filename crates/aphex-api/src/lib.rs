//! The platform's vocabulary: custom resources, the names derived from them, labels, conditions, profiles.
//!
//! Everything that speaks of organizations, bindings and tenants takes its words from here, so that a name or a label
//! is written once in the program. No IO, no async, no dependency on another crate of this workspace.
//!
//! - [`organization`], [`repo_binding`], [`knowledge_base`], [`pipeline`], [`delivery`]: our custom resources;
//!   [`webhook_secret`]: what two of them tell about rotation.
//! - [`names`]: validated names and every name derived from one; [`labels`]: every key we write on objects.
//! - [`conditions`]: the one way to change a condition; [`profile`]: what a permission profile allows.
//! - [`dispatch`]: what the gateway promises to the triggers that the controllers write.
//! - [`glob`]: patterns over branches and paths, and the regular expressions they mean.
//! - [`foreign`]: other projects' kinds, only the fields we use; [`crds`]: the definitions to install.

#![allow(clippy::duplicated_attributes, reason = "printer columns repeat their attributes' names by design")]

pub mod conditions;
pub mod crds;
pub mod delivery;
pub mod dispatch;
pub mod foreign;
pub mod glob;
pub mod knowledge_base;
pub mod labels;
pub mod names;
pub mod organization;
pub mod pipeline;
pub mod profile;
pub mod repo_binding;
pub mod webhook_secret;

/// API group of the platform's own kinds.
pub const GROUP: &str = "aphex.io";
/// Version of the platform's own kinds.
pub const VERSION: &str = "v1alpha1";

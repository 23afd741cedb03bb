//! Who is asking and may they: certificates, tokens, RBAC; no HTTP, no storage.
//!
//! The facts (messages, claims, matching rules, default roles) are those of Kubernetes 1.35.
//! Everything here is synchronous and works on values: the API server feeds the index from its
//! store, checks that bound objects still exist, and turns refusals into wire errors. Only
//! [`pki`] and [`tokens`] touch the disk, to load or create keys when a process starts.

pub mod attributes;
pub mod bootstrap;
pub mod impersonation;
mod keystore;
pub mod oidc;
pub mod pkce;
pub mod pki;
mod quote;
pub mod rbac;
pub mod tokens;
pub mod user;

pub use attributes::Attributes;
pub use keystore::KeystoreError;
pub use pki::user_of_certificate;
pub use rbac::{
    Binding, Decision, Index, PolicyRule, Role, RoleRef, RoleSource, Rules, Subject, authorize, missing,
    rules_for,
};
pub use user::User;

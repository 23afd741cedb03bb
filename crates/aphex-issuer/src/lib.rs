//! Who people are: users, groups and logins, with an OpenID provider over them.
//!
//! - [`storage`]: typed records, sealed with a key file, durable.
//! - [`directory`]: users, groups, passwords, service accounts.
//! - [`audit`]: who did what, when and from where.
//! - [`Issuer`]: the provider with Dex's endpoints; `routes` says which path does what.
//!
//! Knows nothing of Kubernetes: an API server is one more relying party. Passwords and bearer tokens
//! are kept as hashes only; everything else that is kept is sealed.

pub mod audit;
mod authorize;
mod claims;
pub mod clients;
mod device;
pub mod directory;
mod discovery;
mod forms;
mod grants;
mod introspection;
mod issuer;
pub mod keys;
mod login;
mod oauth;
mod pages;
mod revocation;
mod routes;
pub mod secrets;
mod serve;
mod sessions;
pub mod settings;
mod setup;
pub mod storage;
mod throttle;
mod token;
mod userinfo;
mod web;

pub use audit::Audit;
pub use clients::Clients;
pub use directory::Directory;
pub use issuer::{Config, Issuer};
pub use keys::Algorithm;
pub use settings::{IssuerUrl, Lifetimes, Settings};
pub use storage::Storage;

//! Who people are: users, groups and logins, with an OpenID provider over them.
//!
//! - [`storage`]: typed records, sealed with a key file, durable.
//! - [`directory`]: users, groups, passwords, service accounts.
//! - [`Authentik`]: its REST interface, for those who administer.
//! - [`providers`]: the relying parties of that face.
//! - [`connector`]: logging in at another provider.
//! - [`access`]: how the command line on the same machine gets in.
//! - [`audit`]: who did what, when and from where.
//! - [`Issuer`]: the provider with Dex's endpoints; `routes` says which path does what.
//!
//! Knows nothing of Kubernetes: an API server is one more relying party. Passwords and bearer tokens
//! are kept as hashes only; everything else that is kept is sealed.

pub mod access;
mod account;
pub mod audit;
mod authentik;
mod authorize;
mod claims;
pub mod clients;
pub mod connector;
mod device;
pub mod directory;
mod discovery;
mod forms;
mod grants;
mod introspection;
mod issuer;
pub mod keys;
mod login;
mod logout;
mod oauth;
mod pages;
pub mod providers;
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

pub use access::Access;
pub use audit::Audit;
pub use authentik::Authentik;
pub use clients::Clients;
pub use connector::Upstream;
pub use directory::Directory;
pub use issuer::{Config, Issuer, StartError};
pub use keys::Algorithm;
pub use providers::Providers;
pub use settings::{IssuerUrl, Lifetimes, Settings};
pub use storage::Storage;

//! Who people are: users, groups and logins, with an OpenID provider over them.
//!
//! - [`storage`]: typed records, sealed with a key file, durable.
//! - [`directory`]: users, groups, passwords, service accounts.
//! - [`Authentik`]: its REST interface, for those who administer.
//! - [`providers`]: the relying parties of that face.
//! - [`access`]: how the command line on the same machine gets in.
//! - [`audit`]: who did what, when and from where.
//!
//! Knows nothing of Kubernetes: an API server is one more relying party. Passwords and bearer tokens
//! are kept as hashes only; everything else that is kept is sealed.

pub mod access;
pub mod audit;
mod authentik;
pub mod directory;
pub mod providers;
pub mod secrets;
pub mod storage;
mod web;

pub use access::Access;
pub use audit::Audit;
pub use authentik::Authentik;
pub use directory::Directory;
pub use providers::Providers;
pub use storage::Storage;

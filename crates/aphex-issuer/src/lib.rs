//! Who people are: users, groups and logins, with an OpenID provider over them.
//!
//! - [`storage`]: typed records, sealed with a key file, durable.
//! - [`directory`]: users, groups, passwords, service accounts.
//! - [`audit`]: who did what, when and from where.
//!
//! Knows nothing of Kubernetes: an API server is one more relying party. Passwords and bearer tokens
//! are kept as hashes only; everything else that is kept is sealed.

pub mod audit;
pub mod directory;
pub mod secrets;
pub mod storage;

pub use audit::Audit;
pub use directory::Directory;
pub use storage::Storage;

//! What every long-running process of the platform needs, whichever role it plays.
//!
//! - [`shutdown`]: signals become one token; tasks are tracked and waited for.
//! - [`log`]: `tracing` to standard error, as text or JSON.
//! - [`serve`]: connections within bounds, HTTP/1.1 and HTTP/2 on them, with or without TLS, an orderly end.
//! - [`admin`]: `/livez`, `/readyz`, `/healthz`, `/metrics` for roles that run alone.
//! - [`metrics`]: one registry, handed to whoever counts something.
//! - [`clock`]: time as a value, so that tests can turn it.
//! - [`deadline`]: an answer that does not come is an error.
//! - [`lease`]: of all replicas of a role one works.
//! - [`watches`]: how long an interrupted watch pauses.
//! - [`errors`]: an error with all its causes on one line.
//!
//! Knows nothing of the platform's own kinds and depends on no other crate of this workspace.

pub mod admin;
pub mod clock;
pub mod deadline;
pub mod errors;
pub mod lease;
pub mod log;
pub mod metrics;
pub mod proxies;
pub mod serve;
pub mod shutdown;
pub mod watches;

pub use clock::Clock;
pub use metrics::Metrics;
pub use shutdown::Shutdown;

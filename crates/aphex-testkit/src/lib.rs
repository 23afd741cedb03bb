//! Fixtures for tests: an engine on which a test may do what it likes, and the real programs to compare with.
//!
//! [`Cluster`] is the embedded API server with its housekeeping, in memory, for one test. With
//! `APHEX_TEST_KUBECONFIG` set, the same tests run on the clusters that it names instead, with a `:` between two.

mod access;
mod apply;
pub mod cloudflare;
mod cluster;
mod engines;
pub mod faults;
pub mod git;
pub mod issuer;
mod named;
pub mod packages;
pub mod platform;
pub mod real;
mod requests;
mod service;
pub mod sshd;
mod wait;

pub use access::Access;
pub use apply::{apply, replace};
pub use cluster::Cluster;
pub use engines::{engine, left_out};
pub use requests::{Asked, Requests};
pub use service::Service;
pub use wait::{eventually, eventually_for};

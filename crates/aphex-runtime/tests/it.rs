//! Leader election against an engine, and listeners against strangers.

#![allow(clippy::unwrap_used, reason = "helpers of tests: what cannot be had ends the test")]

#[path = "it/lease.rs"]
mod lease;
#[path = "it/serve.rs"]
mod serve;
#[path = "it/unread.rs"]
mod unread;

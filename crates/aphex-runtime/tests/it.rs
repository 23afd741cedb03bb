//! Leader election against an engine.

#[path = "it/lease.rs"]
mod lease;

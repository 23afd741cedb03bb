//! The controllers against an API server, and their pure steps against golden files.

#[path = "it/deletion.rs"]
mod deletion;
#[path = "it/drift.rs"]
mod drift;
#[path = "it/engine.rs"]
mod engine;
#[path = "it/golden.rs"]
mod golden;
#[path = "it/provisioning.rs"]
mod provisioning;
#[path = "it/rejection.rs"]
mod rejection;
#[path = "it/schema.rs"]
mod schema;

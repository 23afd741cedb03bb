//! The controllers against an API server, and their pure steps against golden files.

#![allow(clippy::unwrap_used, reason = "helpers of tests: what cannot be had ends the test")]

#[path = "it/advisories.rs"]
mod advisories;
#[path = "it/cloudflare.rs"]
mod cloudflare;
#[path = "it/deletion.rs"]
mod deletion;
#[path = "it/drift.rs"]
mod drift;
#[path = "it/edits.rs"]
mod edits;
#[path = "it/engine.rs"]
mod engine;
#[path = "it/faults.rs"]
mod faults;
#[path = "it/foreign.rs"]
mod foreign;
#[path = "it/golden.rs"]
mod golden;
#[path = "it/groups.rs"]
mod groups;
#[path = "it/isolation.rs"]
mod isolation;
#[path = "it/knowledge_base.rs"]
mod knowledge_base;
#[path = "it/logins.rs"]
mod logins;
#[path = "it/pipeline.rs"]
mod pipeline;
#[path = "it/plan.rs"]
mod plan;
#[path = "it/policies.rs"]
mod policies;
#[path = "it/provisioning.rs"]
mod provisioning;
#[path = "it/rejection.rs"]
mod rejection;
#[path = "it/rights.rs"]
mod rights;
#[path = "it/rotation.rs"]
mod rotation;
#[path = "it/runs.rs"]
mod runs;
#[path = "it/schema.rs"]
mod schema;
#[path = "it/standalone.rs"]
mod standalone;
#[path = "it/tenancy.rs"]
mod tenancy;
#[path = "it/tunnels.rs"]
mod tunnels;

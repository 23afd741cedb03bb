//! The server as clients meet it: HTTP requests in process, answers compared with Kubernetes' own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests: what cannot be had ends the test"
)]

#[path = "it/support.rs"]
mod support;

#[path = "it/admission.rs"]
mod admission;
#[path = "it/admission_facts.rs"]
mod admission_facts;
#[path = "it/ahead.rs"]
mod ahead;
#[path = "it/custom.rs"]
mod custom;
#[path = "it/deletion.rs"]
mod deletion;
#[path = "it/issuers.rs"]
mod issuers;
#[path = "it/listing.rs"]
mod listing;
#[path = "it/protobuf.rs"]
mod protobuf;
#[path = "it/watching.rs"]
mod watching;
#[path = "it/workloads.rs"]
mod workloads;
#[path = "it/writing.rs"]
mod writing;

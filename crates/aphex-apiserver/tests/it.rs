//! The server as clients meet it: HTTP requests in process, answers compared with Kubernetes' own.

#[path = "it/support.rs"]
mod support;

#[path = "it/custom.rs"]
mod custom;
#[path = "it/deletion.rs"]
mod deletion;
#[path = "it/listing.rs"]
mod listing;
#[path = "it/watching.rs"]
mod watching;
#[path = "it/writing.rs"]
mod writing;

//! A Kubernetes API server in one library: generic registry over the store; knows none of the platform's kinds.
//!
//! - [`server`]: [`ApiServer`], what it is made of and the way of a request through it.
//! - [`resource`], [`registry`]: every kind is a descriptor; custom ones ([`crds`]) come and go at run time.
//! - [`request`], [`selectors`], [`input`]: reading requests. [`respond`], [`status`], [`body`]: answering them.
//! - [`verbs`]: one file per verb; [`mod@write`]: the way every write takes; [`codec`]: objects as stored bytes.
//! - [`access`]: who and whether. [`admission`], [`builtin`]: rules beyond the object's own shape.
//! - [`serve`]: TLS. [`service`]: the same server for clients in this process, without a socket.
//!
//! Invariants: no handler knows a kind by name; nothing a client sends can panic or exhaust the process; a write
//! that was answered is on disk.

pub mod access;
pub mod admission;
pub mod body;
pub mod builtin;
pub mod call;
pub mod codec;
pub mod components;
pub mod convert;
pub mod crds;
pub mod discovery;
pub mod expiry;
pub mod health;
pub mod input;
pub mod metadata;
pub mod metrics;
pub mod names;
pub mod namespaces;
pub mod object;
pub mod openapi;
pub mod own_objects;
pub mod registry;
pub mod request;
pub mod resource;
pub mod respond;
pub mod selectors;
pub mod serve;
pub mod server;
pub mod service;
mod services;
pub mod status;
pub mod strategy;
pub mod table;
pub mod uid;
pub mod verbs;
pub mod write;

pub use aphex_auth::User;
pub use server::{ApiServer, Config, StartError};
pub use service::Service;
pub use status::Status;

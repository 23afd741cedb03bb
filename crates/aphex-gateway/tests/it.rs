//! The gateway against golden files, and against an API server.

mod component;
mod golden;

//! The crate against facts recorded from kube-apiserver 1.35.4.
#![expect(clippy::unwrap_used, reason = "a recorded fact that cannot be read is a broken test")]

mod decoding;
mod expressions;
mod facts;
mod ratcheting;
mod rules;
mod schemas;
mod shaping;
mod validation;

//! The crate against facts recorded from kube-apiserver 1.35.4.

mod decoding;
mod facts;
mod schemas;
mod validation;

//! Tests against a real API server; run by hand.

#[cfg(test)]
#[path = "it/differential.rs"]
mod differential;

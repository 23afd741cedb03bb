//! Aphex.
fn main() {}

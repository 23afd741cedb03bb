//! Comparison with facts recorded from kube-apiserver 1.35.4.

#![allow(clippy::unwrap_used, reason = "recorded facts are readable, or the test fails")]

mod it {
    mod errors;
    mod objects;
}

//! Comparison with facts recorded from kube-apiserver 1.35.4.

mod objects;

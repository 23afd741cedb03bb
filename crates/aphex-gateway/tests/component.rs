//! The gateway against an API server: the embedded one, or the one of `APHEX_TEST_KUBECONFIG`.

mod deliveries;
mod requests;
mod world;

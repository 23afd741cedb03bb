//! The gateway against golden files, and against an API server: the embedded one, or that of `APHEX_TEST_KUBECONFIG`.

#[path = "it/calls.rs"]
mod calls;
#[path = "it/corpus.rs"]
mod corpus;
#[path = "it/crowd.rs"]
mod crowd;
#[path = "it/deliveries.rs"]
mod deliveries;
#[path = "it/github.rs"]
mod github;
#[path = "it/golden.rs"]
mod golden;
#[path = "it/malformed.rs"]
mod malformed;
#[path = "it/options.rs"]
mod options;
#[path = "it/replicas.rs"]
mod replicas;
#[path = "it/requests.rs"]
mod requests;
#[path = "it/services.rs"]
mod services;
#[path = "it/world.rs"]
mod world;

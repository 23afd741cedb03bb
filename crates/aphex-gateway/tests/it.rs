//! The gateway against golden files, and against an API server: the embedded one, or that of `APHEX_TEST_KUBECONFIG`.

#[path = "it/bounds.rs"]
mod bounds;
#[path = "it/calls.rs"]
mod calls;
#[path = "it/cloudevents.rs"]
mod cloudevents;
#[path = "it/corpus.rs"]
mod corpus;
#[path = "it/crowd.rs"]
mod crowd;
#[path = "it/deliveries.rs"]
mod deliveries;
#[path = "it/dry_runs.rs"]
mod dry_runs;
#[path = "it/github.rs"]
mod github;
#[path = "it/gitlab.rs"]
mod gitlab;
#[path = "it/golden.rs"]
mod golden;
#[path = "it/homes.rs"]
mod homes;
#[path = "it/inbox.rs"]
mod inbox;
#[path = "it/large.rs"]
mod large;
#[path = "it/malformed.rs"]
mod malformed;
#[path = "it/options.rs"]
mod options;
#[path = "it/overload.rs"]
mod overload;
#[path = "it/redelivered.rs"]
mod redelivered;
#[path = "it/replicas.rs"]
mod replicas;
#[path = "it/requests.rs"]
mod requests;
#[path = "it/services.rs"]
mod services;
#[path = "it/time.rs"]
mod time;
#[path = "it/watches.rs"]
mod watches;
#[path = "it/world.rs"]
mod world;

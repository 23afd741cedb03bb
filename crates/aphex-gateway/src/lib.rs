//! Receives GitHub webhooks and turns them into runs, with Tekton Triggers' semantics

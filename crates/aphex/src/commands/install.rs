//! `aphex install`: the platform onto a cluster, and what it needs beside its own manifests.

mod auth;
mod files;
mod platform;

use crate::cli::{Global, Install};

pub(crate) async fn run(global: &Global, what: Install) -> anyhow::Result<()> {
    match what {
        Install::Auth(arguments) => auth::run(global, arguments).await,
        Install::Platform(arguments) => platform::run(global, arguments).await,
    }
}

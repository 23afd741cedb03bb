//! `aphex install`: what a cluster needs beside the platform's own manifests.

mod auth;

use crate::cli::{Global, Install};

pub(crate) async fn run(global: &Global, what: Install) -> anyhow::Result<()> {
    match what {
        Install::Auth(arguments) => auth::run(global, arguments).await,
    }
}

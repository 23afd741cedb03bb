//! Real git servers, and what pretends to be one.

#![allow(clippy::unwrap_used, reason = "helpers of tests: what cannot be had ends the test")]

#[path = "it/daemon.rs"]
mod daemon;
#[path = "it/http.rs"]
mod http;
#[path = "it/ssh.rs"]
mod ssh;

use aphex_git::{Client, Commits, Credentials, Policy, Remote, RemoteError};

/// Asks whoever is on this machine.
fn client() -> Client {
    Client::new(Policy { hosts: None, allow_private: true }).unwrap()
}

async fn ask(
    url: &str,
    credentials: Option<&Credentials>,
    branches: &[&str],
) -> Result<Commits, RemoteError> {
    let remote: Remote = url.parse().unwrap();
    let branches: Vec<String> = branches.iter().map(|branch| (*branch).to_owned()).collect();
    client().branches(&remote, credentials, &branches).await
}

fn commits(pairs: &[(&str, &String)]) -> Commits {
    pairs.iter().map(|(branch, commit)| ((*branch).to_owned(), (*commit).clone())).collect()
}

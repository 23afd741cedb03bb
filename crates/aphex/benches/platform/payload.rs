//! What GitHub sends for a push: a small one, and one of many commits.

use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::push::EXAMPLES;

/// GitHub names at most so many commits in one push.
const COMMITS: usize = 20;
/// Files that each of them touches, so that the whole has about 60 kB.
const FILES: usize = 40;

/// The example's push; 9 kB.
pub fn small() -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(format!("{EXAMPLES}/github-push.json"))?)?)
}

/// The same push with as many commits as GitHub names, each of many files; 60 kB.
pub fn large() -> anyhow::Result<Value> {
    let mut push = small()?;
    let author = push["pusher"].clone();
    let commits: Vec<Value> = (0..COMMITS)
        .map(|commit| {
            // Spread over the whole of 160 bits, as hashes are, so that they compress as little.
            let hash = |part: usize| {
                let mixed = (commit * 64 + part + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                format!("{mixed:016x}{:016x}{:08x}", mixed.rotate_left(29), mixed % 0xFFFF_FFFB)
            };
            let file = |at: usize| format!("crates/part-{}/src/{}/file-{at}.rs", at % 7, &hash(at)[..8]);
            json!({
                "id": hash(0), "tree_id": hash(1), "distinct": true, "timestamp": "2019-05-15T15:20:41+00:00",
                "message": format!("Change part {commit}\\n\\nBecause {} said so.", hash(2)),
                "url": format!("https://github.com/Codertocat/Hello-World/commit/{}", hash(0)),
                "author": author, "committer": author, "added": [], "removed": [],
                "modified": (0..FILES).map(file).collect::<Vec<_>>(),
            })
        })
        .collect();
    push["head_commit"] = commits.last().context("there are commits")?.clone();
    push["head_commit"]["message"] = "Change the last part".into();
    push["after"] = push["head_commit"]["id"].clone();
    push["commits"] = commits.into();
    Ok(push)
}

/// A push to a branch that the binding does not want.
pub fn unwanted() -> anyhow::Result<Value> {
    let mut push = small()?;
    push["ref"] = "refs/heads/some-topic".into();
    Ok(push)
}

/// As it goes over the wire.
pub fn bytes(payload: &Value) -> anyhow::Result<Arc<Vec<u8>>> {
    Ok(Arc::new(serde_json::to_vec_pretty(payload)?))
}

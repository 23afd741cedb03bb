//! `aphex version`: this program, the server, and whether there is a newer release.

use std::time::Duration;

use anyhow::Context as _;
use aphex_runtime::errors;
use serde_json::{Value, json};

use crate::cli::{Global, Version};
use crate::output::{self, say};
use crate::{connect, exit};

const OWN: &str = env!("CARGO_PKG_VERSION");
/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn run(global: &Global, arguments: Version) -> anyhow::Result<()> {
    let server = if arguments.client { None } else { Some(server(global).await) };
    let newest = if arguments.check { Some(newest(&arguments.releases_url).await?) } else { None };
    let document = json!({
        "client": OWN,
        "server": server.as_ref().and_then(|answer| answer.as_ref().ok()),
        "latest": newest,
        "current": newest.as_deref().map(|newest| !is_newer(newest, OWN)),
    });
    output::answer(&global.output, &document, OWN, || {
        say(&format!("aphex    {OWN}"));
        match &server {
            Some(Ok(version)) => say(&format!("server   {version}")),
            Some(Err(why)) => say(&format!("server   none: {why}")),
            None => {}
        }
        if let Some(newest) = &newest {
            say(&format!("latest   {newest}"));
            say(&verdict(newest));
        }
    })
}

/// The server's version, or why there is none: that this program's own is asked for is no reason to fail.
async fn server(global: &Global) -> Result<String, String> {
    let asked = async {
        let client = connect::client(global).await?;
        let version = client.apiserver_version().await.context("it does not answer")?;
        anyhow::Ok(version.git_version)
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| errors::chain(error.as_ref())),
        Err(_) => Err(format!("it does not answer within {} s", PATIENCE.as_secs())),
    }
}

/// The newest release (GitHub's REST API, "Get the latest release").
async fn newest(url: &str) -> anyhow::Result<String> {
    let unreachable = |why: String| exit::Coded {
        code: exit::UNREACHABLE,
        message: format!("cannot ask {url} for releases: {why}; without --check nothing is asked"),
    };
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .user_agent(concat!("aphex/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("cannot ask for releases")?;
    let request = client.get(url).header("Accept", "application/vnd.github+json");
    let answer = request.send().await.map_err(|error| unreachable(errors::chain(&error.without_url())))?;
    let status = answer.status();
    if status.as_u16() == 404 {
        let message = format!("{url} knows of no release yet");
        return Err(exit::Coded { code: exit::NOT_FOUND, message }.into());
    }
    if !status.is_success() {
        return Err(unreachable(format!("it answers {status}")).into());
    }
    let release: Value =
        answer.json().await.map_err(|error| unreachable(errors::chain(&error.without_url())))?;
    let tag = release["tag_name"].as_str().unwrap_or_default();
    if numbers(tag).is_none() {
        return Err(unreachable(format!("it names no version, but {tag:?}")).into());
    }
    Ok(tag.trim_start_matches('v').to_owned())
}

fn verdict(newest: &str) -> String {
    if is_newer(newest, OWN) {
        format!(
            "There is a newer release. Get it with `cargo install --git {repository} --tag v{newest} aphex`, or from \
             {repository}/releases.",
            repository = env!("CARGO_PKG_REPOSITORY")
        )
    } else {
        "This is the latest release.".to_owned()
    }
}

fn is_newer(version: &str, than: &str) -> bool {
    numbers(version) > numbers(than)
}

/// Major, minor, patch; what follows a dash (a pre-release) comes before none.
fn numbers(version: &str) -> Option<([u64; 3], bool)> {
    let (core, pre) = match version.trim_start_matches('v').split_once('-') {
        Some((core, _)) => (core, true),
        None => (version.trim_start_matches('v'), false),
    };
    let mut parts = core.split('.').map(|part| part.parse::<u64>().ok());
    let found = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some((found, !pre))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_newer("v0.10.0", "0.9.9"));
        assert!(is_newer("1.0.0", "1.0.0-rc.1"));
        assert!(!is_newer("0.1.0", "0.1.0") && !is_newer("0.0.9", "0.1.0"));
        assert_eq!(numbers("nightly"), None);
    }
}

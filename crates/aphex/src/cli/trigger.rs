//! Flags of `aphex trigger`.

use std::path::PathBuf;

use aphex_gateway::decision::Decider;
use aphex_gateway::secrets::SecretCache;
use aphex_gateway::snapshot::Snapshot;
use clap::{Args, Subcommand};

use super::{Calls, Filters};

/// What can be done with triggers before they are applied.
#[derive(Debug, Subcommand)]
pub(crate) enum TriggerVerb {
    /// Say what triggers in files make of an event; needs no server
    #[command(
        after_help = "Examples:\n  aphex trigger test -f examples/trigger.yaml --event push --payload examples/github-push.json\n  aphex trigger test -f examples/trigger.yaml --event push --payload examples/github-push.json --secret-file token -o name\n  aphex delivery get 72d3162e-cc78-11e3-81ab-4c9367dc0958 --payload | aphex trigger test -f examples/trigger.yaml --event push --payload -\n\nExit codes: 0 something would be created, 3 the event is not wanted, 1 a trigger is malformed or fails, or there is no answer."
    )]
    Test(TestTriggers),
    /// Say which stored deliveries would be decided otherwise by triggers in files; writes nothing
    #[command(
        after_help = "Examples:\n  aphex trigger backtest -f examples/trigger.yaml\n  aphex trigger backtest -f examples/trigger.yaml --since 2d --repo Codertocat/Hello-World -o json\n\nExit codes: 0 none would, 2 some would, 1 a changed object is malformed or changes nothing, a delivery cannot be decided, or there is no answer."
    )]
    Backtest(Backtest),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TestTriggers {
    /// File or folder of YAML or JSON: EventListeners, triggers, bindings, templates, Secrets; - reads standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Type of the event, as the header X-GitHub-Event has it; "" sends none [default: push, unless a --header tells the
    /// type as GitLab or Bitbucket do]
    #[arg(long, value_name = "TYPE")]
    pub(crate) event: Option<String>,
    /// Payload of the event, JSON; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) payload: PathBuf,
    /// One more header of the request, such as X-Gitlab-Event=Push; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// The EventListener that receives it, as name or namespace/name [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) listener: Option<String>,
    /// Sign the event with the secret in this file, as GitHub, GitLab, Bitbucket or Slack do where a trigger verifies so, and
    /// ask only triggers whose Secret in the files is the same [default: the event counts as signed for each trigger]
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Namespace of objects that name none
    #[arg(short = 'n', long, default_value = "default")]
    pub(crate) namespace: String,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Backtest {
    /// File or folder of YAML or JSON with the changed objects; they replace those of the same kind, namespace and name. Of
    /// Organizations, RepoBindings and Pipelines, what the controllers would make of them
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) filters: Filters,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// Whether services are asked.
#[derive(Args, Clone, Debug)]
pub(crate) struct Asking {
    /// Ask services and GitHub what interceptors want to know of them; else such a trigger is not decided
    #[arg(long)]
    allow_calls: bool,
    #[command(flatten)]
    calls: Calls,
}

impl Asking {
    /// Decides by these triggers.
    pub(crate) fn decider(&self, snapshot: Snapshot, secrets: SecretCache) -> Decider {
        let decider = Decider::new(snapshot, secrets, self.calls.clone().into());
        if self.allow_calls { decider } else { decider.without_calls() }
    }
}

/// `Name=value`, or `Name: value` as requests have it.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(['=', ':'])
        .filter(|(name, _)| !name.trim().is_empty())
        .ok_or("a name and a value, such as X-GitHub-Event=push")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::header;

    #[test]
    fn headers_are_given_as_on_the_wire_or_as_assignments() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(header("X-GitHub-Event=push"), pair("X-GitHub-Event", "push"));
        assert_eq!(header("X-A: b=c"), pair("X-A", "b=c"));
        assert!(header("nothing").is_err() && header("=x").is_err());
    }
}

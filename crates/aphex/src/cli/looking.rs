//! Flags of the commands that show, apply and delete objects, whatever their kind.

use aphex_controllers::webhook_secret::parse_grace;
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;

use super::Apply;
use crate::complete;

/// Looking at the objects of a kind.
#[derive(Debug, Subcommand)]
pub(crate) enum Look {
    /// All of them
    #[command(visible_alias = "ls")]
    List(List),
    /// One, by name
    Get(Named),
}

/// Where objects are looked for, and by which labels.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Within {
    /// Only this namespace [default: the context's, if it names one but default; else all]
    #[arg(short = 'n', long, add = ArgValueCompleter::new(complete::namespaces))]
    pub(crate) namespace: Option<String>,
    /// In all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// Only those with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) within: Within,
    /// Go on and show each that changes, until Ctrl-C
    #[arg(short = 'w', long)]
    pub(crate) watch: bool,
}

/// An object by its name.
#[derive(Args, Clone, Debug)]
pub(crate) struct Named {
    /// Its name
    #[arg(add = ArgValueCompleter::new(complete::names))]
    pub(crate) name: String,
    /// Its namespace, when it is not the usual one [default: the context's]
    #[arg(short = 'n', long, add = ArgValueCompleter::new(complete::namespaces))]
    pub(crate) namespace: Option<String>,
    /// Go on and show it whenever it changes, until Ctrl-C
    #[arg(short = 'w', long)]
    pub(crate) watch: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Delete {
    /// Their names
    #[arg(required = true, value_name = "NAME", add = ArgValueCompleter::new(complete::names))]
    pub(crate) names: Vec<String>,
    /// Their namespace, when it is not the usual one
    #[arg(short = 'n', long, add = ArgValueCompleter::new(complete::namespaces))]
    pub(crate) namespace: Option<String>,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
    /// Wait until they are gone, so many seconds [default when given without a number: 300]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "300")]
    pub(crate) wait: Option<u64>,
}

/// What can be done with the objects of a kind that administrators keep.
#[derive(Debug, Subcommand)]
pub(crate) enum Tend {
    #[command(flatten)]
    Look(Look),
    /// One with everything it owns, what happened of late, and what to do next
    Describe(DescribeOne),
    /// Create or change those in files
    Apply(Apply),
    /// Delete by name, with all that the platform made for them
    #[command(visible_alias = "rm")]
    Delete(Delete),
}

/// What can be done with objects that have a webhook secret.
#[derive(Debug, Subcommand)]
pub(crate) enum Keep {
    #[command(flatten)]
    Tend(Tend),
    /// Replace the webhook secret; the old one still verifies for a while
    RotateSecret(RotateSecret),
}

/// What can be done with bindings.
#[derive(Debug, Subcommand)]
pub(crate) enum KeepRepo {
    #[command(flatten)]
    Keep(Keep),
    /// Test the whole way from GitHub to a run, without starting one; say which step fails and what to do
    #[command(
        after_help = "Examples:\n  aphex repo check hello-world\n  aphex repo check hello-world -o json\n  aphex repo check hello-world --url http://127.0.0.1:8080/acme-corp\n\nExit code: 0 when no step failed, 1 when one did."
    )]
    Check(CheckRepo),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CheckRepo {
    /// Name of the RepoBinding
    #[arg(add = ArgValueCompleter::new(complete::names))]
    pub(crate) name: String,
    /// Its namespace
    #[arg(short = 'n', long, default_value = "platform-system", add = ArgValueCompleter::new(complete::namespaces))]
    pub(crate) namespace: String,
    /// Where to send the events [default: the webhook URL in the binding's status]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RotateSecret {
    /// Its name
    #[arg(add = ArgValueCompleter::new(complete::names))]
    pub(crate) name: String,
    /// How long the old secret still verifies, such as 48h or 30m; 0 for not at all [default: the platform's, 24h]
    #[arg(long, value_name = "DURATION", value_parser = parse_grace)]
    pub(crate) grace: Option<jiff::SignedDuration>,
    /// Print the new secret; with -o json and the like, as status.webhookSecret
    #[arg(long)]
    pub(crate) show: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DescribeOne {
    /// Its name
    #[arg(add = ArgValueCompleter::new(complete::names))]
    pub(crate) name: String,
    /// Its namespace, when it is not the usual one
    #[arg(short = 'n', long, add = ArgValueCompleter::new(complete::namespaces))]
    pub(crate) namespace: Option<String>,
    /// Go on and show it again whenever something about it changes, until Ctrl-C
    #[arg(short = 'w', long)]
    pub(crate) watch: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Describe {
    /// Kind of the object
    #[arg(value_enum)]
    pub(crate) kind: Described,
    #[command(flatten)]
    pub(crate) one: DescribeOne,
}

/// A kind that can be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Described {
    /// Organization
    #[value(alias = "organization")]
    Org,
    /// RepoBinding
    #[value(aliases = ["rb", "repobinding"])]
    Repo,
    /// KnowledgeBase
    #[value(alias = "knowledgebase")]
    Kb,
    /// Pipeline
    Pipeline,
}

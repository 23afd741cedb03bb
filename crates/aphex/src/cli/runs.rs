//! Flags of `aphex run`, `aphex logs` and `aphex open`.

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;

use super::{Delete, Look};
use crate::complete;

#[derive(Debug, Subcommand)]
pub(crate) enum RunVerb {
    #[command(flatten)]
    Look(Look),
    /// Stop one that has not ended
    #[command(
        after_help = "Examples:\n  aphex run cancel hello-world-3b1bf772d5\n  aphex run cancel hello-world-3b1bf772d5 --grace StoppedRunFinally"
    )]
    Cancel(Cancel),
    /// Start a new one with the same spec
    #[command(after_help = "Examples:\n  aphex run rerun hello-world-3b1bf772d5")]
    Rerun(Rerun),
    /// Delete by name
    #[command(visible_alias = "rm")]
    Delete(Delete),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Cancel {
    /// Its name
    #[arg(add = ArgValueCompleter::new(complete::names))]
    pub(crate) name: String,
    /// Its namespace, when the name is in several
    #[arg(short = 'n', long, add = ArgValueCompleter::new(complete::namespaces))]
    pub(crate) namespace: Option<String>,
    /// Let the finally tasks run: after cancelling those that run (CancelledRunFinally), or after they ended
    /// (StoppedRunFinally)
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) grace: Option<Grace>,
}

/// What a cancelled run may still do, as Tekton's `spec.status` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Grace {
    /// Cancel what runs, then run the finally tasks
    #[value(name = "CancelledRunFinally")]
    CancelledRunFinally,
    /// Let what runs end, start nothing new, then run the finally tasks
    #[value(name = "StoppedRunFinally")]
    StoppedRunFinally,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Rerun {
    /// Name of the run to repeat
    #[arg(add = ArgValueCompleter::new(complete::names))]
    pub(crate) name: String,
    /// Its namespace, when the name is in several
    #[arg(short = 'n', long, add = ArgValueCompleter::new(complete::namespaces))]
    pub(crate) namespace: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Logs {
    /// Name of the run
    #[arg(required_unless_present = "last", conflicts_with = "last", add = ArgValueCompleter::new(complete::names))]
    pub(crate) run: Option<String>,
    /// The newest run
    #[arg(short = 'L', long)]
    pub(crate) last: bool,
    /// Namespace of the run, when the name is in several; with --last, where to look
    #[arg(short = 'n', long, add = ArgValueCompleter::new(complete::namespaces))]
    pub(crate) namespace: Option<String>,
    /// Go on until the run has ended
    #[arg(short = 'f', long)]
    pub(crate) follow: bool,
    /// Only these tasks, by the names that the pipeline has for them
    #[arg(short = 't', long = "task", value_name = "TASK")]
    pub(crate) tasks: Vec<String>,
    /// No [task : step] before each line
    #[arg(long)]
    pub(crate) no_prefix: bool,
    /// A time before each line
    #[arg(long)]
    pub(crate) timestamps: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Open {
    /// Kind of the object
    #[arg(value_enum)]
    pub(crate) kind: Opened,
    /// Its name
    #[arg(add = ArgValueCompleter::new(complete::names))]
    pub(crate) name: String,
    /// Its namespace, when it is not the usual one
    #[arg(short = 'n', long, add = ArgValueCompleter::new(complete::namespaces))]
    pub(crate) namespace: Option<String>,
    /// Address of Tekton's dashboard [default: what the platform's configuration says]
    #[arg(long, value_name = "URL", env = "APHEX_DASHBOARD_URL")]
    pub(crate) dashboard_url: Option<String>,
    /// The page at GitHub even where there is a dashboard
    #[arg(long)]
    pub(crate) github: bool,
    /// Print the address and open nothing
    #[arg(long)]
    pub(crate) print: bool,
}

/// A kind that has a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Opened {
    /// Organization
    Org,
    /// RepoBinding
    Repo,
    /// PipelineRun
    Run,
    /// Pipeline
    Pipeline,
}

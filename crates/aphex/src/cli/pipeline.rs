//! Flags of `aphex pipeline`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;

use super::{Delete, DescribeOne, Look};
use crate::complete;

#[derive(Debug, Subcommand)]
pub(crate) enum PipelineVerb {
    /// Bind a repository to a pipeline: from flags, from a file, or by answering questions
    #[command(
        after_help = "Examples:\n  aphex pipeline create\n  aphex pipeline create shop -n team-payments --org acme-corp --repo acme/shop --pipeline build.yaml --wait\n  aphex pipeline create -f cart.yaml --wait 60\n  aphex pipeline create -n team-payments -f - < search.yaml"
    )]
    Create(CreatePipeline),
    #[command(flatten)]
    Look(Look),
    /// One with everything it owns, what happened of late, and what to do next
    Describe(DescribeOne),
    /// Delete by name, with the tenant namespace that was made for it
    #[command(visible_alias = "rm")]
    Delete(Delete),
}

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CreatePipeline {
    /// Its name; asked for on a terminal when nothing says it
    #[arg(conflicts_with = "file")]
    pub(crate) name: Option<String>,
    /// Team's or user's namespace (team-… or user-…) [default: the context's]
    #[arg(short = 'n', long, add = ArgValueCompleter::new(complete::namespaces))]
    pub(crate) namespace: Option<String>,
    /// Organization it belongs to [default: the one that the namespace is labelled with]
    #[arg(long = "org", value_name = "NAME", conflicts_with = "file")]
    pub(crate) organization: Option<String>,
    /// GitHub repository, as OWNER/NAME
    #[arg(long, value_name = "OWNER/NAME", conflicts_with = "file")]
    pub(crate) repo: Option<String>,
    /// Branch whose pushes start it [default: main]
    #[arg(long, conflicts_with = "file")]
    pub(crate) branch: Option<String>,
    /// Dispatcher template of the catalog [default: run-pipeline-v1]
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    pub(crate) template: Option<String>,
    /// How much its runs may do [default: standard]
    #[arg(long, value_enum, conflicts_with = "file")]
    pub(crate) profile: Option<Profile>,
    /// File with the Tekton Pipeline, YAML or JSON
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pub(crate) pipeline: Option<PathBuf>,
    /// File with the whole object instead of flags; - reads standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Wait until it is Ready, so many seconds [default when given without a number: 120]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "120")]
    pub(crate) wait: Option<u64>,
}

/// A permission profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// The tenant's namespace
    Standard,
    /// And reads at cluster scope
    Elevated,
}

impl Profile {
    /// As the object has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Elevated => "elevated",
        }
    }
}

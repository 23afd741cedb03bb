//! Flags of the commands that show objects, whatever their kind.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum Look {
    /// All of them
    #[command(visible_alias = "ls")]
    List {
        /// Only this namespace
        #[arg(short = 'n', long)]
        namespace: Option<String>,
        /// Only those with these labels
        #[arg(short = 'l', long, value_name = "SELECTOR")]
        selector: Option<String>,
    },
    /// One, by name
    Get {
        /// Its name
        name: String,
        /// Its namespace, when it is not the usual one
        #[arg(short = 'n', long)]
        namespace: Option<String>,
    },
}

/// What can be done with objects that have a webhook secret.
#[derive(Debug, Subcommand)]
pub(crate) enum Keep {
    #[command(flatten)]
    Look(Look),
    /// Replace the webhook secret; the old one still verifies for a while
    RotateSecret(RotateSecret),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RotateSecret {
    /// Its name
    pub(crate) name: String,
    /// How long the old secret still verifies, such as 48h or 30m; 0s for not at all [default: the platform's, 24h]
    #[arg(long, value_name = "DURATION")]
    pub(crate) grace: Option<jiff::SignedDuration>,
    /// Print the new secret
    #[arg(long)]
    pub(crate) show: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Describe {
    /// Kind of the object
    #[arg(value_enum)]
    pub(crate) kind: Described,
    /// Its name
    pub(crate) name: String,
    /// Its namespace, when it is not the usual one
    #[arg(short = 'n', long)]
    pub(crate) namespace: Option<String>,
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

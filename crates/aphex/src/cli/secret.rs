//! Flags of `aphex secret`. A value is never among them: arguments are seen by everybody on a machine.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;

use crate::complete;

#[derive(Debug, Subcommand)]
pub(crate) enum SecretVerb {
    /// Set one; the value comes from standard input, or is asked for
    #[command(
        after_help = "Examples:\n  printf %s \"$TOKEN\" | aphex secret set acme-corp github-token\n  aphex secret set acme-corp deploy-key --from-file id_ed25519"
    )]
    Set(SetSecret),
    /// Keys and ages, never values
    #[command(visible_alias = "ls")]
    #[command(
        after_help = "Examples:\n  aphex secret list acme-corp\n  aphex secret list -A -o json\n  aphex secret list acme-corp --watch"
    )]
    List(ListSecrets),
    /// Remove keys
    #[command(visible_alias = "delete")]
    #[command(after_help = "Examples:\n  aphex secret rm acme-corp github-token --yes")]
    Rm(RemoveSecrets),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct SetSecret {
    /// Organization
    #[arg(value_name = "ORGANIZATION", add = ArgValueCompleter::new(complete::names))]
    pub(crate) organization: String,
    /// Key, such as github-token; an ExternalSecret names it as remoteRef.property
    pub(crate) key: String,
    /// File with the value, taken byte by byte [default: standard input, less one line break at its end]
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ListSecrets {
    /// Organization
    #[arg(
        value_name = "ORGANIZATION",
        required_unless_present = "all_namespaces",
        conflicts_with = "all_namespaces",
        add = ArgValueCompleter::new(complete::names)
    )]
    pub(crate) organization: Option<String>,
    /// Of every organization
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Go on and show it whenever a key changes, until Ctrl-C
    #[arg(short = 'w', long)]
    pub(crate) watch: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RemoveSecrets {
    /// Organization
    #[arg(value_name = "ORGANIZATION", add = ArgValueCompleter::new(complete::names))]
    pub(crate) organization: String,
    /// Keys
    #[arg(required = true, value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
}

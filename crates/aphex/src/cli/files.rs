//! Flags of the commands that take files of objects.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Clone, Debug)]
pub(crate) struct Apply {
    /// File or folder of YAML or JSON; - reads standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Take fields over from other managers
    #[arg(long)]
    pub(crate) force_conflicts: bool,
    /// Wait for the condition Ready of each object that has conditions, so many seconds [default when given without a
    /// number: 120]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "120")]
    pub(crate) wait: Option<u64>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// File or folder of YAML or JSON; - reads standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Plan as if fields were taken over from other managers
    #[arg(long)]
    pub(crate) force_conflicts: bool,
}

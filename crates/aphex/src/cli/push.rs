//! Flags of `aphex push`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::ArgValueCompleter;

use crate::complete;

#[derive(Args, Clone, Debug)]
pub(crate) struct Push {
    /// Name of the RepoBinding
    #[arg(add = ArgValueCompleter::new(complete::names))]
    pub(crate) binding: String,
    /// Payload to send as it is; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "git")]
    pub(crate) payload: Option<PathBuf>,
    /// Git checkout whose HEAD is pushed [default: the current folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) git: Option<PathBuf>,
    /// Event type
    #[arg(long, default_value = "push")]
    pub(crate) event: String,
    /// Delivery id; the same id again creates nothing [default: a new one]
    #[arg(long, value_name = "ID")]
    pub(crate) delivery: Option<String>,
    /// Where to send it [default: the webhook URL in the binding's status]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Do not wait for what becomes of it
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Namespace of the binding
    #[arg(short = 'n', long, default_value = "platform-system")]
    pub(crate) namespace: String,
}

//! `aphex completion`: what a shell needs to complete the command line.

use clap::CommandFactory as _;

use crate::cli::{Cli, Completion};
use crate::output::say;

pub(crate) fn run(arguments: &Completion) {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "aphex", &mut script);
    say(String::from_utf8_lossy(&script).trim_end());
}

//! The one shipped program: every role of the platform as a subcommand, and the commands people use.
//!
//! `main` parses, dispatches, prints an error with its causes and picks the exit code; nothing else.

mod cli;
mod commands;
mod connect;
mod exit;
mod exposure;
mod kubeconfig;
mod local;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = cli::Cli::parse();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        // Only possible when something installed one before us; whichever it is, TLS works.
        tracing::debug!("a TLS provider was installed already");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&anyhow::Error::new(error).context("cannot start the async runtime"));
            return ExitCode::from(exit::FAILURE);
        }
    };
    let result = runtime.block_on(commands::run(arguments));
    // Blocking work that never ends (a DNS lookup, say) must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::from(exit::code_of(&error))
        }
    }
}

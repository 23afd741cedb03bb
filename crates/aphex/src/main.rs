//! The one shipped program: every role of the platform as a subcommand, and the commands people use.
//!
//! `main` parses, dispatches, prints an error with its causes and picks the exit code; nothing else.

mod advice;
mod ask;
mod cli;
mod commands;
mod complete;
mod connect;
mod exit;
mod exposure;
mod kubeconfig;
mod local;
mod nearest;
mod output;
mod rights;
mod session;

use std::process::ExitCode;

use clap_complete::CompleteEnv;
use mimalloc::MiMalloc;

/// What the program asks for memory (`docs/adr/0059-the-allocator.md`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // A shell that asks for words gets them, and nothing else happens.
    CompleteEnv::with_factory(cli::command).var(complete::VARIABLE).complete();
    let arguments = match cli::parse() {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(usage(&error)),
    };
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
        Ok(code) => ExitCode::from(if output::is_lost() { exit::FAILURE } else { code }),
        Err(error) => {
            output::complain(&error);
            output::is_lost();
            ExitCode::from(exit::code_of(&error))
        }
    }
}

/// Prints help, or what is wrong with the command line; gives the exit code.
fn usage(error: &clap::Error) -> u8 {
    let printed = error.print();
    if !error.use_stderr() && printed.is_ok() {
        return exit::DONE;
    }
    // The 2 of a plan and of a backtest says that something would change.
    let matches = cli::command().ignore_errors(true).try_get_matches().ok();
    let tells = matches.is_some_and(|matches| match matches.subcommand() {
        Some(("plan", _)) => true,
        Some(("trigger", verb)) => verb.subcommand_name() == Some("backtest"),
        _ => false,
    });
    if tells { exit::FAILURE } else { exit::USAGE }
}

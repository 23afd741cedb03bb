//! One file a command; this one only picks.

mod apply;
mod controller;
mod definitions;
mod delivery;
mod demo;
mod gateway;
mod kb;
mod look;
mod org;
mod pipeline;
mod push;
mod repo;
mod up;

use aphex_runtime::log;

use crate::cli::{Cli, Command, Global};

/// Runs the command.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { global, command } = cli;
    log::init(format(&global), default_filter(&command));
    match command {
        Command::Up(arguments) => up::run(&global, arguments).await,
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Apply(arguments) => apply::run(&global, arguments).await,
        Command::Org { verb } => org::run(&global, verb).await,
        Command::Repo { verb } => repo::run(&global, verb).await,
        Command::Pipeline { verb } => pipeline::run(&global, verb).await,
        Command::Kb { verb } => kb::run(&global, verb).await,
        Command::Delivery { verb } => delivery::run(&global, verb).await,
        Command::Push(arguments) => push::run(&global, arguments).await,
        Command::Controller(arguments) => controller::run(&global, arguments).await,
        Command::Gateway(arguments) => gateway::run(&global, arguments).await,
    }
}

fn format(global: &Global) -> log::Format {
    if global.log_json { log::Format::Json } else { log::Format::Text }
}

/// Servers say what they do; commands keep quiet unless something is wrong.
fn default_filter(command: &Command) -> &'static str {
    match command {
        Command::Up(_) | Command::Controller(_) | Command::Gateway(_) => "info",
        _ => "warn",
    }
}

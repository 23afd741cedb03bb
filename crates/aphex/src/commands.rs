//! One file a command; this one only picks.

mod apply;
mod completion;
mod controller;
mod definitions;
mod delivery;
mod demo;
mod describe;
mod doctor;
mod gateway;
mod install;
mod issuer;
mod kb;
mod login;
mod logout;
mod logs;
pub(crate) mod look;
mod man;
mod open;
mod org;
mod people;
mod pipeline;
mod plan;
mod push;
mod repo;
mod report;
mod rotate;
mod run;
mod secret;
mod settings;
mod tend;
mod token;
mod trial;
mod trigger;
mod up;
mod version;
mod whoami;

use aphex_runtime::log;

use crate::cli::{Cli, Command, Global};
use crate::{exit, output};

/// Runs the command; gives the exit code.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<u8> {
    let Cli { global, command } = cli;
    output::decide(global.color);
    log::init(format(&global), default_filter(&command));
    match command {
        Command::Up(arguments) => up::run(&global, arguments).await,
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Apply(arguments) => apply::run(&global, arguments).await,
        Command::Plan(arguments) => return plan::run(&global, arguments).await,
        Command::Describe(arguments) => describe::run(&global, arguments).await,
        Command::Org { verb } => org::run(&global, verb).await,
        Command::Repo { verb } => repo::run(&global, verb).await,
        Command::Pipeline { verb } => pipeline::run(&global, verb).await,
        Command::Kb { verb } => kb::run(&global, verb).await,
        Command::Delivery { verb } => delivery::run(&global, verb).await,
        Command::Trigger { verb } => return trigger::run(&global, verb).await,
        Command::Run { verb } => run::run(&global, verb).await,
        Command::User(arguments) => people::user::run(&global, arguments).await,
        Command::Group(arguments) => people::group::run(&global, arguments).await,
        Command::Push(arguments) => push::run(&global, arguments).await,
        Command::Controller(arguments) => controller::run(&global, arguments).await,
        Command::Doctor(arguments) => doctor::run(&global, arguments).await,
        Command::Install { what } => install::run(&global, what).await,
        Command::Gateway(arguments) => gateway::run(&global, arguments).await,
        Command::Issuer(arguments) => issuer::run(arguments).await,
        Command::Secret { verb } => secret::run(&global, verb).await,
        Command::Logs(arguments) => logs::run(&global, arguments).await,
        Command::Open(arguments) => open::run(&global, arguments).await,
        Command::Version(arguments) => version::run(&global, arguments).await,
        Command::Completion(arguments) => completion::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
        Command::Login(arguments) => login::run(&global, arguments).await,
        Command::Logout(arguments) => logout::run(&global, arguments).await,
        Command::Whoami(arguments) => whoami::run(&global, arguments).await,
        Command::Token(arguments) => token::run(arguments).await,
    }
    .map(|()| exit::DONE)
}

fn format(global: &Global) -> log::Format {
    if global.log_json { log::Format::Json } else { log::Format::Text }
}

/// Servers say what they do; commands keep quiet unless something is wrong.
fn default_filter(command: &Command) -> &'static str {
    match command {
        Command::Up(_) | Command::Controller(_) | Command::Gateway(_) | Command::Issuer(_) => "info",
        // What a command was answered it says itself, with what to do; the client library would say it a second time.
        _ => "warn,kube_client=off,kube_runtime=off",
    }
}

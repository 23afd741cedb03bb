//! Starting services, here or inside of a node.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::process::{MARK, Process};
use super::sandbox;
use super::services::Service;
use super::state::State;
use super::wait;

/// Where services are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// As processes of this machine.
    Here,
    /// In the node's namespaces.
    Node,
}

/// Starts a service.
pub(super) fn start(state: &State, place: Place, service: &Service) -> anyhow::Result<()> {
    match place {
        Place::Here => here(state, service),
        Place::Node => sandbox::start(state, service),
    }
    .with_context(|| format!("cannot start {}", service.name))
}

fn here(state: &State, service: &Service) -> anyhow::Result<()> {
    let mut command = Command::new(&service.program);
    command.args(&service.arguments).current_dir(state.folder());
    spawn(state, &service.name, &mut command)?;
    Ok(())
}

/// Starts a process that outlives this program, and writes down which it is.
pub(super) fn spawn(state: &State, name: &str, command: &mut Command) -> anyhow::Result<Process> {
    let log = state.log(name);
    let output = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let errors = output.try_clone().context("cannot share a log")?;
    command
        .env(MARK, state.folder())
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        // Not in our group, so that Ctrl-C is for us alone.
        .process_group(0);
    let mut child =
        command.spawn().with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    let Some(process) = Process::now(child.id()) else {
        let status = child.wait().context("cannot wait for a process")?;
        bail!("{name} ended with {status}: {}", wait::tail(&log));
    };
    // While this program runs, an ended child must not stay as a zombie.
    std::thread::spawn(move || child.wait());
    state.write(&format!("processes/{name}.json"), &process)?;
    Ok(process)
}

/// Fails, with the last lines of its log, when a service has ended.
pub(super) fn still_runs(state: &State, place: Place, name: &str) -> anyhow::Result<()> {
    let how = match place {
        Place::Here => match state.read::<Process>(&format!("processes/{name}.json"))? {
            Some(process) if process.is_alive() => None,
            _ => Some("ended".to_owned()),
        },
        Place::Node => sandbox::how_ended(state, name)?,
    };
    match how {
        None => Ok(()),
        Some(how) => bail!("{name} {how}: {}", wait::tail(&state.log(name))),
    }
}

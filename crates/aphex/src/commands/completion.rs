//! `aphex completion`: what a shell needs to complete the command line; the words themselves come from `complete`.

use anyhow::Context as _;
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::cli::{Completion, Shell};
use crate::complete;
use crate::output::print;

pub(crate) fn run(arguments: &Completion) -> anyhow::Result<()> {
    let shell: &dyn EnvCompleter = match arguments.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    shell
        .write_registration(complete::VARIABLE, "aphex", "aphex", &program(), &mut script)
        .context("cannot write the script")?;
    print(String::from_utf8_lossy(&script).trim_end());
    Ok(())
}

/// The program that the script calls: by its name where it was called so, so that a newer one is found later.
fn program() -> String {
    let own = std::env::args().next().unwrap_or_default();
    if own.contains('/') {
        std::path::absolute(&own).map_or(own, |path| path.to_string_lossy().into_owned())
    } else {
        "aphex".to_owned()
    }
}

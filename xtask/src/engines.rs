//! The real engines: Kubernetes, etcd, Tekton and others, built from pinned Go modules into a cache.
//!
//! - `catalog` says which there are, `pins` reads the pinned versions, `toolchain` asks Go who it is.
//! - `cache` knows where a built program lies, `build` puts it there, `list` shows it.
//! - `bump` moves a pin.
//!
//! Each engine is a small module of its own below `engines/`, because their dependencies disagree. What is built is kept
//! by module and toolchain, so that checkouts with the same pins share it and a changed pin builds anew.

mod build;
mod bump;
mod cache;
mod catalog;
mod list;
mod pins;
mod toolchain;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::run::{note, root, say, succeed};
use catalog::{Engine, Program};

/// What `cargo xtask engines` takes.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    /// Engines or single programs, or "all"; without names what tests and clusters need
    names: Vec<String>,
    /// Show versions and what is built, build nothing
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    chore: Option<Chore>,
}

#[derive(Debug, clap::Subcommand)]
enum Chore {
    /// Move an engine to another version
    Bump(bump::Arguments),
}

/// Builds, lists or bumps.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.chore {
        Some(Chore::Bump(arguments)) => bump::run(arguments),
        None if arguments.list => list::run(),
        None => {
            let wanted = catalog::select(&arguments.names)?;
            for (engine, program) in &wanted {
                ensure(engine, program)?;
            }
            say(&cache::linked()?.display().to_string());
            Ok(())
        }
    }
}

/// The folder with the programs that tests need, built when needed; nothing when they are not there and Go is neither.
pub(crate) fn available() -> anyhow::Result<Option<PathBuf>> {
    match folder_with(catalog::TESTED) {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if error.is::<toolchain::NoGo>() => {
            note(&format!("{error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A folder that has these programs by their names, built when needed.
pub(crate) fn folder_with(programs: &[&str]) -> anyhow::Result<PathBuf> {
    for name in programs {
        program(name)?;
    }
    cache::linked()
}

/// The path of one program, built when needed.
pub(crate) fn program(name: &str) -> anyhow::Result<PathBuf> {
    let (engine, program) =
        catalog::program(name).with_context(|| format!("there is no engine's program {name:?}"))?;
    ensure(engine, program)
}

/// The version an engine's program is pinned to, such as `v1.35.4`.
pub(crate) fn version(name: &str) -> anyhow::Result<String> {
    let (engine, program) =
        catalog::program(name).with_context(|| format!("there is no engine's program {name:?}"))?;
    pins::Pins::read(engine)?.version(program.module).map(str::to_owned)
}

fn ensure(engine: &Engine, program: &Program) -> anyhow::Result<PathBuf> {
    let pins = pins::Pins::read(engine)?;
    let toolchain = toolchain::version(engine);
    if let Some(built) = cache::find(&pins, program, toolchain.as_deref().ok())? {
        return Ok(built);
    }
    build::build(&pins, program, &toolchain?)
}

/// The folder of a Go module's source, downloaded when needed.
pub(crate) fn module_source(engine: &str, module: &str) -> anyhow::Result<PathBuf> {
    let folder = root().join("engines").join(engine);
    succeed(Command::new("go").args(["mod", "download", module]).current_dir(&folder))?;
    let output = Command::new("go")
        .args(["list", "-m", "-f", "{{.Dir}}", module])
        .current_dir(&folder)
        .output()
        .context("cannot run go")?;
    let text = String::from_utf8(output.stdout)?;
    anyhow::ensure!(
        output.status.success() && !text.trim().is_empty(),
        "go does not know the source of {module}"
    );
    Ok(PathBuf::from(text.trim()))
}

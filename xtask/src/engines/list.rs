//! Shows the engines: versions, and what is built.

use super::cache;
use super::catalog::ENGINES;
use super::pins::Pins;
use super::toolchain;
use crate::run::{note, say};

/// A line for each program.
pub(super) fn run() -> anyhow::Result<()> {
    say(&format!("{:17} {:34} {:10} {}", "ENGINE", "PROGRAM", "VERSION", "BUILT"));
    let mut no_go = false;
    for engine in ENGINES {
        let pins = Pins::read(engine)?;
        let toolchain = toolchain::version(engine);
        no_go |= toolchain.as_ref().is_err_and(anyhow::Error::is::<toolchain::NoGo>);
        for program in engine.programs {
            let built = cache::find(&pins, program, toolchain.as_deref().ok())?;
            say(&format!(
                "{:17} {:34} {:10} {}",
                engine.name,
                program.name,
                pins.version(program.module)?,
                built.map_or_else(|| "-".to_owned(), |path| path.display().to_string())
            ));
        }
    }
    let optional: Vec<String> = ENGINES
        .iter()
        .filter(|engine| !engine.usual)
        .map(|engine| format!("{} ({})", engine.name, engine.about))
        .collect();
    note(&format!("built by name only: {}", optional.join(", ")));
    if no_go {
        note(&toolchain::NoGo.to_string());
    }
    Ok(())
}

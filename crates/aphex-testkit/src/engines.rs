//! The real programs that tests compare with, as `cargo xtask engines` builds them.

use std::io::Write as _;
use std::path::PathBuf;

/// A real program such as `kubectl`; nothing when it is not there.
///
/// `APHEX_ENGINES` names the folder. With `APHEX_REQUIRE_ENGINES` a missing program is an error, so that a run that
/// should compare cannot quietly leave it out.
pub fn engine(name: &str) -> anyhow::Result<Option<PathBuf>> {
    let found = std::env::var_os("APHEX_ENGINES").map(|folder| PathBuf::from(folder).join(name));
    match found.filter(|path| path.exists()) {
        Some(path) => Ok(Some(path)),
        None if std::env::var_os("APHEX_REQUIRE_ENGINES").is_some() => {
            anyhow::bail!("{name} is required and not in $APHEX_ENGINES: run `cargo xtask engines`")
        }
        None => Ok(None),
    }
}

/// Says that a test did not run, and why; `cargo xtask test` lists these lines.
pub fn left_out(test: &str, why: &str) {
    // Straight to the file descriptor: the test harness swallows what `println!` prints.
    let _ = writeln!(std::io::stdout().lock(), "left out: {test}: {why}");
}

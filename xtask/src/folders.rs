//! Where this user keeps caches and state, as the XDG base directory specification has it.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;

/// What can be made again: `$XDG_CACHE_HOME/aphex`.
pub(crate) fn cache() -> anyhow::Result<PathBuf> {
    folder("XDG_CACHE_HOME", ".cache")
}

/// What belongs to something that runs: `$XDG_STATE_HOME/aphex`.
pub(crate) fn state() -> anyhow::Result<PathBuf> {
    folder("XDG_STATE_HOME", ".local/state")
}

fn folder(variable: &str, below_home: &str) -> anyhow::Result<PathBuf> {
    resolve(std::env::var_os(variable), std::env::var_os("HOME"), below_home)
        .with_context(|| format!("neither {variable} nor HOME is set"))
}

/// The specification says to ignore a relative path.
fn resolve(variable: Option<OsString>, home: Option<OsString>, below_home: &str) -> Option<PathBuf> {
    let set = variable.map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set.or_else(|| Some(PathBuf::from(home?).join(below_home)));
    base.map(|base| base.join("aphex"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_over_the_home_and_must_be_absolute() {
        let resolve = |variable: Option<&str>, home: Option<&str>| {
            resolve(variable.map(OsString::from), home.map(OsString::from), ".cache")
        };
        assert_eq!(resolve(Some("/c"), Some("/h")), Some(PathBuf::from("/c/aphex")));
        assert_eq!(resolve(Some("c"), Some("/h")), Some(PathBuf::from("/h/.cache/aphex")));
        assert_eq!(resolve(None, Some("/h")), Some(PathBuf::from("/h/.cache/aphex")));
        assert_eq!(resolve(None, None), None);
    }
}

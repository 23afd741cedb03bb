//! The size budget: files, and their distribution. Functions are held by clippy's `too_many_lines`.

use anyhow::bail;

use crate::run::say;
use crate::sources;

/// No production file may be longer.
const HARD_STOP: usize = 600;

pub(crate) fn check() -> anyhow::Result<()> {
    let mut sizes = Vec::new();
    for path in sources::files()? {
        let name = sources::shown(&path);
        if name.ends_with("/tests.rs") || name.contains("/tests/") || name.ends_with("/conformance.rs") {
            continue;
        }
        let lines = sources::production(&std::fs::read_to_string(&path)?).lines().count();
        sizes.push((lines, name));
    }
    sizes.sort();
    let at = |percent: usize| {
        sizes.get((sizes.len() * percent / 100).min(sizes.len() - 1)).map_or(0, |(lines, _)| *lines)
    };
    say(&format!(
        "sizes: {} files, {} production lines; median {}, p75 {}, p90 {}, longest {}",
        sizes.len(),
        sizes.iter().map(|(lines, _)| lines).sum::<usize>(),
        at(50),
        at(75),
        at(90),
        at(100)
    ));
    let over: Vec<String> = sizes
        .iter()
        .filter(|(lines, _)| *lines > HARD_STOP)
        .map(|(lines, name)| format!("{name}: {lines}"))
        .collect();
    if !over.is_empty() {
        bail!("over {HARD_STOP} production lines, split them by meaning:\n{}", over.join("\n"));
    }
    Ok(())
}

//! Source files that no `mod` line names: they look alive and are never compiled.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::run::say;
use crate::sources;

pub(crate) fn check() -> anyhow::Result<()> {
    let mut orphans = Vec::new();
    let mut count = 0;
    for krate in sources::crates()? {
        let mut roots: Vec<PathBuf> = ["src/lib.rs", "src/main.rs"].map(|name| krate.join(name)).into();
        for folder in ["tests", "benches", "examples"] {
            if let Ok(entries) = std::fs::read_dir(krate.join(folder)) {
                // Cargo finds `benches/name.rs` and `benches/name/main.rs`.
                let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
                roots.extend(paths.map(|path| if path.is_dir() { path.join("main.rs") } else { path }));
            }
        }
        let mut reached = HashSet::new();
        for root in roots.iter().filter(|root| root.exists()) {
            follow(root, true, &mut reached)?;
        }
        let mut files = Vec::new();
        for folder in ["src", "tests", "benches", "examples"] {
            sources::walk(&krate.join(folder), &mut files)?;
        }
        count += files.len();
        orphans.extend(files.iter().filter(|file| !reached.contains(*file)).map(|file| sources::shown(file)));
    }
    say(&format!("orphans: {count} files, {} of them unreached", orphans.len()));
    if !orphans.is_empty() {
        bail!("named by no mod line:\n{}", orphans.join("\n"));
    }
    Ok(())
}

/// Reaches a file and all modules it declares.
fn follow(file: &Path, is_root: bool, reached: &mut HashSet<PathBuf>) -> anyhow::Result<()> {
    if !reached.insert(file.to_path_buf()) {
        return Ok(());
    }
    let text = std::fs::read_to_string(file)?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let below = if is_root || stem == "mod" { folder.to_path_buf() } else { folder.join(&stem) };
    let mut path_attribute = None;
    // The folder of the inline module that we are in, as `mod it { mod case; }` in tests has it.
    let mut inline: Option<&str> = None;
    for line in text.lines() {
        if let Some(name) = opened(line) {
            inline = Some(name);
        } else if line == "}" {
            inline = None;
        }
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            path_attribute = rest.split('"').next().map(|name| folder.join(name));
            continue;
        }
        let Some(name) = declared(line) else { continue };
        let candidates =
            [path_attribute.take(), Some(below.join(inline.unwrap_or("")).join(format!("{name}.rs")))];
        if let Some(found) = candidates.into_iter().flatten().find(|path| path.exists()) {
            follow(&found, false, reached)?;
        }
    }
    Ok(())
}

/// The module that a line like `mod name {` opens, at the left margin.
fn opened(line: &str) -> Option<&str> {
    line.strip_prefix("mod ")?.strip_suffix(" {")
}

/// The module that a line like `pub(crate) mod name;` declares.
fn declared(line: &str) -> Option<&str> {
    let rest = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1.trim_start(),
        Some(rest) => rest.trim_start(),
        None => line,
    };
    let name = rest.strip_prefix("mod ")?.strip_suffix(';')?.trim();
    Some(name.strip_prefix("r#").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::{declared, opened};

    #[test]
    fn module_declarations_are_recognised() {
        assert_eq!(declared("mod a;"), Some("a"));
        assert_eq!(declared("pub mod b;"), Some("b"));
        assert_eq!(declared("pub(crate) mod c;"), Some("c"));
        assert_eq!(declared("pub mod r#match;"), Some("match"));
        assert_eq!(declared("mod tests {"), None);
        assert_eq!(declared("use a;"), None);
        assert_eq!(opened("mod it {"), Some("it"));
    }
}

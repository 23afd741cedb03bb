//! The dependency direction between crates: the list here is the architecture; a new edge needs an ADR.

use std::collections::BTreeSet;

use anyhow::bail;

use crate::run::say;
use crate::sources;

/// Who may depend on whom (build and dev-dependencies of roles on `testkit` aside).
const ALLOWED: &[(&str, &[&str])] = &[
    ("aphex-api", &[]),
    ("aphex-store", &[]),
    ("aphex-cel", &[]),
    ("aphex-auth", &[]),
    ("aphex-runtime", &[]),
    ("aphex-lifecycle", &[]),
    ("aphex-schema", &["aphex-cel"]),
    ("aphex-merge", &["aphex-schema"]),
    ("aphex-kinds", &["aphex-schema"]),
    (
        "aphex-apiserver",
        &["aphex-auth", "aphex-cel", "aphex-kinds", "aphex-merge", "aphex-schema", "aphex-store"],
    ),
    ("aphex-git", &[]),
    ("aphex-controllers", &["aphex-api", "aphex-git", "aphex-runtime"]),
    ("aphex-gateway", &["aphex-api", "aphex-cel", "aphex-runtime"]),
    ("aphex-issuer", &["aphex-runtime", "aphex-store"]),
    ("aphex-testkit", &["aphex-api", "aphex-apiserver", "aphex-auth", "aphex-lifecycle", "aphex-store"]),
    (
        "aphex",
        &[
            "aphex-api",
            "aphex-apiserver",
            "aphex-auth",
            "aphex-controllers",
            "aphex-gateway",
            "aphex-issuer",
            "aphex-lifecycle",
            "aphex-runtime",
            "aphex-store",
        ],
    ),
    ("xtask", &["aphex-api", "aphex-auth"]),
];

pub(crate) fn check() -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    let mut edges = 0;
    for krate in sources::crates()? {
        let manifest = std::fs::read_to_string(krate.join("Cargo.toml"))?;
        let name = krate.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!("{name}: not in the list of crates"));
            continue;
        };
        for dependency in internal(&manifest) {
            edges += 1;
            if !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{name} -> {dependency}"));
            }
        }
    }
    say(&format!("edges: {} crates, {edges} internal edges", ALLOWED.len()));
    if !wrong.is_empty() {
        bail!("edges that the architecture does not have:\n{}", wrong.join("\n"));
    }
    Ok(())
}

/// Our own crates in `[dependencies]`.
fn internal(manifest: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut found = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if inside && line.starts_with("aphex-") {
            found.extend(line.split(['.', ' ', '=']).next().map(str::to_owned));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::internal;

    #[test]
    fn only_dependencies_of_ours_count() {
        let manifest = "[dependencies]\naphex-api.workspace = true\nkube.workspace = true\n\n[dev-dependencies]\naphex-testkit.workspace = true\n";
        assert_eq!(internal(manifest).into_iter().collect::<Vec<_>>(), ["aphex-api"]);
    }
}

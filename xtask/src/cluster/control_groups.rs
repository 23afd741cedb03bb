//! The control groups of a node: the one thing it has that no namespace takes away.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::node_files::control_group;
use super::wait;

/// A group is busy for a moment after its last process.
const PATIENCE: Duration = Duration::from_secs(15);

/// Makes the node's root group in every hierarchy.
pub(super) fn create(name: &str) -> anyhow::Result<()> {
    for (hierarchy, version) in hierarchies()? {
        let group = hierarchy.join(control_group(name));
        fs::create_dir_all(&group).with_context(|| format!("cannot create {}", group.display()))?;
        if version == Version::Two {
            let available = fs::read_to_string(hierarchy.join("cgroup.controllers")).unwrap_or_default();
            let wanted: Vec<String> = available.split_whitespace().map(|one| format!("+{one}")).collect();
            // A host that uses a controller otherwise keeps it; the kubelet says when it misses one.
            let _ = fs::write(hierarchy.join("cgroup.subtree_control"), wanted.join(" "));
            continue;
        }
        // A new group of the first version may use no processor and no memory until it is told which.
        for file in ["cpuset.mems", "cpuset.cpus"] {
            if let Ok(value) = fs::read_to_string(hierarchy.join(file)) {
                fs::write(group.join(file), value.trim())
                    .with_context(|| format!("cannot set {file} of {}", group.display()))?;
            }
        }
    }
    Ok(())
}

/// Removes the node's groups in every hierarchy.
pub(super) fn remove(name: &str) -> anyhow::Result<()> {
    let Ok(hierarchies) = hierarchies() else { return Ok(()) };
    for (hierarchy, _) in hierarchies {
        let group = hierarchy.join(control_group(name));
        wait::until(&format!("{} to be empty", group.display()), PATIENCE, || {
            Ok((!group.exists() || remove_below(&group).is_ok()).then_some(()))
        })?;
    }
    Ok(())
}

/// Groups are folders whose files cannot be removed, so deepest first, folders only.
fn remove_below(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_below(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

fn hierarchies() -> anyhow::Result<Vec<(PathBuf, Version)>> {
    Ok(parse(&fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?))
}

/// The places of all hierarchies; one with two places is named twice, which does no harm.
fn parse(mounts: &str) -> Vec<(PathBuf, Version)> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let place = PathBuf::from(words.next()?);
            match words.next()? {
                "cgroup" => Some((place, Version::One)),
                "cgroup2" => Some((place, Version::Two)),
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ntmpfs /tmp tmpfs rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(
            parse(mounts),
            [
                (PathBuf::from("/sys/fs/cgroup/cpu"), Version::One),
                (PathBuf::from("/sys/fs/cgroup/unified"), Version::Two)
            ]
        );
    }

    #[test]
    fn groups_are_removed_from_the_deepest_up() {
        let folder = tempfile::tempdir().unwrap();
        let group = folder.path().join("aphex-x");
        fs::create_dir_all(group.join("kubepods/pod1/container")).unwrap();
        remove_below(&group).unwrap();
        assert!(!group.exists());
    }
}

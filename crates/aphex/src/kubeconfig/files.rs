//! The kubeconfig files of a user, and which of them says or shall say what (kubectl's rules, clientcmd/loader.go).

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::Draft;

/// The files that make up the configuration, the most important first.
#[derive(Clone, Debug)]
pub(crate) struct Files(Vec<PathBuf>);

impl Files {
    /// The file given, else those of `$KUBECONFIG`, else `~/.kube/config`.
    pub(crate) fn of_user(given: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = given {
            return Ok(Self(vec![path.to_owned()]));
        }
        let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
        let mut paths: Vec<PathBuf> = Vec::new();
        for path in std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
            let home = home.context("neither $KUBECONFIG nor $HOME is set: give a file with --kubeconfig")?;
            paths.push(PathBuf::from(home).join(".kube/config"));
        }
        Ok(Self(paths))
    }

    /// The file that new entries go to: the first that exists, else the last.
    pub(crate) fn for_new(&self) -> &Path {
        let existing = self.0.iter().find(|path| path.exists());
        existing.or_else(|| self.0.last()).map_or(Path::new("config"), PathBuf::as_path)
    }

    /// The first file that has an entry, by list and name, with the entry.
    pub(crate) fn holding(&self, list: &str, name: &str) -> anyhow::Result<Option<(&Path, Value)>> {
        for path in &self.0 {
            let document = Draft::open(path)?.value()?;
            let items = document[list].as_array().into_iter().flatten();
            if let Some(found) = items.clone().find(|item| item["name"] == name) {
                return Ok(Some((path, found.clone())));
            }
        }
        Ok(None)
    }

    /// The file in which an entry is or shall be.
    pub(crate) fn home_of(&self, list: &str, name: &str) -> anyhow::Result<PathBuf> {
        let holding = self.holding(list, name)?;
        Ok(holding.map_or_else(|| self.for_new(), |(path, _)| path).to_owned())
    }

    /// The file in which the current context is, or shall be.
    pub(crate) fn for_current(&self) -> &Path {
        let named = |path: &&PathBuf| {
            let document = Draft::open(path).and_then(|draft| draft.value()).unwrap_or_default();
            document["current-context"].as_str().is_some_and(|name| !name.is_empty())
        };
        self.0.iter().find(named).map_or_else(|| self.for_new(), PathBuf::as_path)
    }

    /// The current context: that of the first file which names one.
    pub(crate) fn current_context(&self) -> anyhow::Result<Option<String>> {
        for path in &self.0 {
            let document = Draft::open(path)?.value()?;
            if let Some(name) = document["current-context"].as_str().filter(|name| !name.is_empty()) {
                return Ok(Some(name.to_owned()));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_in_the_first_file_that_has_them_and_new_ones_go_to_the_first_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let files = Files(vec![at("missing"), at("one"), at("two")]);
        std::fs::write(at("one"), "users:\n- name: a\n  user: {token: one}\n").unwrap();
        std::fs::write(at("two"), "current-context: b\nusers:\n- name: a\n- name: b\n").unwrap();
        assert_eq!(files.for_new(), at("one"));
        assert_eq!(files.holding("users", "a").unwrap().unwrap().1["user"]["token"], "one");
        assert_eq!(files.home_of("users", "b").unwrap(), at("two"));
        assert_eq!(files.home_of("users", "c").unwrap(), at("one"));
        assert_eq!(files.current_context().unwrap().as_deref(), Some("b"));
        let none = Files(vec![at("missing"), at("other")]);
        assert_eq!(none.for_new(), at("other"));
        assert!(none.holding("users", "a").unwrap().is_none());
    }
}

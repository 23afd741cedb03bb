//! What checks found, for people and for programs.

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::Format;
use crate::output::{self, Table, Tone};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Ok,
    Warn,
    Fail,
    Skip,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    #[serde(rename = "check")]
    name: String,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    pub(crate) fn ok(name: &str, found: &str) -> Self {
        Self { name: name.to_owned(), state: State::Ok, found: found.to_owned(), remedy: None }
    }

    /// Works, but not all of it or not for long.
    pub(crate) fn warn(name: &str, found: &str, remedy: &str) -> Self {
        Self { state: State::Warn, remedy: Some(remedy.to_owned()), ..Self::ok(name, found) }
    }

    /// Was not looked at.
    pub(crate) fn skip(name: &str, why: &str) -> Self {
        Self { state: State::Skip, ..Self::ok(name, why) }
    }

    /// Does not work.
    pub(crate) fn fail(name: &str, found: &str, remedy: &str) -> Self {
        Self { state: State::Fail, ..Self::warn(name, found, remedy) }
    }
}

impl Check {
    /// Whether it was looked at and works.
    pub(crate) fn is_ok(&self) -> bool {
        self.state == State::Ok
    }
}

/// Everything that was looked at, in order.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Check>);

impl Report {
    pub(crate) fn add(&mut self, check: Check) {
        self.0.push(check);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn failed(&self) -> usize {
        self.0.iter().filter(|check| check.state == State::Fail).count()
    }

    /// Adds what was looked at meanwhile.
    pub(crate) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether a step was looked at and does not work.
    pub(crate) fn has_failed(&self, name: &str) -> bool {
        self.0.iter().any(|check| check.name == name && check.state == State::Fail)
    }

    /// Whether a step was looked at and works.
    pub(crate) fn has_passed(&self, name: &str) -> bool {
        self.0.iter().any(|check| check.name == name && check.is_ok())
    }

    /// What each was, and whether it failed.
    #[cfg(test)]
    pub(crate) fn states(&self) -> Vec<(String, bool)> {
        self.0.iter().map(|check| (check.name.clone(), check.state == State::Fail)).collect()
    }

    pub(crate) fn print(&self, format: &Format) -> anyhow::Result<()> {
        match format {
            Format::Table | Format::Wide => output::say(self.table().render().trim_end()),
            Format::Name => {
                for check in &self.0 {
                    output::say(&format!("{}/{}", check.state.as_str(), check.name.replace(' ', "-")));
                }
            }
            form => output::print(&output::rendered(form, &self.document())?.unwrap_or_default()),
        }
        Ok(())
    }

    fn document(&self) -> Value {
        json!({ "ok": self.failed() == 0, "checks": self.0 })
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["CHECK", "STATE", "FOUND, AND WHAT TO DO"]);
        for check in &self.0 {
            let state = check.state.as_str();
            let cells = vec![check.name.clone(), state.to_owned(), check.found.clone()];
            table.toned_row(cells, Tone::of_word(state).map(|tone| (1, tone)));
            // Below what was found, for both can be long.
            if let Some(remedy) = &check.remedy {
                table.row(vec![String::new(), String::new(), format!("-> {remedy}")]);
            }
        }
        table
    }
}

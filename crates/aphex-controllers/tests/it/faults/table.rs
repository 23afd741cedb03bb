//! docs/faults.md: what passed, as tables of verbs and kinds by faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use aphex_testkit::faults::{Call, Fault};

use super::cells::Cell;

/// Two matrices may be written at once.
static TURN: Mutex<()> = Mutex::new(());

/// One of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Calls to the engine.
    Engine,
    /// Calls of an organization behind a tunnel.
    Tunnel,
}

impl Part {
    /// What stands before the table; between it and the next heading nothing is kept.
    fn mark(self) -> &'static str {
        match self {
            Self::Engine => "<!-- calls to the engine, written by APHEX_FAULTS=write -->\n",
            Self::Tunnel => "<!-- calls of the tunnel's life, written by APHEX_FAULTS=write -->\n",
        }
    }

    /// What stands before the mark, with it; the table; and what follows.
    fn split(self, text: &str) -> anyhow::Result<(&str, &str, &str)> {
        let mark = self.mark();
        let begin = text.find(mark).with_context(|| format!("docs/faults.md has no {mark}"))? + mark.len();
        let (before, rest) = text.split_at(begin);
        let (table, after) = rest.split_at(rest.find("\n## ").unwrap_or(rest.len()));
        Ok((before, table, after))
    }
}

/// Numbers of cells that passed, by verb and kind, and by fault.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table(BTreeMap<String, BTreeMap<Fault, usize>>);

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/faults.md")
}

fn row(call: &Call) -> String {
    format!("{} {}", call.verb, call.kind)
}

impl Table {
    pub(super) fn of(passed: &[&Cell]) -> Self {
        let mut rows: BTreeMap<String, BTreeMap<Fault, usize>> = BTreeMap::new();
        for cell in passed {
            *rows.entry(row(&cell.call)).or_default().entry(cell.fault).or_default() += 1;
        }
        Self(rows)
    }

    /// Writes it after its mark; tells whether every call met every fault.
    pub(super) fn write(&self, part: Part, all: bool) -> anyhow::Result<()> {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let text = std::fs::read_to_string(path())?;
        let (before, _, after) = part.split(&text)?;
        let cells: usize = self.0.values().flat_map(BTreeMap::values).sum();
        let titles: Vec<&str> = Fault::ALL.into_iter().map(Fault::title).collect();
        let extent = if all { "every call with every fault" } else { "a usual run" };
        let mut table = format!(
            "{before}\n{cells} cells ({extent}), all passed.\n\n| call | {} |\n|---|{}\n",
            titles.join(" | "),
            "---:|".repeat(titles.len())
        );
        for (row, counts) in &self.0 {
            write!(table, "| {row} |")?;
            for fault in Fault::ALL {
                let count = counts.get(&fault).map(usize::to_string).unwrap_or_default();
                write!(table, " {count} |")?;
            }
            table.push('\n');
        }
        table.push_str(after);
        Ok(std::fs::write(path(), table)?)
    }

    /// The committed one.
    pub(super) fn committed(part: Part) -> anyhow::Result<Self> {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let text = std::fs::read_to_string(path()).context("docs/faults.md")?;
        let (_, table, _) = part.split(&text)?;
        let mut rows = BTreeMap::new();
        for line in table.lines().filter(|line| line.starts_with("| ")).skip(1) {
            let mut fields = line.trim_matches('|').split('|').map(str::trim);
            let row = fields.next().unwrap_or_default().to_owned();
            let counts = Fault::ALL.into_iter().zip(fields);
            let counts = counts.filter_map(|(fault, count)| Some((fault, count.parse().ok()?)));
            rows.insert(row, counts.collect());
        }
        Ok(Self(rows))
    }

    /// The table speaks of the calls of a recording, but for those that it may leave to a table elsewhere, and of no others.
    pub(super) fn covers(&self, calls: &[&Call], elsewhere: &Self) {
        let now: BTreeSet<String> = calls.iter().map(|call| row(call)).collect();
        let told = |row: &&String| !self.0.contains_key(*row) && !elsewhere.0.contains_key(*row);
        let new: Vec<&String> = now.iter().filter(told).collect();
        let old: Vec<&String> = self.0.keys().filter(|row| !now.contains(*row)).collect();
        let hint = "APHEX_FAULTS=all,write cargo test -p aphex-controllers --test it faults writes it anew";
        assert!(new.is_empty(), "not in docs/faults.md ({hint}): {new:#?}");
        assert!(old.is_empty(), "in docs/faults.md and not done any more ({hint}): {old:#?}");
    }
}

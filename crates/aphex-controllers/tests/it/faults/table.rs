//! docs/faults.md: what passed, as a table of verbs and kinds by faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use aphex_testkit::faults::{Call, Fault};

/// What stands before the table; after it nothing is kept.
const MARK: &str = "<!-- written by APHEX_FAULTS=write -->\n";

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
    pub(super) fn of(passed: &[(&Call, Fault)]) -> Self {
        let mut rows: BTreeMap<String, BTreeMap<Fault, usize>> = BTreeMap::new();
        for (call, fault) in passed {
            *rows.entry(row(call)).or_default().entry(*fault).or_default() += 1;
        }
        Self(rows)
    }

    /// Writes it after the mark; tells whether every call met every fault.
    pub(super) fn write(&self, all: bool) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(path())?;
        let (before, _) = text.split_once(MARK).context("docs/faults.md has no mark")?;
        let cells: usize = self.0.values().flat_map(BTreeMap::values).sum();
        let titles: Vec<&str> = Fault::ALL.into_iter().map(Fault::title).collect();
        let extent = if all { "every call with every fault" } else { "a usual run" };
        let mut table = format!(
            "{before}{MARK}\n{cells} cells ({extent}), all passed.\n\n| call | {} |\n|---|{}\n",
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
        Ok(std::fs::write(path(), table)?)
    }

    /// The committed one.
    pub(super) fn committed() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path()).context("docs/faults.md")?;
        let (_, table) = text.split_once(MARK).context("docs/faults.md has no mark")?;
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

    /// The table speaks of the calls of a recording, and of no others.
    pub(super) fn covers(&self, calls: &[Call]) {
        let now: BTreeSet<String> = calls.iter().map(row).collect();
        let then: BTreeSet<String> = self.0.keys().cloned().collect();
        let (new, old): (Vec<&String>, Vec<&String>) =
            (now.difference(&then).collect(), then.difference(&now).collect());
        let hint = "APHEX_FAULTS=all,write cargo test -p aphex-controllers --test it faults writes it anew";
        assert!(new.is_empty(), "not in docs/faults.md ({hint}): {new:#?}");
        assert!(old.is_empty(), "in docs/faults.md and not done any more ({hint}): {old:#?}");
    }
}

//! The push path alone, by size of the payload, number of listeners and load; beside an earlier build where there is one.
//!
//! `APHEX_BENCH_BEFORE` names the other build's program. Both are measured in turn, round by round, on data folders of
//! their own, and the middle of each figure counts, so that a neighbour on the machine harms neither more.

use std::fmt::Write as _;
use std::path::Path;

use crate::crowd;
use crate::embedded::{Up, processor};
use crate::floor;
use crate::payload;
use crate::push::{EXAMPLES, Hook, Load, PUSHES};

/// Names the program to compare with.
const BEFORE: &str = "APHEX_BENCH_BEFORE";
/// How often each build is measured; `APHEX_BENCH_ROUNDS` says otherwise.
const ROUNDS: usize = 3;
/// Listeners of others, where there are many.
const CROWD: usize = 999;

/// What is measured, and whether more of it is better.
const ROWS: [(&str, bool); 15] = [
    ("9 kB, 1 listener: runs stored/s", true),
    ("9 kB, 1 listener: answer p50, ms", false),
    ("9 kB, 1 listener: answer p99, ms", false),
    ("9 kB, 1 listener: run stored p50, ms", false),
    ("9 kB, 1 listener: run stored p99, ms", false),
    ("the same at half that load: answer p50, ms", false),
    ("the same at half that load: answer p99, ms", false),
    ("the same at half that load: run stored p99, ms", false),
    ("60 kB, 1 listener: runs stored/s", true),
    ("60 kB, 1 listener: answer p99, ms", false),
    ("9 kB, 1,000 listeners: runs stored/s", true),
    ("processor for a push that matches nothing, engine and all, µs", false),
    ("writes to the store for a push", false),
    ("floor: run and Delivery created by a plain client, pairs/s", true),
    ("floor at half that load of pushes: both created, p99, ms", false),
];

/// A table in Markdown; a ratio above 1 is better than before.
pub async fn table() -> anyhow::Result<String> {
    let now = Path::new(env!("CARGO_BIN_EXE_aphex"));
    let before = std::env::var_os(BEFORE);
    let rounds = std::env::var("APHEX_BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds.unwrap_or(ROUNDS) {
        if let Some(before) = &before {
            theirs.push(measure(Path::new(before)).await?);
        }
        ours.push(measure(now).await?);
    }
    let mut text = "| ratio | what | now | before |\n|---:|---|---:|---:|\n".to_owned();
    for (at, (name, more_is_better)) in ROWS.iter().enumerate() {
        let now = middle(&ours, at);
        let (ratio, before) = if theirs.is_empty() {
            (String::new(), String::new())
        } else {
            let before = middle(&theirs, at);
            let ratio = if *more_is_better { now / before } else { before / now };
            (format!("{ratio:.1}×"), figure(before))
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {ratio} | {name} | {} | {before} |", figure(now));
    }
    Ok(text)
}

fn middle(rounds: &[[f64; ROWS.len()]], at: usize) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(|round| round[at]).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn figure(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

async fn measure(program: &Path) -> anyhow::Result<[f64; ROWS.len()]> {
    let folder = tempfile::tempdir()?;
    let (up, _) = Up::start_program(program, folder.path())?;
    for file in ["organization.yaml", "repo-binding.yaml"] {
        up.run(&["apply", "-f", &format!("{EXAMPLES}/{file}"), "--wait", "60"])?;
    }
    let hook = Hook::of_binding(&up.kubeconfig).await?;
    let (small, large) = (payload::bytes(&payload::small()?)?, payload::bytes(&payload::large()?)?);
    let load = |payload: &std::sync::Arc<Vec<u8>>, rate| Load {
        payload: std::sync::Arc::clone(payload),
        pushes: PUSHES,
        rate,
    };
    // Connections, compiled expressions and secrets are there before anything counts.
    hook.send(&Load { pushes: 100, ..load(&small, None) }).await?;
    let full = hook.send(&load(&small, None)).await?;
    let half = hook.send(&load(&small, Some(full.rate / 2.0))).await?;
    let heavy = hook.send(&load(&large, None)).await?;
    let unwanted = load(&payload::bytes(&payload::unwanted()?)?, None);
    let spent = processor(up.id())?;
    hook.send_unwanted(&unwanted).await?;
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let spent = (processor(up.id())? - spent) * 1e6 / PUSHES as f64;
    let floor = floor::pairs(&up.kubeconfig, None).await?;
    let half_floor = floor::pairs(&up.kubeconfig, Some(full.rate / 2.0)).await?;
    crowd::gather(&up.kubeconfig, CROWD).await?;
    let crowded = hook.send(&load(&small, None)).await?;
    for flow in [&full, &half, &heavy, &crowded] {
        anyhow::ensure!(flow.lost == 0, "{} pushes have no run", flow.lost);
    }
    let figures = [
        full.rate,
        full.answers.at(50),
        full.answers.at(99),
        full.runs.at(50),
        full.runs.at(99),
        half.answers.at(50),
        half.answers.at(99),
        half.runs.at(99),
        heavy.rate,
        heavy.answers.at(99),
        crowded.rate,
        spent,
        full.writes,
        floor.rate,
        half_floor.times.at(99),
    ];
    for ((name, _), value) in ROWS.iter().zip(figures) {
        eprintln!("{:<24} {name:<64} {value:>10.1}", program.display());
    }
    Ok(figures)
}

//! The project's own chores. Each is a thin call: the work is done by the shipped program or by cargo.

mod edges;
mod engines;
mod generated;
mod openapi;
mod orphans;
mod run;
mod sizes;
mod sources;
mod suite;

use std::process::ExitCode;

use anyhow::bail;

const USAGE: &str = "\
usage: cargo xtask <chore>

  demo [--keep]     build, then show the main job from start to end on this machine
  test [FILTER]     every test, after building what the tests need
  engines           build the real engines that tests compare with (needs Go)
  crds              write platform/crds from the Rust types
  openapi           write the published schemas we ship from the Kubernetes module (needs Go)
  check             edges, sizes, orphans, generated files
  edges | sizes | orphans | check-gen   one of them";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let result = match arguments.first().map(String::as_str) {
        Some("demo") => run::demo(rest),
        Some("test") => suite::run(rest),
        Some("engines") => engines::build_all(),
        Some("crds") => generated::write_crds(),
        Some("openapi") => generated::write_openapi(),
        Some("check") => check_all(),
        Some("edges") => edges::check(),
        Some("sizes") => sizes::check(),
        Some("orphans") => orphans::check(),
        Some("check-gen") => generated::check(),
        _ => {
            run::note(USAGE);
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::note(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn check_all() -> anyhow::Result<()> {
    let checks = [
        ("edges", edges::check()),
        ("sizes", sizes::check()),
        ("orphans", orphans::check()),
        ("generated files", generated::check()),
    ];
    let failed: Vec<String> = checks
        .into_iter()
        .filter_map(|(name, result)| result.err().map(|error| format!("{name}: {error:#}")))
        .collect();
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

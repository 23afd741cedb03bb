//! The project's own chores. Each is a thin call: the work is done by the shipped program or by cargo.

mod clients;
mod cluster;
mod conformance;
mod digest;
mod e2e;
mod edges;
mod engines;
mod folders;
mod fuzz;
mod generated;
mod image;
mod live;
mod logins;
mod openapi;
mod orphans;
mod progress;
mod protobuf;
mod run;
mod sizes;
mod sources;
mod suite;

use std::process::ExitCode;

use anyhow::bail;
use clap::{Parser, Subcommand};

/// The project's own chores
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Build, then show the main job from start to end on this machine
    Demo {
        /// What `aphex demo` takes, such as --keep
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Every test, after building what the tests need
    Test {
        /// What `cargo test` takes, such as a filter
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Build the real engines that tests and clusters use (needs Go)
    Engines(engines::Arguments),
    /// Raise real Kubernetes on this machine, from the engines
    Cluster(cluster::Arguments),
    /// Write the image of the program, without Docker
    Image(image::Arguments),
    /// The tests that can run on a real kube-apiserver, on one (needs Go)
    Live,
    /// People log in at our issuer with our command line, at a real kube-apiserver (needs Go and curl)
    Logins,
    /// Kubernetes' own conformance specs that need no running pods, on the embedded engine
    Conformance(conformance::Arguments),
    /// The platform as its users have it: on a whole node, or on the embedded engine
    E2e(e2e::Arguments),
    /// Throw at every parser that strangers and tenants reach what no test thought of (needs a C++ compiler)
    Fuzz(fuzz::Arguments),
    /// Write platform/crds from the Rust types
    Crds,
    /// Write docs/cli.md from the program's arguments
    Reference,
    /// Write the published schemas we ship from the Kubernetes module (needs Go)
    Openapi,
    /// Write the protobuf messages that the API server reads, and bodies to test it with (needs Go)
    Protobuf,
    /// Run other people's own tests against `aphex up` (needs the network once)
    Clients {
        /// Whose
        #[arg(value_enum)]
        whose: clients::Whose,
    },
    /// All of edges, sizes, orphans, check-gen
    Check,
    /// Check the dependency direction between crates
    Edges,
    /// Check the size budget
    Sizes,
    /// Check that every source file is compiled
    Orphans,
    /// Check that generated files are what they would be made into
    CheckGen,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Demo { rest } => run::demo(&rest),
        Chore::Test { rest } => suite::run(&rest),
        Chore::Engines(arguments) => engines::run(&arguments),
        Chore::Cluster(arguments) => cluster::run(arguments),
        Chore::Image(arguments) => image::run(&arguments),
        Chore::Live => live::run(),
        Chore::Logins => logins::run(),
        Chore::Conformance(arguments) => conformance::run(&arguments),
        Chore::E2e(arguments) => e2e::run(&arguments),
        Chore::Fuzz(arguments) => fuzz::run(&arguments),
        Chore::Crds => generated::write_crds(),
        Chore::Reference => generated::write_reference(),
        Chore::Openapi => generated::write_openapi(),
        Chore::Protobuf => protobuf::write(),
        Chore::Clients { whose } => clients::run(whose),
        Chore::Check => check_all(),
        Chore::Edges => edges::check(),
        Chore::Sizes => sizes::check(),
        Chore::Orphans => orphans::check(),
        Chore::CheckGen => generated::check(),
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

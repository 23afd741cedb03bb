//! The command line, as typed. What the words mean is said here; what they do is in `commands`.

mod exposure;
mod files;
mod format;
mod local;
mod looking;
mod push;
mod roles;
mod shell;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use exposure::{Choice, Exposure};
pub(crate) use files::{Apply, Plan};
pub(crate) use format::Format;
pub(crate) use local::{Demo, Part, Up};
pub(crate) use looking::{Describe, Described, Keep, Look, RotateSecret};
pub(crate) use push::Push;
pub(crate) use roles::{Controller, Doctor, Gateway};
pub(crate) use shell::Completion;

/// Onboards a GitHub repository with one Kubernetes resource; a push becomes a PipelineRun.
#[derive(Debug, Parser)]
#[command(
    name = "aphex",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Start here:\n  aphex demo            see the main job, start to end, on this machine\n  aphex up              run the platform on this machine\n  aphex plan -f FILE    see what applying would change\n  aphex org list        look at organizations (uses your kubeconfig)\n\nExit codes: 0 done, 1 failed, 2 wrong usage, 4 not found, 5 refused, 6 unreachable, 7 timed out."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// Kubeconfig to use instead of $KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// How to print
    #[arg(short = 'o', long, global = true, value_enum, default_value_t)]
    pub(crate) output: Format,
    /// Log as JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) log_json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole platform on this machine: API server, controllers, gateway
    #[command(
        after_help = "Example:\n  aphex up\n  aphex up --data-dir ./state --api-port 0 --gateway-port 0"
    )]
    Up(Up),
    /// Show the main job, start to end, in a temporary folder
    #[command(after_help = "Example:\n  aphex demo --keep")]
    Demo(Demo),
    /// Create or change the objects in files, as `kubectl apply --server-side` does
    #[command(after_help = "Example:\n  aphex apply -f examples/organization.yaml --wait 60")]
    Apply(Apply),
    /// Show what applying files would change, with all that the controllers would make of it; write nothing
    #[command(
        after_help = "Examples:\n  aphex plan -f examples/organization.yaml -f examples/repo-binding.yaml\n  aphex plan -f - -o json < binding.yaml\n\nExit codes: 0 nothing would change, 2 something would, 1 an object would be refused, or there is no plan."
    )]
    Plan(Plan),
    /// Show an object with everything it owns, what happened of late, and what to do next
    #[command(
        after_help = "Examples:\n  aphex describe repo hello-world\n  aphex describe pipeline checkout -n team-payments\n  aphex describe org acme-corp -o json"
    )]
    Describe(Describe),
    /// Organizations
    #[command(
        after_help = "Example:\n  aphex org list\n  aphex org get acme-corp -o yaml\n  aphex org rotate-secret acme-corp"
    )]
    Org {
        #[command(subcommand)]
        verb: Keep,
    },
    /// Repository bindings
    #[command(
        after_help = "Example:\n  aphex repo list\n  aphex repo get hello-world -o json\n  aphex repo rotate-secret hello-world --grace 48h"
    )]
    Repo {
        #[command(subcommand)]
        verb: Keep,
    },
    /// Pipelines of developers
    #[command(
        after_help = "Example:\n  aphex pipeline list -n team-payments\n  aphex pipeline get checkout -o yaml"
    )]
    Pipeline {
        #[command(subcommand)]
        verb: Look,
    },
    /// Knowledge bases and the commits they track
    #[command(after_help = "Example:\n  aphex kb list\n  aphex kb get platform-docs -o yaml")]
    Kb {
        #[command(subcommand)]
        verb: Look,
    },
    /// Webhook deliveries and what became of them
    #[command(
        after_help = "Example:\n  aphex delivery list\n  aphex delivery get 72d3162e-cc78-11e3-81ab-4c9367dc0958"
    )]
    Delivery {
        #[command(subcommand)]
        verb: Look,
    },
    /// Runs of pipelines, made by pushes
    #[command(
        after_help = "Examples:\n  aphex run list -n hello-world\n  aphex run get hello-world-3b1bf772d5 -o yaml"
    )]
    Run {
        #[command(subcommand)]
        verb: Look,
    },
    /// Send a signed event for a binding, as GitHub would
    #[command(
        after_help = "Example:\n  aphex push hello-world --git .\n  aphex push hello-world --payload examples/github-push.json"
    )]
    Push(Push),
    /// Run the controllers against a cluster
    #[command(
        after_help = "Example:\n  aphex controller --kubeconfig ~/.kube/config --gateway-url https://hooks.example.com"
    )]
    Controller(Controller),
    /// Look whether everything that the platform needs is there, and say what to do where it is not
    #[command(
        after_help = "Example:\n  aphex doctor\n  CLOUDFLARE_API_TOKEN=$(cat token) aphex doctor --domain hooks.example.com -o json\n\nExit code: 0 when nothing failed (warnings aside), 1 when something did."
    )]
    Doctor(Doctor),
    /// Run the webhook gateway against a cluster
    #[command(after_help = "Example:\n  aphex gateway --kubeconfig ~/.kube/config --port 8080")]
    Gateway(Gateway),
    /// Print what a shell needs to complete this command line
    #[command(
        after_help = "Examples:\n  source <(aphex completion bash)\n  aphex completion zsh > ~/.zfunc/_aphex\n  aphex completion fish > ~/.config/fish/completions/aphex.fish"
    )]
    Completion(Completion),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}

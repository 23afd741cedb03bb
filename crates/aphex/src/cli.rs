//! The command line, as typed. What the words mean is said here; what they do is in `commands`.

mod calls;
mod delivery;
mod examples;
mod exposure;
mod files;
mod format;
mod inbox;
mod install;
mod issuer;
mod local;
mod looking;
mod offered;
mod people;
mod pipeline;
mod push;
mod reference;
mod roles;
mod runs;
mod secret;
mod serving;
mod session;
mod shell;
mod trigger;
mod upstream;

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::{ArgValueCandidates, ArgValueCompleter};

use crate::complete;
use crate::output::When;

pub(crate) use calls::Calls;
#[cfg(test)]
pub(crate) use delivery::Moment;
pub(crate) use delivery::{DeliveryVerb, Filters, GetDelivery, ListDeliveries, Outcome, Replay};
pub(crate) use exposure::{Choice, Exposure};
pub(crate) use files::{Apply, Plan};
pub(crate) use format::Format;
pub(crate) use inbox::{Inbox, Proxies};
pub(crate) use install::{Auth, Install, Platform};
pub(crate) use issuer::{Issuer, Signing};
pub(crate) use local::{Demo, Part, Up};
pub(crate) use looking::{
    CheckRepo, Delete, Describe, DescribeOne, Described, Keep, KeepRepo, List, Look, Named, RotateSecret,
    Tend, Within,
};
pub(crate) use people::{AddUser, GroupVerb, Groups, Place, UserVerb, Users};
pub(crate) use pipeline::{CreatePipeline, PipelineVerb};
pub(crate) use push::Push;
pub(crate) use roles::{Controller, Doctor, Gateway};
pub(crate) use runs::{Cancel, Grace, Logs, Open, Opened, Rerun, RunVerb};
pub(crate) use secret::{ListSecrets, RemoveSecrets, SecretVerb, SetSecret};
pub(crate) use serving::Serving;
pub(crate) use session::{Login, Logout, Plugin, Token, Whoami};
pub(crate) use shell::{Completion, Man, Pages, Shell, Version};
pub(crate) use trigger::{Asking, Backtest, TestTriggers, TriggerVerb};
pub(crate) use upstream::Upstream;

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

/// Flags of all commands; what one does not read it refuses (`offered`).
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Global {
    /// Kubeconfig to use instead of $KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME", add = ArgValueCompleter::new(complete::contexts))]
    pub(crate) context: Option<String>,
    /// How to print: table, wide, json, yaml, name, or jsonpath=TEMPLATE as kubectl has it
    #[arg(
        short = 'o',
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "table",
        value_parser = Format::parse,
        add = ArgValueCandidates::new(complete::formats)
    )]
    pub(crate) output: Format,
    /// Colour words that say how something is
    #[arg(long, visible_alias = "colour", global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: When,
    /// Log as JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) log_json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole platform on this machine: API server, controllers, gateway
    #[command(
        after_help = "Example:\n  aphex up\n  aphex up --data-dir ./state --api-port 0 --gateway-port 0 --issuer-port 0"
    )]
    Up(Up),
    /// Show the main job, start to end, in a temporary folder
    #[command(after_help = "Example:\n  aphex demo --keep")]
    Demo(Demo),
    /// Create or change the objects in files, as `kubectl apply --server-side` does
    #[command(
        after_help = "Examples:\n  aphex apply -f examples/organization.yaml --wait 60\n  aphex apply -f examples/standalone.yaml -f examples/standalone-pipeline.yaml\n\nAn object whose namespace another one of the files makes is applied once that one is Ready."
    )]
    Apply(Apply),
    /// Show what applying files would change, with all that the controllers would make of it; write nothing
    #[command(
        after_help = "Examples:\n  aphex plan -f examples/organization.yaml -f examples/repo-binding.yaml\n  aphex plan -f - -o json < binding.yaml\n\nExit codes: 0 nothing would change, 2 something would, 1 an object would be refused or is being deleted, or there is no plan."
    )]
    Plan(Plan),
    /// Show an object with everything it owns, what happened of late, and what to do next
    #[command(
        after_help = "Examples:\n  aphex describe repo hello-world\n  aphex describe pipeline checkout -n team-payments\n  aphex describe org acme-corp -o json"
    )]
    Describe(Describe),
    /// Organizations: customers of the platform
    Org {
        #[command(subcommand)]
        verb: Keep,
    },
    /// Repository bindings
    Repo {
        #[command(subcommand)]
        verb: KeepRepo,
    },
    /// Pipelines of developers, in the namespaces of teams and users
    Pipeline {
        #[command(subcommand)]
        verb: PipelineVerb,
    },
    /// Knowledge bases and the commits they track
    Kb {
        #[command(subcommand)]
        verb: Tend,
    },
    /// Secrets of an organization, from which ExternalSecrets are filled
    Secret {
        #[command(subcommand)]
        verb: SecretVerb,
    },
    /// Webhook deliveries and what became of them
    Delivery {
        #[command(subcommand)]
        verb: DeliveryVerb,
    },
    /// Triggers that are not applied yet, on events that are made up or stored
    Trigger {
        #[command(subcommand)]
        verb: TriggerVerb,
    },
    /// Runs of pipelines, made by pushes
    Run {
        #[command(subcommand)]
        verb: RunVerb,
    },
    /// Print what the steps of a run print
    #[command(
        after_help = "Examples:\n  aphex logs hello-world-3b1bf772d5 -n hello-world\n  aphex logs -f --last\n  aphex logs hello-world-3b1bf772d5 --task build --timestamps"
    )]
    Logs(Logs),
    /// Open the page of an object in a browser: Tekton's dashboard where there is one, else GitHub
    #[command(
        after_help = "Examples:\n  aphex open repo hello-world\n  aphex open run hello-world-3b1bf772d5 -n hello-world --print\n  aphex open org acme-corp --dashboard-url https://tekton.example.com"
    )]
    Open(Open),
    /// Users of the issuer: who may log in
    #[command(
        after_help = "Examples:\n  aphex user add ada --email ada@example.com --group platform-engineering\n  aphex user list"
    )]
    User(Users),
    /// Groups of the issuer: what its users may do
    #[command(after_help = "Examples:\n  aphex group list\n  aphex group add-member admins ada")]
    Group(Groups),
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
    /// Install the platform onto a cluster, and where people log in
    Install {
        #[command(subcommand)]
        what: Install,
    },
    /// Run the webhook gateway against a cluster
    #[command(
        after_help = "Examples:\n  aphex gateway --kubeconfig ~/.kube/config --port 8080\n  aphex gateway --port 8443 --tls-cert tls.crt --tls-key tls.key --drain-delay 5s\n  aphex gateway --spool-dir /var/spool/aphex --spool-limit 1Gi --trusted-proxy 10.0.0.0/8"
    )]
    Gateway(Gateway),
    /// Run the OpenID provider alone: logins, tokens, users and groups
    #[command(
        after_help = "Examples:\n  aphex issuer --data-dir ./state\n  aphex issuer --listen 0.0.0.0:5556 --issuer-url https://dex.home.local:5556 --tls-cert tls.crt --tls-key tls.key"
    )]
    Issuer(Issuer),
    /// Log in at the platform's issuer, and give kubectl a context that uses the login
    #[command(
        after_help = "Examples:\n  aphex login\n  aphex login --issuer https://dex.home.local --server https://cluster.home.local:6443 --use\n  aphex login --no-browser"
    )]
    Login(Login),
    /// End logins at their issuers, and forget them here
    #[command(after_help = "Example:\n  aphex logout\n  aphex logout --issuer https://dex.home.local")]
    Logout(Logout),
    /// Show who the cluster takes you for, and what you may do
    #[command(after_help = "Example:\n  aphex whoami\n  aphex whoami -n team-payments -o json")]
    Whoami(Whoami),
    /// Print a token for kubectl, as its credential plugin; renews the login where it has to
    #[command(
        after_help = "Example:\n  aphex token --oidc-issuer-url=https://dex.home.local --oidc-client-id=aphex"
    )]
    Token(Token),
    /// Print what a shell needs to complete this command line, names of objects included
    #[command(
        after_help = "Examples:\n  source <(aphex completion bash)\n  aphex completion zsh > ~/.zfunc/_aphex\n  aphex completion fish > ~/.config/fish/completions/aphex.fish"
    )]
    Completion(Completion),
    /// Versions of this program and of the server
    #[command(
        after_help = "Examples:\n  aphex version\n  aphex version --client -o json\n  aphex version --check"
    )]
    Version(Version),
    /// Write the reference of all commands as manual pages
    #[command(
        after_help = "Examples:\n  aphex man ~/.local/share/man/man1\n  aphex man --format markdown docs"
    )]
    Man(Man),
}

/// The whole command line, with examples for every command.
pub(crate) fn command() -> clap::Command {
    offered::hide(examples::add(Cli::command()))
}

/// Reads what was typed.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    offered::check(&mut command, &matches)?;
    delivery::check(&mut command, &matches)?;
    Cli::from_arg_matches(&matches)
}

/// The reference of all commands, in Markdown.
pub(crate) fn reference() -> String {
    reference::page(command())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}

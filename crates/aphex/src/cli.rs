//! The command line, as typed. What the words mean is said here; what they do is in `commands`.

mod exposure;
mod issuer;
mod people;
mod session;
mod upstream;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use exposure::{Choice, Exposure};
pub(crate) use issuer::{Issuer, Signing};
pub(crate) use people::{AddUser, GroupVerb, Groups, Place, UserVerb, Users};
pub(crate) use session::{Login, Logout, Plugin, Token, Whoami};
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

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    #[default]
    Table,
    /// More columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// kind/name, one a line
    Name,
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
    /// Run the webhook gateway against a cluster
    #[command(after_help = "Example:\n  aphex gateway --kubeconfig ~/.kube/config --port 8080")]
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
    /// Print what a shell needs to complete this command line
    #[command(
        after_help = "Examples:\n  source <(aphex completion bash)\n  aphex completion zsh > ~/.zfunc/_aphex\n  aphex completion fish > ~/.config/fish/completions/aphex.fish"
    )]
    Completion(Completion),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Up {
    /// Where everything is kept [default: $XDG_DATA_HOME/aphex or ~/.local/share/aphex]
    #[arg(long, value_name = "DIR", env = "APHEX_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Port of the Kubernetes API (HTTPS); 0 takes any free one
    #[arg(long, value_name = "N", default_value_t = 7443)]
    pub(crate) api_port: u16,
    /// Port of the webhook gateway (HTTP); 0 takes any free one
    #[arg(long, value_name = "N", default_value_t = 8080)]
    pub(crate) gateway_port: u16,
    /// Port of the OpenID issuer on 127.0.0.1 (HTTP); 0 takes any free one
    #[arg(long, value_name = "N", default_value_t = 5556)]
    pub(crate) issuer_port: u16,
    #[command(flatten)]
    pub(crate) upstream: Upstream,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub(crate) bind: IpAddr,
    /// Keep the history that watches and continued lists need for so long and no longer [default: 300, and
    /// longer while there is little of it]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) history: Option<u64>,
    /// Which OpenID Connect issuers to trust: kube-apiserver's AuthenticationConfiguration, YAML or JSON [default: the
    /// local issuer, for the audiences aphex and kubernetes]
    #[arg(long, value_name = "FILE")]
    pub(crate) authentication_config: Option<PathBuf>,
    /// Leave a part to somebody else, such as a kube-controller-manager
    #[arg(long, value_name = "PART", value_enum)]
    pub(crate) without: Vec<Part>,
}

/// A part of local mode that another program can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Ends of namespaces, garbage collection, service accounts
    Housekeeping,
    /// Logins: the OpenID issuer
    Issuer,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Demo {
    /// Leave the platform serving until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
    /// Folder with organization.yaml, repo-binding.yaml and github-push.json [default: built in]
    #[arg(long, value_name = "DIR")]
    pub(crate) examples: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Apply {
    /// File or folder of YAML or JSON; - reads standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Take fields over from other managers
    #[arg(long)]
    pub(crate) force_conflicts: bool,
    /// Wait this many seconds for the condition Ready of each object that has conditions
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait: Option<u64>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// File or folder of YAML or JSON; - reads standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Plan as if fields were taken over from other managers
    #[arg(long)]
    pub(crate) force_conflicts: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Describe {
    /// Kind of the object
    #[arg(value_enum)]
    pub(crate) kind: Described,
    /// Its name
    pub(crate) name: String,
    /// Its namespace, when it is not the usual one
    #[arg(short = 'n', long)]
    pub(crate) namespace: Option<String>,
}

/// A kind that can be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Described {
    /// Organization
    #[value(alias = "organization")]
    Org,
    /// RepoBinding
    #[value(aliases = ["rb", "repobinding"])]
    Repo,
    /// KnowledgeBase
    #[value(alias = "knowledgebase")]
    Kb,
    /// Pipeline
    Pipeline,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Look {
    /// All of them
    #[command(visible_alias = "ls")]
    List {
        /// Only this namespace
        #[arg(short = 'n', long)]
        namespace: Option<String>,
        /// Only those with these labels
        #[arg(short = 'l', long, value_name = "SELECTOR")]
        selector: Option<String>,
    },
    /// One, by name
    Get {
        /// Its name
        name: String,
        /// Its namespace, when it is not the usual one
        #[arg(short = 'n', long)]
        namespace: Option<String>,
    },
}

/// What can be done with objects that have a webhook secret.
#[derive(Debug, Subcommand)]
pub(crate) enum Keep {
    #[command(flatten)]
    Look(Look),
    /// Replace the webhook secret; the old one still verifies for a while
    RotateSecret(RotateSecret),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RotateSecret {
    /// Its name
    pub(crate) name: String,
    /// How long the old secret still verifies, such as 48h or 30m; 0s for not at all [default: the platform's, 24h]
    #[arg(long, value_name = "DURATION")]
    pub(crate) grace: Option<jiff::SignedDuration>,
    /// Print the new secret
    #[arg(long)]
    pub(crate) show: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Push {
    /// Name of the RepoBinding
    pub(crate) binding: String,
    /// Payload to send as it is
    #[arg(long, value_name = "FILE", conflicts_with = "git")]
    pub(crate) payload: Option<PathBuf>,
    /// Git checkout whose HEAD is pushed [default: the current folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) git: Option<PathBuf>,
    /// Event type
    #[arg(long, default_value = "push")]
    pub(crate) event: String,
    /// Delivery id; the same id again creates nothing [default: a new one]
    #[arg(long, value_name = "ID")]
    pub(crate) delivery: Option<String>,
    /// Where to send it [default: the webhook URL in the binding's status]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Do not wait for what becomes of it
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Namespace of the binding
    #[arg(short = 'n', long, default_value = "platform-system")]
    pub(crate) namespace: String,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Controller {
    /// Public base URL of the gateway; webhook URLs are below it
    #[arg(long, value_name = "URL", env = "APHEX_GATEWAY_URL")]
    pub(crate) gateway_url: String,
    /// Namespace in which Argo CD looks for AppProjects
    #[arg(long, value_name = "NAME", env = "APHEX_ARGOCD_NAMESPACE", default_value = "argocd")]
    pub(crate) argocd_namespace: String,
    /// Host name of the webhooks of standalone tenants that name none; each gets an Ingress for it
    #[arg(long, value_name = "HOST", env = "APHEX_INGRESS_HOST", default_value = "")]
    pub(crate) ingress_host: String,
    /// The gateway's Service as the cluster's DNS knows it; those Ingresses lead to it
    #[arg(
        long,
        value_name = "NAME",
        env = "APHEX_GATEWAY_SERVICE",
        default_value = "aphex-gateway.platform-system.svc.cluster.local"
    )]
    pub(crate) gateway_service: String,
    /// Address of the Kubernetes API as Argo CD knows this cluster
    #[arg(
        long,
        value_name = "URL",
        env = "APHEX_CLUSTER_URL",
        default_value = "https://kubernetes.default.svc"
    )]
    pub(crate) cluster_url: String,
    /// Hosts of git servers that KnowledgeBases may name, with commas between; * for all
    #[arg(
        long,
        value_name = "HOSTS",
        env = "APHEX_GIT_HOSTS",
        default_value = "github.com",
        value_delimiter = ','
    )]
    pub(crate) git_hosts: Vec<String>,
    /// Ask git servers at private and loopback addresses, and without encryption (http, git), too
    #[arg(long, value_name = "BOOL", env = "APHEX_GIT_ALLOW_PRIVATE", default_value_t = false, action = clap::ArgAction::Set)]
    pub(crate) git_allow_private: bool,
    /// Seconds between two looks at a repository of a KnowledgeBase
    #[arg(long, value_name = "SECONDS", env = "APHEX_GIT_INTERVAL", default_value_t = 300, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    pub(crate) git_interval: u64,
    /// Work only while holding the Lease platform-system/aphex-controller, so that any number of replicas may run
    #[arg(long, value_name = "BOOL", env = "APHEX_LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) leader_elect: bool,
    /// How long a rotated webhook secret's predecessor still verifies, where a request does not say
    #[arg(long, value_name = "DURATION", env = "APHEX_ROTATION_GRACE", default_value = "24h")]
    pub(crate) rotation_grace: jiff::SignedDuration,
    /// Address of /livez, /readyz and /metrics
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:8081")]
    pub(crate) admin: SocketAddr,
    #[command(flatten)]
    pub(crate) exposure: Exposure,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Doctor {
    /// Public base URL of the gateway [default: what the platform's own configuration says]
    #[arg(long, value_name = "URL", env = "APHEX_GATEWAY_URL")]
    pub(crate) gateway_url: Option<String>,
    #[command(flatten)]
    pub(crate) exposure: Exposure,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Gateway {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0")]
    pub(crate) bind: IpAddr,
    /// Port to listen on
    #[arg(long, value_name = "N", default_value_t = 8080)]
    pub(crate) port: u16,
    /// Domain whose first label names the organization (`<organization>.<domain>`)
    #[arg(long, value_name = "DOMAIN", env = "APHEX_DOMAIN")]
    pub(crate) domain: Option<String>,
    /// Address of /livez, /readyz and /metrics
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:8081")]
    pub(crate) admin: SocketAddr,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}

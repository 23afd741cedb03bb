//! Local mode: store, API server and every role in one process, under one shutdown signal.
//!
//! The roles talk to the API server through `kube::Client`, as they do on a cluster; only the transport differs:
//! the client runs on the server's own service, without a socket.
//!
//! ```text
//! store -> API server -> housekeeping, controllers, gateway     (in process)
//!              \-> HTTPS -> kubectl and everybody else
//! ```

pub(crate) mod authentication;
pub(crate) mod install;
pub(crate) mod issuer;
pub(crate) mod listen;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aphex_apiserver::ApiServer;
use aphex_auth::User;
use aphex_auth::pki::Authority;
use aphex_auth::tokens::Signer;
use aphex_runtime::admin::Readiness;
use aphex_runtime::{Clock, Metrics, Shutdown};
use aphex_store::Store;
use kube::Client;
use tokio::net::TcpListener;

use crate::kubeconfig;

/// Name of the kubeconfig in the data folder.
pub(crate) const KUBECONFIG: &str = "kubeconfig";
/// Name of the folder in it where events wait that the store cannot take.
pub(crate) const SPOOL: &str = "spool";
/// Its cluster; `aphex login` puts a user and a context of the same name beside the administrator's.
const CLUSTER: &str = "aphex";
const ADMINISTRATOR: &str = "aphex-admin";
/// Issuer of service-account tokens, as kubeadm's clusters have it.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// How long requests and watches may take to end on shutdown.
const DRAIN: Duration = Duration::from_secs(10);
/// Between two looks at a repository of a KnowledgeBase.
const GIT_INTERVAL: Duration = Duration::from_secs(30);
/// Between two looks at whether the gateway is ready.
const READY_PAUSE: Duration = Duration::from_millis(5);

/// What local mode is started with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) bind: IpAddr,
    pub(crate) api_port: u16,
    pub(crate) gateway_port: u16,
    /// None leaves the issuer out.
    pub(crate) issuer_port: Option<u16>,
    /// Where people log in, when it is not at the issuer itself.
    pub(crate) upstream: Option<aphex_issuer::Upstream>,
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Names the issuers whose tokens are accepted, in place of the local one.
    pub(crate) authentication_config: Option<PathBuf>,
    /// How long history is kept, when it is not the store's own choice.
    pub(crate) history: Option<Duration>,
    pub(crate) housekeeping: bool,
    pub(crate) calls: aphex_gateway::calls::Calls,
    pub(crate) inbox: aphex_gateway::Inbox,
}

/// The running platform.
pub(crate) struct Platform {
    pub(crate) api_url: String,
    pub(crate) gateway_url: String,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) data_dir: PathBuf,
    pub(crate) client: Client,
    pub(crate) issuer: Option<issuer::Running>,
    store: Store,
    shutdown: Shutdown,
}

/// `$XDG_DATA_HOME/aphex`, else `~/.local/share/aphex` (XDG Base Directory specification).
pub(crate) fn default_data_dir() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local/share")))
        .map(|base| base.join("aphex"))
        .context("neither XDG_DATA_HOME nor HOME is set: give a folder with --data-dir")
}

/// Starts everything; returns once every role works.
pub(crate) async fn start(settings: &Settings, shutdown: Shutdown) -> anyhow::Result<Platform> {
    create_private(&settings.data_dir)?;
    // Paths are shown and exported: they must hold in other folders too.
    let settings = &Settings { data_dir: std::fs::canonicalize(&settings.data_dir)?, ..settings.clone() };
    let folder = &settings.data_dir;
    let clock = Clock::system();
    let options = settings.history.map_or_else(aphex_store::Options::default, aphex_store::Options::keeping);
    let store = Store::open(&folder.join("store.redb"), options)?;
    let started = serve(settings, &store, &clock, &shutdown).await;
    if started.is_err() {
        shutdown.drain(DRAIN).await;
        store.close().await;
    }
    started
}

async fn serve(
    settings: &Settings,
    store: &Store,
    clock: &Clock,
    shutdown: &Shutdown,
) -> anyhow::Result<Platform> {
    let api = listen::listen(settings.bind, settings.api_port, "the Kubernetes API", "--api-port").await?;
    let hooks =
        listen::listen(settings.bind, settings.gateway_port, "the webhook gateway", "--gateway-port").await?;
    let logins = match settings.issuer_port {
        Some(port) => {
            let (upstream, proxies) = (settings.upstream.clone(), settings.inbox.trusted_proxies.clone());
            Some(issuer::Place::take(port, upstream, proxies).await?)
        }
        None => None,
    };
    let local = logins.as_ref().map(|place| place.url.as_str());
    let trusted = authentication::trusted(settings.authentication_config.as_deref(), local, &[ISSUER])?;
    // Its first start looks for primes: meanwhile the others start.
    let issuer =
        logins.map(|place| shutdown.spawn(issuer::start(settings.data_dir.clone(), place, shutdown.clone())));
    let api_url = format!("https://{}", listen::reachable(&api)?);
    let gateway_url = format!("http://{}", listen::reachable(&hooks)?);

    let pki = settings.data_dir.join("pki");
    let authority = Authority::load_or_create(&pki, clock.now())?;
    let signer = Signer::load_or_create(&pki, ISSUER)?;
    let metrics = Metrics::default();
    let server = ApiServer::start(aphex_apiserver::Config {
        signer: Some(Arc::new(signer)),
        issuers: trusted.issuers,
        anonymous: trusted.anonymous,
        client_ca: Some(authority.ca_pem().to_owned()),
        more_metrics: Some(roles_metrics(&metrics)),
        ..aphex_apiserver::Config::new(store.clone())
    })
    .await
    .context("cannot start the API server")?;
    let tls = authority.server_config(&names(settings.bind), clock.now())?;
    let (serving, stop) = (Arc::clone(&server), shutdown.token());
    shutdown.spawn(async move { serving.serve(api, tls, stop).await });

    if settings.housekeeping {
        let client = client_as(&server, "system:kube-controller-manager", "kube-system");
        shutdown.spawn(aphex_lifecycle::run(client, authority.ca_pem().to_owned(), shutdown.token()));
    }
    let client = client_as(&server, "aphex:local", "default");
    install::install(&client).await?;
    install::configuration(&client, &gateway_url).await?;
    roles(&server, hooks, &gateway_url, settings, &metrics, shutdown).await?;

    let kubeconfig = settings.kubeconfig.clone().unwrap_or_else(|| settings.data_dir.join(KUBECONFIG));
    let admin = authority.client_certificate(ADMINISTRATOR, &["system:masters"], clock.now())?;
    kubeconfig::write(
        &kubeconfig,
        &kubeconfig::Entry {
            cluster: CLUSTER,
            user: ADMINISTRATOR,
            server: &api_url,
            ca_pem: authority.ca_pem(),
            certificate_pem: &admin.certificate,
            key_pem: &admin.key,
        },
    )?;
    let issuer = match issuer {
        Some(starting) => Some(starting.await.context("the issuer ended before it could answer")??),
        None => None,
    };
    Ok(Platform {
        api_url,
        gateway_url,
        kubeconfig,
        data_dir: settings.data_dir.clone(),
        client,
        issuer,
        store: store.clone(),
        shutdown: shutdown.clone(),
    })
}

/// Starts controllers and gateway; returns once the gateway can answer.
async fn roles(
    server: &Arc<ApiServer>,
    hooks: TcpListener,
    gateway_url: &str,
    settings: &Settings,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    // Whoever runs it here asks from here anyway.
    let policy = aphex_controllers::GitPolicy { hosts: None, allow_private: true };
    let git = aphex_controllers::GitSettings { policy, interval: GIT_INTERVAL };
    let controllers = aphex_controllers::Settings { git, ..aphex_controllers::Settings::new(gateway_url)? };
    let (client, counted, stop) =
        (client_as(server, "aphex:controller", "platform-system"), metrics.clone(), shutdown.clone());
    shutdown.spawn(async move { aphex_controllers::run(client, controllers, &counted, &stop).await });

    let readiness = Readiness::default();
    let gateway = aphex_gateway::Settings {
        server: aphex_runtime::serve::Server::new(hooks, "webhooks"),
        domain: String::new(),
        identity: "local".to_owned(),
        calls: settings.calls.clone(),
        inbox: settings.inbox.clone(),
        clock: Clock::system(),
        metrics: metrics.clone(),
        readiness: readiness.clone(),
    };
    let (client, stop) = (client_as(server, "aphex:gateway", "platform-system"), shutdown.clone());
    let gateway = shutdown.spawn(aphex_gateway::run(client, gateway, stop));
    while !readiness.is_met(aphex_gateway::READINESS) {
        if gateway.is_finished() {
            gateway.await??;
            anyhow::bail!("the gateway ended before it could answer");
        }
        tokio::time::sleep(READY_PAUSE).await;
    }
    Ok(())
}

/// What the roles count, without the end mark that only a whole OpenMetrics document has.
fn roles_metrics(metrics: &Metrics) -> Arc<dyn Fn() -> String + Send + Sync> {
    let metrics = metrics.clone();
    Arc::new(move || metrics.render().trim_end_matches("# EOF\n").to_owned())
}

/// An in-process client that acts as a member of `system:masters`.
fn client_as(server: &Arc<ApiServer>, name: &str, namespace: &str) -> Client {
    let user = User { name: name.to_owned(), groups: vec!["system:masters".to_owned()], ..User::default() };
    Client::new(server.service_as(user), namespace)
}

/// Names and addresses under which the API server's certificate must hold.
fn names(bind: IpAddr) -> Vec<String> {
    let mut names: Vec<String> =
        ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", "::1"]
            .map(str::to_owned)
            .into();
    if !bind.is_unspecified() && !bind.is_loopback() {
        names.push(bind.to_string());
    }
    names
}

/// A folder that its owner alone may look into.
fn create_private(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| {
        format!("cannot create the data folder {}: choose another with --data-dir", folder.display())
    })
}

impl Platform {
    /// Ends every role, then closes the store; nothing acknowledged is lost.
    pub(crate) async fn stop(self) {
        if !self.shutdown.drain(DRAIN).await {
            tracing::warn!(seconds = DRAIN.as_secs(), "some work did not end in time and was cut off");
        }
        self.store.close().await;
        if let Some(issuer) = self.issuer {
            issuer.close().await;
        }
    }
}

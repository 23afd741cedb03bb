//! The OpenID provider, alone or as a part of local mode: its folder, its records, its first administrator.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use aphex_issuer::{
    Access, Audit, Clients, Config, Directory, Issuer, IssuerUrl, Settings, Storage, Upstream,
};
use aphex_runtime::proxies::Proxy;
use aphex_runtime::{Clock, Shutdown};
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;

use super::listen::listen;
use crate::cli;

/// The issuer's folder in the data folder.
const FOLDER: &str = "issuer";
/// Its clients, made at first start.
const CLIENTS: &str = "clients.yaml";

/// An issuer that can answer, with the records it is kept in.
pub(crate) struct Opened {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) storage: Storage,
    /// Where the first administrator is made, while nobody can administer it.
    pub(crate) setup_url: Option<String>,
}

/// The issuer of local mode.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) setup_url: Option<String>,
    storage: Storage,
}

impl Running {
    /// Lets go of the records; the issuer has been told to stop before.
    pub(crate) async fn close(self) {
        self.storage.close().await;
    }
}

/// The address of local mode's issuer: on loopback, wherever the other parts listen, since it speaks plain HTTP.
pub(crate) struct Place {
    listener: TcpListener,
    pub(crate) url: String,
    upstream: Option<Upstream>,
    trusted_proxies: Vec<Proxy>,
}

impl Place {
    pub(crate) async fn take(
        port: u16,
        upstream: Option<Upstream>,
        trusted_proxies: Vec<Proxy>,
    ) -> anyhow::Result<Self> {
        let listener = listen(Ipv4Addr::LOCALHOST.into(), port, "the OpenID issuer", "--issuer-port").await?;
        let url = format!("http://{}", listener.local_addr()?);
        Ok(Self { listener, url, upstream, trusted_proxies })
    }
}

/// Starts the issuer of local mode.
pub(crate) async fn start(data_dir: PathBuf, place: Place, shutdown: Shutdown) -> anyhow::Result<Running> {
    let Place { listener, url, upstream, trusted_proxies } = place;
    let settings = Settings { upstream, trusted_proxies, ..Settings::new(IssuerUrl::parse(&url)?) };
    let opened = open(&data_dir, None, settings, None).await?;
    shutdown.spawn(opened.issuer.serve(listener, None, shutdown.clone()));
    Ok(Running { url, setup_url: opened.setup_url, storage: opened.storage })
}

/// Where people log in, as the flags say.
pub(crate) fn upstream(flags: &cli::Upstream) -> anyhow::Result<Option<Upstream>> {
    match &flags.upstream {
        Some(file) => Ok(Some(Upstream::read(file)?)),
        None => Ok(flags.chain_authentik.then_some(Upstream::Own)),
    }
}

/// Opens the issuer that is kept in a data folder; `certificate` is what it serves TLS with.
pub(crate) async fn open(
    data_dir: &Path,
    clients: Option<&Path>,
    settings: Settings,
    certificate: Option<&Path>,
) -> anyhow::Result<Opened> {
    let (folder, clock) = (data_dir.join(FOLDER), Clock::system());
    let storage = Storage::open(&folder).await?;
    let opened = with(&folder, clients, settings, certificate, storage.clone(), clock).await;
    if opened.is_err() {
        storage.close().await;
    }
    opened
}

async fn with(
    folder: &Path,
    clients: Option<&Path>,
    settings: Settings,
    certificate: Option<&Path>,
    storage: Storage,
    clock: Clock,
) -> anyhow::Result<Opened> {
    let audit = Audit::open(folder, clock.clone())
        .with_context(|| format!("cannot open the audit log in {}", folder.display()))?;
    let directory = Directory::open(storage.clone(), clock.clone(), audit).await?;
    let clients = match clients {
        Some(file) => Clients::read(file, &settings.url)?,
        None => Clients::read_or_create(&folder.join(CLIENTS), &settings.url)?,
    };
    let setup_url = if directory.needs_setup()? {
        let secret = directory.create_setup_link().await?;
        Some(format!("{}/setup?token={}", settings.url.as_str(), secret.expose_secret()))
    } else {
        None
    };
    // Commands are run in other folders too.
    let certificate = certificate.map(std::fs::canonicalize).transpose()?;
    Access::publish(&directory, folder, settings.url.as_str(), certificate.as_deref()).await?;
    let config = Config { settings, clients, storage: storage.clone(), directory, clock };
    Ok(Opened { issuer: Issuer::start(config).await?, storage, setup_url })
}

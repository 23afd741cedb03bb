//! The OpenID provider, alone or as a part of local mode: its folder, its records, its first administrator.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use aphex_issuer::{Audit, Clients, Config, Directory, Issuer, IssuerUrl, Settings, Storage};
use aphex_runtime::{Clock, Shutdown};
use secrecy::ExposeSecret as _;

use super::listen::listen;

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

/// Starts the issuer of local mode on loopback, whatever address the other parts listen on: it speaks plain HTTP.
pub(crate) async fn start(data_dir: &Path, port: u16, shutdown: &Shutdown) -> anyhow::Result<Running> {
    let listener = listen(Ipv4Addr::LOCALHOST.into(), port, "the OpenID issuer", "--issuer-port").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let opened = open(data_dir, None, Settings::new(IssuerUrl::parse(&url)?)).await?;
    shutdown.spawn(opened.issuer.serve(listener, None, shutdown.clone()));
    Ok(Running { url, setup_url: opened.setup_url, storage: opened.storage })
}

/// Opens the issuer that is kept in a data folder.
pub(crate) async fn open(
    data_dir: &Path,
    clients: Option<&Path>,
    settings: Settings,
) -> anyhow::Result<Opened> {
    let (folder, clock) = (data_dir.join(FOLDER), Clock::system());
    let storage = Storage::open(&folder).await?;
    let opened = with(&folder, clients, settings, storage.clone(), clock).await;
    if opened.is_err() {
        storage.close().await;
    }
    opened
}

async fn with(
    folder: &Path,
    clients: Option<&Path>,
    settings: Settings,
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
    let config = Config { settings, clients, storage: storage.clone(), directory, clock };
    Ok(Opened { issuer: Issuer::start(config).await?, storage, setup_url })
}

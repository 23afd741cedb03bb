//! An engine for one test.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Context as _;
use aphex_apiserver::{ApiServer, Config};
use aphex_auth::User;
use aphex_auth::pki::Authority;
use aphex_auth::tokens::Signer;
use aphex_store::{Options, Store};
use http::Request;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::access::Access;
use crate::named::{self, Named};
use crate::requests::Requests;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// An API server with its housekeeping; gone when dropped.
pub struct Cluster {
    client: Client,
    requests: Requests,
    engine: Engine,
}

enum Engine {
    Embedded(Box<Embedded>),
    Named(Named),
}

struct Embedded {
    server: Arc<ApiServer>,
    authority: Authority,
    stop: CancellationToken,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts an engine. A real cluster is shared with other tests.
    pub async fn start() -> anyhow::Result<Self> {
        Self::new(named::any()).await
    }

    /// Starts an engine. On a real cluster, waits until no other test that wants one for itself has it.
    pub async fn alone() -> anyhow::Result<Self> {
        Self::new(named::alone().await?).await
    }

    async fn new(named: Option<Named>) -> anyhow::Result<Self> {
        // A second test in the process finds it installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let requests = Requests::default();
        let Some(named) = named else {
            return Self::embedded(requests, |_| Ok(Store::memory(Options::default()))).await;
        };
        let client = Client::try_from(named.config().await?)?;
        Ok(Self { client, requests, engine: Engine::Named(named) })
    }

    /// Starts the embedded engine with a store on disk, synced at every commit as that of `aphex up` is. For measuring: of
    /// requests the numbers alone are kept.
    pub async fn on_disk() -> anyhow::Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let open = |folder: &Path| Ok(Store::open(&folder.join("store.redb"), Options::default())?);
        Self::embedded(Requests::numbers(), open).await
    }

    async fn embedded(
        requests: Requests,
        store: impl FnOnce(&Path) -> anyhow::Result<Store>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let now = jiff::Timestamp::now();
        let authority = Authority::load_or_create(folder.path(), now)?;
        let signer = Signer::load_or_create(folder.path(), ISSUER)?;
        let config = Config { signer: Some(Arc::new(signer)), ..Config::new(store(folder.path())?) };
        let server = ApiServer::start(config).await?;
        let stop = CancellationToken::new();
        let housekeeper =
            as_user(&server, "system:kube-controller-manager", &["system:masters"], Requests::numbers());
        tokio::spawn(aphex_lifecycle::run(housekeeper, authority.ca_pem().to_owned(), stop.clone()));
        let client = as_user(&server, "test-admin", &["system:masters"], requests.clone());
        let engine = Engine::Embedded(Box::new(Embedded { server, authority, stop, folder }));
        Ok(Self { client, requests, engine })
    }

    /// A client that may do everything; its requests are counted.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client of another user, uncounted, who is in these groups and in that of everybody who is known.
    ///
    /// On a real cluster the administrator impersonates the user.
    pub async fn acting_as(&self, name: &str, groups: &[&str]) -> anyhow::Result<Client> {
        let mut groups = groups.to_vec();
        groups.push("system:authenticated");
        let named = match &self.engine {
            Engine::Embedded(embedded) => {
                return Ok(as_user(&embedded.server, name, &groups, Requests::numbers()));
            }
            Engine::Named(named) => named,
        };
        let mut config = named.config().await?;
        config.auth_info.impersonate = Some(name.to_owned());
        config.auth_info.impersonate_groups = Some(groups.iter().map(|group| (*group).to_owned()).collect());
        Ok(Client::try_from(config)?)
    }

    /// A client of a ServiceAccount, which has to exist, with its requests recorded.
    pub async fn account(&self, namespace: &str, name: &str) -> anyhow::Result<(Client, Requests)> {
        let requests = Requests::default();
        let named = match &self.engine {
            Engine::Embedded(embedded) => {
                let user = format!("system:serviceaccount:{namespace}:{name}");
                let own = format!("system:serviceaccounts:{namespace}");
                let groups = ["system:serviceaccounts", &own, "system:authenticated"];
                return Ok((as_user(&embedded.server, &user, &groups, requests.clone()), requests));
            }
            Engine::Named(named) => named,
        };
        let mut config = named.config().await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let asked =
            accounts.create_token_request(name, &PostParams::default(), &TokenRequest::default()).await?;
        let token = asked.status.context("no token was given")?.token;
        config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        Ok((requests.client(&Client::try_from(config)?), requests))
    }

    /// Counts of the requests made through [`Cluster::client`]; zeros on a real cluster.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Whether this is the embedded engine.
    pub fn is_embedded(&self) -> bool {
        matches!(self.engine, Engine::Embedded(_))
    }

    /// Gives an administrator's kubeconfig. The embedded engine is served over HTTPS on a free port from then on.
    pub async fn serve(&self) -> anyhow::Result<PathBuf> {
        let embedded = match &self.engine {
            Engine::Embedded(embedded) => embedded,
            Engine::Named(named) => return Ok(named.kubeconfig().to_owned()),
        };
        let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let address = listener.local_addr()?;
        let now = jiff::Timestamp::now();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let tls = embedded.authority.server_config(&names, now)?;
        let (server, stop) = (Arc::clone(&embedded.server), embedded.stop.clone());
        tokio::spawn(async move { server.serve(listener, tls, stop).await });
        let admin = embedded.authority.client_certificate("test-admin", &["system:masters"], now)?;
        let path = embedded.folder.path().join("kubeconfig");
        let access = Access {
            server: format!("https://{address}"),
            ca: embedded.authority.ca_pem().to_owned(),
            certificate: admin.certificate,
            key: admin.key,
        };
        std::fs::write(&path, access.kubeconfig("default"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Engine::Embedded(embedded) = &self.engine {
            embedded.stop.cancel();
            embedded.server.stop();
        }
    }
}

fn as_user(server: &Arc<ApiServer>, name: &str, groups: &[&str], requests: Requests) -> Client {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    let user = User { name: name.to_owned(), groups, ..User::default() };
    Client::new(Counted { inner: server.service_as(user), requests }, "default")
}

/// Counts what passes through.
#[derive(Clone)]
struct Counted<S> {
    inner: S,
    requests: Requests,
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        self.requests.record(&request);
        self.inner.call(request)
    }
}

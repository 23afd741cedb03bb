//! An engine for one test.

use std::ffi::OsStr;
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
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::access::Access;
use crate::requests::Requests;

/// The environment variable that puts the tests on a real cluster instead.
const REAL: &str = "APHEX_TEST_KUBECONFIG";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// An API server with its housekeeping; gone when dropped.
pub struct Cluster {
    client: Client,
    requests: Requests,
    embedded: Option<Embedded>,
}

struct Embedded {
    server: Arc<ApiServer>,
    authority: Authority,
    stop: CancellationToken,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts an engine.
    pub async fn start() -> anyhow::Result<Self> {
        // A second test in the process finds it installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let requests = Requests::default();
        if let Some(path) = std::env::var_os(REAL) {
            let client = Client::try_from(real_config(&path).await?)?;
            return Ok(Self { client, requests, embedded: None });
        }
        Self::embedded(requests, |_| Ok(Store::memory(Options::default()))).await
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
        Ok(Self { client, requests, embedded: Some(Embedded { server, authority, stop, folder }) })
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
        if let Some(embedded) = &self.embedded {
            return Ok(as_user(&embedded.server, name, &groups, Requests::numbers()));
        }
        let path = std::env::var_os(REAL).context("no real cluster is named")?;
        let mut config = real_config(&path).await?;
        config.auth_info.impersonate = Some(name.to_owned());
        config.auth_info.impersonate_groups = Some(groups.iter().map(|group| (*group).to_owned()).collect());
        Ok(Client::try_from(config)?)
    }

    /// A client of a ServiceAccount, which has to exist, with its requests recorded.
    pub async fn account(&self, namespace: &str, name: &str) -> anyhow::Result<(Client, Requests)> {
        let requests = Requests::default();
        if let Some(embedded) = &self.embedded {
            let user = format!("system:serviceaccount:{namespace}:{name}");
            let own = format!("system:serviceaccounts:{namespace}");
            let groups = ["system:serviceaccounts", &own, "system:authenticated"];
            return Ok((as_user(&embedded.server, &user, &groups, requests.clone()), requests));
        }
        let path = std::env::var_os(REAL).context("no real cluster is named")?;
        let mut config = real_config(&path).await?;
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
        self.embedded.is_some()
    }

    /// Serves the engine over HTTPS on a free port; gives a kubeconfig with an administrator's certificate.
    pub async fn serve(&self) -> anyhow::Result<PathBuf> {
        let embedded = self.embedded.as_ref().context("only the embedded engine can be served")?;
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
        if let Some(embedded) = &self.embedded {
            embedded.stop.cancel();
            embedded.server.stop();
        }
    }
}

async fn real_config(path: &OsStr) -> anyhow::Result<kube::Config> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
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

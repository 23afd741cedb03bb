//! The certificate of a listener, from files that may change while it is used.
//!
//! Kubernetes and ACME clients replace certificates long before they end: files are looked at again every so often, and
//! what is new is used for connections from then on. Files that cannot be read, or do not belong together, change
//! nothing. Clients choose between HTTP/2 and HTTP/1.1 (ALPN, RFC 7301).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::{Shutdown, errors};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(10);

/// A certificate cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The certificate's file cannot be read.
    #[error("cannot read the certificate in {0}")]
    Certificate(PathBuf, #[source] pem::Error),
    /// The key's file cannot be read.
    #[error("cannot read the private key in {0}")]
    Key(PathBuf, #[source] pem::Error),
    /// They do not go together.
    #[error("the key in {key} and the certificate in {certificate} cannot serve TLS")]
    Pair {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The library does not take the settings.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

/// A listener's certificate and key; cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

struct Current {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    pair: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current.fmt(f)
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.pair.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Tls {
    /// Reads a chain of certificates and its key, both PEM.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let pair = RwLock::new(Arc::new(read(certificate, key, &provider)?));
        let current = Current {
            certificate: certificate.into(),
            key: key.into(),
            provider: Arc::clone(&provider),
            pair,
        };
        let current = Arc::new(current);
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(TlsError::Setup)?.with_no_client_auth();
        let mut config = builder.with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), current })
    }

    /// Reads the files again; whether they hold another certificate than before.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Current { certificate, key, provider, pair } = &*self.current;
        let new = read(certificate, key, provider)?;
        let mut pair = pair.write().unwrap_or_else(PoisonError::into_inner);
        let changed = new.cert != pair.cert;
        if changed {
            *pair = Arc::new(new);
        }
        Ok(changed)
    }

    /// Reads the files again and again, until shutdown.
    pub async fn follow(self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = shutdown.triggered() => return,
            }
            let certificate = self.current.certificate.display();
            match self.reload() {
                Ok(false) => {}
                Ok(true) => tracing::info!(%certificate, "another certificate is used from now on"),
                Err(error) => tracing::warn!(
                    error = %errors::chain(&error),
                    "the certificate cannot be read again; the former one is used on"
                ),
            }
        }
    }

    /// Shakes hands with a client.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

fn read(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|source| TlsError::Certificate(certificate.into(), source))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Key(key.into(), source))?;
    // Refuses a key that is not the certificate's.
    CertifiedKey::from_der(chain, private, provider).map_err(|source| TlsError::Pair {
        certificate: certificate.into(),
        key: key.into(),
        source,
    })
}

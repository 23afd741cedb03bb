//! The API server's own certificate authority: who it is, and who its clients are.
//!
//! ```text
//! ca.crt  ca.key            long-lived; clients keep ca.crt in their kubeconfigs
//! server.crt  server.key    made again when names change, the end is near or the CA is another
//! ```
//!
//! Client certificates are made on request and not kept. Names and groups travel in a
//! certificate's subject as with kube-apiserver: see [`user_of_certificate`].

mod authority;
mod identity;
mod serving;
mod subject;

pub use authority::{Authority, ClientCertificate};
pub use identity::{CertificateError, user_of_certificate};

#[cfg(test)]
mod tests;

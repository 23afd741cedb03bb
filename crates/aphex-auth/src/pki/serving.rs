//! The server's own certificate and the TLS settings it serves with.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};

use super::authority::{self, Authority, cannot_make};
use crate::keystore::{self, KeystoreError};

const DAYS: i64 = 365;
/// A certificate with less time left is made again.
const SPARE_SECONDS: i64 = 60 * 24 * 60 * 60;

impl Authority {
    /// The TLS settings of a server that is reached under these names and addresses.
    ///
    /// HTTP/2 and HTTP/1.1; client certificates of this authority are checked and optional.
    pub fn server_config(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<Arc<ServerConfig>, KeystoreError> {
        let (chain, key) = self.serving_pair(names, now)?;
        let failed = |error: &dyn std::fmt::Display| cannot_make("the TLS settings", error);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).map_err(|error| failed(&error))?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| failed(&error))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| failed(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// The stored certificate when it still serves, a new one otherwise.
    fn serving_pair(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), KeystoreError> {
        let (certificate, key) = (self.folder.join("server.crt"), self.folder.join("server.key"));
        // Unlike the authority's, this pair can be made again at any time: half of it is none.
        if let (Some(certificate), Some(key)) = (keystore::read(&certificate)?, keystore::read(&key)?)
            && let Some(pair) = self.usable(&certificate, &key, names, now)
        {
            return Ok(pair);
        }
        let (pem, key_pem) = self.issue_serving(names, now)?;
        keystore::write(&key, &key_pem)?;
        keystore::write(&certificate, &pem)?;
        parsed(&pem, &key_pem).ok_or_else(|| cannot_make("a server certificate", &"it does not parse"))
    }

    fn issue_serving(&self, names: &[String], now: Timestamp) -> Result<(String, String), KeystoreError> {
        let key = authority::new_key()?;
        let mut params = authority::params("aphex-apiserver", now, DAYS);
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(
                    name.as_str()
                        .try_into()
                        .map_err(|error| cannot_make(&format!("a server certificate for {name}"), &error))?,
                ),
            });
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = self.sign(&params, &key)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    fn usable(
        &self,
        pem: &str,
        key_pem: &str,
        names: &[String],
        now: Timestamp,
    ) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let (chain, key) = parsed(pem, key_pem)?;
        let (_, certificate) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
        let (_, ca) = x509_parser::parse_x509_certificate(&self.certificate).ok()?;
        let left = certificate.validity().not_after.timestamp() - now.as_second();
        let wanted: BTreeSet<String> = names.iter().map(|name| canonical(name)).collect();
        let fits = left > SPARE_SECONDS
            && names_of(&certificate) == wanted
            && issuer_key(&certificate) == subject_key(&ca)
            && own_key(&certificate, key_pem);
        fits.then_some((chain, key))
    }
}

fn parsed(pem: &str, key_pem: &str) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).ok()?;
    Some((vec![certificate], key))
}

fn own_key(certificate: &X509Certificate<'_>, key_pem: &str) -> bool {
    rcgen::KeyPair::from_pem(key_pem)
        .is_ok_and(|key| certificate.public_key().raw == rcgen::PublicKeyData::subject_public_key_info(&key))
}

/// Addresses have several spellings; names are compared without regard to case.
fn canonical(name: &str) -> String {
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => name.to_ascii_lowercase(),
    }
}

fn names_of(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return BTreeSet::new();
    };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|octets| IpAddr::from(octets).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|octets| IpAddr::from(octets).to_string()),
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(text).collect()
}

fn issuer_key<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => Some(id.key_identifier.as_ref()?.0),
        _ => None,
    })
}

fn subject_key<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    })
}

//! Loads or makes the certificate authority and issues client certificates.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::subject;
use crate::keystore::{self, KeystoreError};

const DAY: i64 = 24 * 60 * 60;
const CA_DAYS: i64 = 25 * 365;
const CLIENT_DAYS: i64 = 365;

/// A certificate authority whose key lies in a folder.
pub struct Authority {
    pub(super) folder: PathBuf,
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) certificate: CertificateDer<'static>,
    pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// A client's certificate with its key, both as PEM; the key is nowhere else.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
    /// When it stops being valid.
    pub expires: Timestamp,
}

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCertificate").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Authority {
    /// The authority in a folder, made there when there is none.
    pub fn load_or_create(folder: &Path, now: Timestamp) -> Result<Self, KeystoreError> {
        keystore::open_folder(folder)?;
        let (certificate, key) = (folder.join("ca.crt"), folder.join("ca.key"));
        match keystore::read_pair(&certificate, &key)? {
            Some((pem, key_pem)) => Self::load(folder, pem, &key_pem, now),
            None => Self::create(folder, now),
        }
    }

    fn load(folder: &Path, pem: String, key_pem: &str, now: Timestamp) -> Result<Self, KeystoreError> {
        let damaged =
            |name: &str, problem: String| KeystoreError::Damaged { path: folder.join(name), problem };
        let key = KeyPair::from_pem(key_pem).map_err(|error| damaged("ca.key", error.to_string()))?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| damaged("ca.crt", error.to_string()))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|error| damaged("ca.crt", error.to_string()))?;
        if parsed.public_key().raw != rcgen::PublicKeyData::subject_public_key_info(&key) {
            return Err(damaged("ca.key", "it is not the key of ca.crt".into()));
        }
        if parsed.validity().not_after.timestamp() <= now.as_second() {
            return Err(damaged("ca.crt", format!("it ended {}", parsed.validity().not_after)));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| damaged("ca.crt", error.to_string()))?;
        Ok(Self { folder: folder.to_owned(), issuer, certificate, pem })
    }

    fn create(folder: &Path, now: Timestamp) -> Result<Self, KeystoreError> {
        let made = |error: rcgen::Error| cannot_make("a certificate authority", &error);
        let key = new_key()?;
        // The time in the name tells authorities of several folders apart in error messages.
        let name = format!("aphex-ca@{}", now.as_second());
        let mut params = params(&name, now, CA_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(made)?;
        let pem = certificate.pem();
        // The key first: a certificate without a key is of no use to anyone.
        keystore::write(&folder.join("ca.key"), &key.serialize_pem())?;
        keystore::write(&folder.join("ca.crt"), &pem)?;
        let certificate = certificate.der().clone();
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(made)?;
        Ok(Self { folder: folder.to_owned(), issuer, certificate, pem })
    }

    /// The authority's certificate as PEM, for kubeconfigs and `kube-root-ca.crt`.
    pub fn ca_pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a user with groups, valid for a year.
    pub fn client_certificate(
        &self,
        name: &str,
        groups: &[&str],
        now: Timestamp,
    ) -> Result<ClientCertificate, KeystoreError> {
        let key = new_key()?;
        let mut params = params(name, now, CLIENT_DAYS);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = self.sign(&params, &key)?;
        let certificate = subject::with_groups(certificate.der(), name, groups, self.issuer.key())?;
        Ok(ClientCertificate {
            certificate: pem("CERTIFICATE", &certificate),
            key: key.serialize_pem(),
            expires: end(now, CLIENT_DAYS),
        })
    }

    pub(super) fn sign(
        &self,
        params: &CertificateParams,
        key: &KeyPair,
    ) -> Result<Certificate, KeystoreError> {
        params.signed_by(key, &self.issuer).map_err(|error| cannot_make("a certificate", &error))
    }
}

pub(super) fn new_key() -> Result<KeyPair, KeystoreError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| cannot_make("a key", &error))
}

pub(super) fn cannot_make(what: &str, error: &dyn std::fmt::Display) -> KeystoreError {
    KeystoreError::Make { what: what.into(), problem: error.to_string() }
}

/// Parameters every certificate shares: name, validity from a while ago, the issuer's key id.
pub(super) fn params(name: &str, now: Timestamp, days: i64) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    // Clocks of clients may run behind ours.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let begin = u64::try_from(now.as_second() - DAY / 24).unwrap_or_default();
    let until = u64::try_from(end(now, days).as_second()).unwrap_or_default();
    params.not_before = epoch + Duration::from_secs(begin);
    params.not_after = epoch + Duration::from_secs(until);
    params.use_authority_key_identifier_extension = true;
    params
}

/// The moment so many days from now; the end of time if there are not so many.
fn end(now: Timestamp, days: i64) -> Timestamp {
    now.checked_add(SignedDuration::from_secs(days * DAY)).unwrap_or(Timestamp::MAX)
}

/// The armour of RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let encoded = STANDARD.encode(der);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + &format!("-----END {label}-----\n")
}

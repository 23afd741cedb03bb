//! Who a client certificate is: common name, organizations, and the uid attribute.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::der_parser::Oid;
use x509_parser::der_parser::oid;

use crate::user::{CREDENTIAL_ID, User};

/// Kubernetes' attribute for the user's uid (apimachinery's asn1util).
const UID: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);

/// Why a verified certificate names no user.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The bytes are no X.509 certificate.
    #[error("the client certificate cannot be read: {0}")]
    Unreadable(String),
    /// There is no common name.
    #[error("the client certificate has no common name")]
    Nameless,
    /// A text in the subject is in no encoding that can be read.
    #[error("the client certificate's subject cannot be read as text")]
    Subject,
    /// There are several uids.
    #[error("expected 1 UID, but found multiple: [{}]", .0.join(" "))]
    SeveralUids(Vec<String>),
    /// The uid is empty.
    #[error("UID cannot be an empty string")]
    EmptyUid,
}

/// The user of a client certificate whose chain was verified (DER).
///
/// As kube-apiserver's `CommonNameUserConversion`: the last common name is the name, each
/// organization a group. The caller adds `system:authenticated`.
pub fn user_of_certificate(der: &[u8]) -> Result<User, CertificateError> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der)
        .map_err(|error| CertificateError::Unreadable(error.to_string()))?;
    let mut user = User::default();
    let mut uids = Vec::new();
    for attribute in certificate.subject().iter_attributes() {
        let text = || {
            let text = attribute.as_str().map_err(|_| CertificateError::Subject)?;
            Ok(text.to_owned())
        };
        let kind = attribute.attr_type();
        if *kind == x509_parser::oid_registry::OID_X509_COMMON_NAME {
            user.name = text()?;
        } else if *kind == x509_parser::oid_registry::OID_X509_ORGANIZATION_NAME {
            user.groups.push(text()?);
        } else if *kind == UID {
            uids.push(text()?);
        }
    }
    if user.name.is_empty() {
        return Err(CertificateError::Nameless);
    }
    match uids.len() {
        0 => {}
        1 if uids[0].is_empty() => return Err(CertificateError::EmptyUid),
        1 => user.uid = uids.swap_remove(0),
        _ => return Err(CertificateError::SeveralUids(uids)),
    }
    user.extra.insert(CREDENTIAL_ID.to_owned(), vec![credential_id(der)]);
    Ok(user)
}

fn credential_id(der: &[u8]) -> String {
    let mut id = "X509SHA256=".to_owned();
    for byte in digest(&SHA256, der).as_ref() {
        // Writing into a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

//! The authority's files, and a TLS handshake with what it issues.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::*;
use crate::keystore::KeystoreError;

fn names() -> Vec<String> {
    ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec()
}

fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}

/// The settings of a client that trusts the authority, with a certificate or without.
fn client(authority: &Authority, own: Option<&ClientCertificate>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.ca_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Both ends talk in memory until the handshake is done; gives the client's certificate.
fn handshake(
    server: &Arc<ServerConfig>,
    client: ClientConfig,
    name: &str,
) -> Result<Option<CertificateDer<'static>>, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    for _ in 0..8 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    assert!(!server.is_handshaking() && server.alpn_protocol() == Some(b"h2"));
    Ok(server.peer_certificates().map(|chain| chain[0].clone()))
}

#[test]
fn clients_are_known_by_certificate_or_not_at_all() {
    let (folder, now) = (tempfile::tempdir().unwrap(), Timestamp::now());
    let authority = Authority::load_or_create(folder.path(), now).unwrap();
    let server = authority.server_config(&names(), now).unwrap();
    assert_eq!(handshake(&server, client(&authority, None), "localhost").unwrap(), None);
    let own = authority.client_certificate("ada", &["dev", "ops", "system:masters"], now).unwrap();
    for name in ["localhost", "127.0.0.1", "::1"] {
        let seen = handshake(&server, client(&authority, Some(&own)), name).unwrap().unwrap();
        let user = user_of_certificate(&seen).unwrap();
        assert_eq!(user.name, "ada");
        assert_eq!(user.groups, ["dev", "ops", "system:masters"]);
        let id = &user.extra["authentication.kubernetes.io/credential-id"][0];
        assert_eq!(id.len(), "X509SHA256=".len() + 64);
    }
    assert!(handshake(&server, client(&authority, None), "elsewhere").is_err());
}

#[test]
fn certificates_of_another_authority_or_time_are_refused() {
    let (folder, now) = (tempfile::tempdir().unwrap(), Timestamp::now());
    let authority = Authority::load_or_create(folder.path(), now).unwrap();
    let server = authority.server_config(&names(), now).unwrap();
    let foreign = tempfile::tempdir().unwrap();
    let foreign = Authority::load_or_create(foreign.path(), now).unwrap();
    let own = foreign.client_certificate("ada", &["system:masters"], now).unwrap();
    assert!(handshake(&server, client(&authority, Some(&own)), "localhost").is_err());
    let old = authority.client_certificate("ada", &["dev"], now - days(400)).unwrap();
    assert!(handshake(&server, client(&authority, Some(&old)), "localhost").is_err());
}

#[test]
fn keys_are_kept_and_closed_to_others() {
    let (folder, now) = (tempfile::tempdir().unwrap(), Timestamp::now());
    let folder = folder.path().join("pki");
    let first = Authority::load_or_create(&folder, now).unwrap();
    first.server_config(&names(), now).unwrap();
    let again = Authority::load_or_create(&folder, now).unwrap();
    assert_eq!(first.ca_pem(), again.ca_pem());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 4);
    assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
}

#[test]
fn the_serving_certificate_is_made_again_when_it_must_be() {
    let (folder, now) = (tempfile::tempdir().unwrap(), Timestamp::now());
    let stored = || std::fs::read_to_string(folder.path().join("server.crt")).unwrap();
    let authority = Authority::load_or_create(folder.path(), now).unwrap();
    let serve = |names: &[&str], now| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        authority.server_config(&names, now).unwrap();
        stored()
    };
    let first = serve(&["localhost", "::1"], now);
    assert_eq!(serve(&["0:0:0:0:0:0:0:1", "LOCALHOST"], now), first, "the same names");
    let renamed = serve(&["localhost"], now);
    assert_ne!(renamed, first, "other names");
    assert_eq!(serve(&["localhost"], now + days(300)), renamed, "time enough");
    let renewed = serve(&["localhost"], now + days(310));
    assert_ne!(renewed, renamed, "less than 60 days left");
    std::fs::remove_file(folder.path().join("server.key")).unwrap();
    let repaired = serve(&["localhost"], now + days(310));
    assert_ne!(repaired, renewed, "no key");
    std::fs::remove_file(folder.path().join("ca.crt")).unwrap();
    std::fs::remove_file(folder.path().join("ca.key")).unwrap();
    let other = Authority::load_or_create(folder.path(), now + days(310)).unwrap();
    other.server_config(&["localhost".into()], now + days(310)).unwrap();
    assert_ne!(stored(), repaired, "another authority");
}

#[test]
fn half_an_authority_or_a_damaged_one_is_named_and_never_replaced() {
    let (folder, now) = (tempfile::tempdir().unwrap(), Timestamp::now());
    Authority::load_or_create(folder.path(), now).unwrap();
    let (certificate, key) = (folder.path().join("ca.crt"), folder.path().join("ca.key"));
    let load = |now| Authority::load_or_create(folder.path(), now).unwrap_err();
    let ended = load(now + days(26 * 365)).to_string();
    assert!(ended.contains("ca.crt is damaged: it ended"), "{ended}");
    let other = tempfile::tempdir().unwrap();
    Authority::load_or_create(other.path(), now).unwrap();
    std::fs::copy(other.path().join("ca.key"), &key).unwrap();
    assert!(load(now).to_string().contains("it is not the key of ca.crt"));
    std::fs::write(&key, "nonsense").unwrap();
    assert!(matches!(load(now), KeystoreError::Damaged { path, .. } if path == key));
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(load(now), KeystoreError::Half { path, .. } if path == key));
    assert!(certificate.exists() && !key.exists());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let path = folder.path().join("file/pki");
    let error = Authority::load_or_create(&path, Timestamp::now()).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn subjects_without_a_name_or_with_two_uids_are_no_user() {
    use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair};
    let key = KeyPair::generate().unwrap();
    let certificate = |parts: &[(DnType, &str)]| {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.custom_extensions = Vec::<CustomExtension>::new();
        params.self_signed(&key).unwrap().der().to_vec()
    };
    let uid = || DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2]);
    let user = user_of_certificate(&certificate(&[(DnType::CommonName, "ada"), (uid(), "u-1")])).unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("ada", "u-1"));
    let nameless = certificate(&[(DnType::OrganizationName, "dev")]);
    assert!(matches!(user_of_certificate(&nameless), Err(CertificateError::Nameless)));
    let empty = certificate(&[(DnType::CommonName, "ada"), (uid(), "")]);
    assert!(matches!(user_of_certificate(&empty), Err(CertificateError::EmptyUid)));
    assert!(matches!(user_of_certificate(b"no"), Err(CertificateError::Unreadable(_))));
}

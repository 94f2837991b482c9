//! Certificates for a test, and the files with them, which are deleted when the value is dropped.

// Each test that includes this file uses only some of the items.
#![allow(dead_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;

/// An authority, and the directory with its file and those of the certificates that it has issued.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// The files with a certificate and its key.
pub(crate) struct Issued {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// The validity of a certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Valid {
    Now,
    Formerly,
    InFuture,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        Authority::named("authority of a test")
    }

    /// Another authority than those of the same name.
    pub(crate) fn named(name: &str) -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, directory }
    }

    /// The file with the authority's certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Issues a certificate for these names and addresses.
    pub(crate) fn issue(&self, names: &[&str], valid: Valid) -> Issued {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        (params.not_before, params.not_after) = match valid {
            Valid::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1)),
            Valid::Formerly => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            Valid::InFuture => (date_time_ymd(2110, 1, 1), date_time_ymd(2120, 1, 1)),
        };
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let name = format!("{}-{valid:?}", names.first().unwrap_or(&"none"));
        let path = |kind: &str| self.directory.path().join(format!("{name}.{kind}"));
        let issued = Issued { cert: path("pem"), key: path("key") };
        fs::write(&issued.cert, certificate.pem()).unwrap();
        fs::write(&issued.key, key.serialize_pem()).unwrap();
        // Servers refuse a key that others may read.
        fs::set_permissions(&issued.key, fs::Permissions::from_mode(0o600)).unwrap();
        issued
    }

    /// The configuration of a server with a certificate for `localhost` and `127.0.0.1`.
    pub(crate) fn server(&self) -> ServerConfig {
        server_config(&self.issue(&["localhost", "127.0.0.1"], Valid::Now), None)
    }

    /// The same for TLS 1.2 only.
    pub(crate) fn server_for_tls_12(&self) -> ServerConfig {
        let issued = self.issue(&["localhost", "127.0.0.1"], Valid::Now);
        server_config_with(&issued, None, &[&rustls::version::TLS12])
    }
}

/// The configuration of a server with this certificate, which accepts only clients with a certificate of `clients`.
pub(crate) fn server_config(issued: &Issued, clients: Option<&Authority>) -> ServerConfig {
    server_config_with(issued, clients, rustls::ALL_VERSIONS)
}

fn server_config_with(
    issued: &Issued,
    clients: Option<&Authority>,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.issuer.as_ref().der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let certificate = rustls::pki_types::CertificateDer::from_pem_file(&issued.cert).unwrap();
    let key = PrivateKeyDer::from_pem_file(&issued.key).unwrap();
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    config
}

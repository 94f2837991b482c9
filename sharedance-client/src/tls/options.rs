//! The options of TLS, and the configuration of rustls that they describe.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// How a client verifies servers, and how it identifies itself to them. TLS 1.2 and 1.3 are used; there is no option to
/// accept any certificate.
///
/// The files are read once, by the `build` method of the builder.
///
/// ```
/// use sharedance_client::{Client, Error, TlsOptions};
///
/// # fn main() {
/// let options = TlsOptions::new().ca("/etc/sharedance/authority.pem").server_name("sessions.internal");
/// match Client::builder("tls://10.0.0.7").tls(options).build() {
///     Ok(client) => println!("{client:?}"),
///     Err(error) => assert!(matches!(error, Error::TlsOptions { .. }), "{error}"),
/// }
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct TlsOptions {
    /// The file with the certificates (PEM) of the authorities that may issue the server's certificate. By default those
    /// of the system, or of the file that the environment variable `SSL_CERT_FILE` names.
    pub ca: Option<PathBuf>,
    /// The file with the client's certificate (PEM), followed by those of intermediate authorities, for servers that
    /// require one. It needs `key`.
    pub cert: Option<PathBuf>,
    /// The file with the key (PEM) of the client's certificate.
    pub key: Option<PathBuf>,
    /// The name that the server's certificate must have; by default the host of the server's address.
    pub server_name: Option<String>,
}

impl TlsOptions {
    /// Trusts the authorities of the system.
    ///
    /// ```
    /// assert_eq!(sharedance_client::TlsOptions::new().ca, None);
    /// ```
    pub fn new() -> TlsOptions {
        TlsOptions::default()
    }

    /// Trusts the authorities in this file, and no others.
    ///
    /// ```
    /// let options = sharedance_client::TlsOptions::new().ca("/etc/sharedance/authority.pem");
    /// ```
    pub fn ca(mut self, file: impl Into<PathBuf>) -> TlsOptions {
        self.ca = Some(file.into());
        self
    }

    /// Sends the certificate in the file `cert` to servers that require one. `key` is the file with its key.
    ///
    /// ```
    /// let options = sharedance_client::TlsOptions::new().client_certificate("web1.pem", "web1.key");
    /// ```
    pub fn client_certificate(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> TlsOptions {
        (self.cert, self.key) = (Some(cert.into()), Some(key.into()));
        self
    }

    /// Expects a certificate for this name, whatever the address of the server is.
    ///
    /// ```
    /// let options = sharedance_client::TlsOptions::new().server_name("sessions.internal");
    /// ```
    pub fn server_name(mut self, name: impl Into<String>) -> TlsOptions {
        self.server_name = Some(name.into());
        self
    }

    /// Reads the files. For the command `sharedance` of this package; not a part of the public API.
    #[doc(hidden)]
    pub fn client_config(&self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(error.to_string()))?
            .with_root_certificates(self.authorities()?);
        match (&self.cert, &self.key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(cert), Some(key)) => {
                let certificates = certificates(cert)?;
                let key_der = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| unusable(format!("the client's key {} cannot be read: {error}", key.display())))?;
                builder.with_client_auth_cert(certificates, key_der).map_err(|error| {
                    let (cert, key) = (cert.display(), key.display());
                    unusable(format!("the client's certificate {cert} and its key {key} cannot be used: {error}"))
                })
            }
            (Some(_), None) => Err(unusable("the client's certificate has no key: name the key's file too".into())),
            (None, Some(_)) => Err(unusable("the client's key has no certificate: name its file too".into())),
        }
    }

    fn authorities(&self) -> Result<RootCertStore, Error> {
        let mut authorities = RootCertStore::empty();
        match &self.ca {
            Some(file) => {
                for certificate in certificates(file)? {
                    authorities.add(certificate).map_err(|error| {
                        unusable(format!("a certificate in {} is not one of an authority: {error}", file.display()))
                    })?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                authorities.add_parsable_certificates(found.certs);
                if authorities.is_empty() {
                    let reason =
                        found.errors.first().map_or("no certificate was found".to_owned(), ToString::to_string);
                    return Err(unusable(format!(
                        "the system has no certificates of authorities ({reason}): install them, or name a file with one"
                    )));
                }
            }
        }
        Ok(authorities)
    }
}

/// The certificates in a file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = |reason: String| unusable(format!("the file {} has no certificates: {reason}", file.display()));
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unreadable(error.to_string()))?;
    match certificates.is_empty() {
        true => Err(unreadable("it contains none in PEM".into())),
        false => Ok(certificates),
    }
}

fn unusable(reason: String) -> Error {
    Error::TlsOptions { reason }
}

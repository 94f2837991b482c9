//! Reads certificates and keys.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;

use super::error::TlsError;
use crate::options::TlsOptions;
use crate::process::reload::ReloadableFile;

/// The mode bits that the file of a private key must not have: a group may read it, as Debian's `ssl-cert` does.
const FORBIDDEN_KEY_MODE: u32 = 0o037;

/// The files of TLS, within reach also after the process has given up its rights.
#[derive(Debug)]
pub(super) struct TlsFiles {
    pub(super) cert: ReloadableFile,
    pub(super) key: ReloadableFile,
    pub(super) client_ca: Option<ReloadableFile>,
}

impl TlsFiles {
    pub(super) fn open(options: &TlsOptions) -> Result<TlsFiles, TlsError> {
        Ok(TlsFiles {
            cert: ReloadableFile::open(&options.cert)?,
            key: ReloadableFile::open(&options.key)?,
            client_ca: options.client_ca.as_deref().map(ReloadableFile::open).transpose()?,
        })
    }

    pub(super) fn all(&self) -> Vec<ReloadableFile> {
        [&self.cert, &self.key].into_iter().chain(&self.client_ca).cloned().collect()
    }

    /// Reads the certificate chain and its key, and verifies that they belong together.
    pub(super) fn read_key(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain = read_certificates(&self.cert)?;
        let path = self.key.path();
        let pem = Secret(self.key.read_protected(FORBIDDEN_KEY_MODE)?);
        let key = match PrivateKeyDer::from_pem_slice(&pem.0) {
            Ok(key) => key,
            Err(pem::Error::NoItemsFound) => {
                let (wanted, label) = ("private key", "PRIVATE KEY");
                return Err(TlsError::Missing { path: path.to_owned(), wanted, label });
            }
            Err(source) => return Err(TlsError::NotPem { path: path.to_owned(), source }),
        };
        CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::Key {
            key: path.to_owned(),
            cert: self.cert.path().to_owned(),
            source,
        })
    }

    /// Reads the authorities of client certificates; none if clients need no certificate.
    pub(super) fn read_client_ca(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        self.client_ca.as_ref().map_or(Ok(Vec::new()), read_certificates)
    }

    /// Verifies the certificates of clients by those of these authorities.
    pub(super) fn client_verifier(
        &self,
        client_ca: &[CertificateDer<'static>],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let path = self.client_ca.as_ref().map_or(self.cert.path(), ReloadableFile::path);
        let refused = |source| TlsError::Authority { path: path.to_owned(), source };
        let mut authorities = RootCertStore::empty();
        for certificate in client_ca {
            authorities.add(certificate.clone()).map_err(|error| refused(error.into()))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(provider));
        builder.build().map_err(|error| refused(error.into()))
    }
}

fn read_certificates(file: &ReloadableFile) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let path = file.path();
    let pem = file.read()?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|source| TlsError::NotPem { path: path.to_owned(), source })?;
    if certificates.is_empty() {
        return Err(TlsError::Missing { path: path.to_owned(), wanted: "certificate", label: "CERTIFICATE" });
    }
    Ok(certificates)
}

/// The content of a key's file, which is overwritten when it is dropped.
struct Secret(Vec<u8>);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // The writes must not be optimized away.
        std::hint::black_box(&self.0);
    }
}

//! Why a certificate or a key cannot be used.

use std::path::PathBuf;

use rustls::pki_types::pem;
use thiserror::Error;

use crate::process::reload::FileError;

/// Why TLS cannot be configured. The messages contain nothing of a private key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not in the PEM format.
    #[error("{} is not a PEM file", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A file does not contain what it was named for.
    #[error("{} contains no {wanted}; a PEM file has it after a line like -----BEGIN {label}-----", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What it should contain.
        wanted: &'static str,
        /// The label of that in PEM.
        label: &'static str,
    },
    /// The private key cannot be used, or is not that of the certificate.
    #[error("{} is not a key for the certificate in {}", key.display(), cert.display())]
    Key {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        cert: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// A certificate authority cannot be used.
    #[error("a certificate in {} is not one of an authority", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cryptographic library has failed.
    #[error("cannot configure TLS")]
    Library(#[from] rustls::Error),
}

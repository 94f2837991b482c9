//! The options of encryption: as a program sets them, and as they are given.

use std::path::PathBuf;

use clap::Args;

/// The files that TLS listeners need. They are read at the start, and again when the server
/// [reloads](crate::Server::reloads).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// The certificate and those between it and its authority, in PEM, in that order.
    pub cert: PathBuf,
    /// The private key, in PEM. Only its owner may change it, and only its owner and its group may read it.
    pub key: PathBuf,
    /// The authorities of client certificates, in PEM. With these, every client must present a certificate.
    pub client_ca: Option<PathBuf>,
}

/// The same options, as they are given.
#[derive(Debug, Args)]
pub(super) struct TlsArguments {
    /// The certificate chain of --listen=tls:HOST:PORT, in PEM: the server's certificate first. A SIGHUP reads all these
    /// files again
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The private key of that certificate, in PEM; others than its owner and its group must not be able to read it
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Refuse TLS clients without a certificate from one of the authorities in this file, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
}

impl TlsArguments {
    pub(super) fn into_options(self) -> Option<TlsOptions> {
        Some(TlsOptions { cert: self.tls_cert?, key: self.tls_key?, client_ca: self.tls_client_ca })
    }
}

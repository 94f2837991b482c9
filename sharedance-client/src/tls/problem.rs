//! Why there is no TLS connection to a server.

use thiserror::Error;

/// Why there is no TLS connection to a server, as a part of [`Error::Tls`](crate::Error::Tls).
///
/// ```no_run
/// # #[cfg(feature = "tls")]
/// # fn example(client: &sharedance_client::Client) {
/// use sharedance_client::{Error, TlsProblem};
///
/// if let Err(Error::Tls { server, problem: TlsProblem::Expired }) = client.get("greeting") {
///     println!("renew the certificate of {server}");
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TlsProblem {
    /// None of the authorities that the client trusts has issued the server's certificate.
    #[error(
        "no trusted authority has issued its certificate: name the authority's file in TlsOptions::ca, or in `?ca=` of \
         the URL"
    )]
    UnknownAuthority,
    /// The server's certificate has expired.
    #[error("its certificate has expired: renew it, or correct the clock of this machine")]
    Expired,
    /// The server's certificate is not valid yet.
    #[error("its certificate is not valid yet: correct the clock of this machine")]
    NotYetValid,
    /// The server's certificate is for other names.
    #[error(
        "its certificate is for {}, not for {name}: connect to a name of the certificate, or set \
         TlsOptions::server_name, `?server_name=` in the URL",
        list(presented)
    )]
    WrongName {
        /// The name that the client expects.
        name: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// The server's certificate is not valid for another reason.
    #[error("its certificate is not valid: {reason}")]
    InvalidCertificate {
        /// The reason.
        reason: String,
    },
    /// The server accepts only clients with a certificate, and this client has none.
    #[error(
        "it requires a certificate of the client: set TlsOptions::client_certificate, `?cert=` and `?key=` in the URL"
    )]
    ClientCertificateRequired,
    /// The server does not accept the client's certificate.
    #[error("it does not accept the client's certificate ({alert}): use one that its authority has issued")]
    ClientCertificateRefused {
        /// The name of the alert that the server sent.
        alert: String,
    },
    /// The server does not use TLS on this port.
    #[error("what it sends is not TLS: check the port, or connect without TLS")]
    NotTls,
    /// The server closed the connection during the handshake.
    #[error("it closed the connection during the handshake: check that it uses TLS on this port, and its log")]
    Closed,
    /// Client and server did not agree, or one of them violated the protocol.
    #[error("the handshake failed: {reason}")]
    Failed {
        /// The reason.
        reason: String,
    },
}

impl TlsProblem {
    /// Whether the same attempt may succeed later without a change of a configuration.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, TlsProblem::Closed)
    }

    /// Whether the server refused the client's certificate. In TLS 1.3 this happens after the client has sent its
    /// first request, of which the server executes nothing.
    pub(crate) fn is_of_client_certificate(&self) -> bool {
        matches!(self, TlsProblem::ClientCertificateRequired | TlsProblem::ClientCertificateRefused { .. })
    }
}

/// The names of a certificate.
fn list(names: &[String]) -> String {
    match names {
        [] => "no name at all".to_owned(),
        names => names.join(", "),
    }
}

#[cfg(feature = "tls")]
impl From<rustls::Error> for TlsProblem {
    fn from(error: rustls::Error) -> TlsProblem {
        use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
        match error {
            Error::InvalidCertificate(error) => match error {
                // The second: an authority of the same name, for instance one that was created again, has issued it.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsProblem::UnknownAuthority,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsProblem::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsProblem::NotYetValid,
                CertificateError::NotValidForNameContext { expected, presented } => {
                    TlsProblem::WrongName { name: expected.to_str().into_owned(), presented }
                }
                error => TlsProblem::InvalidCertificate { reason: error.to_string() },
            },
            Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired => TlsProblem::ClientCertificateRequired,
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                // The server knows another authority of the same name.
                | AlertDescription::DecryptError
                | AlertDescription::AccessDenied => {
                    TlsProblem::ClientCertificateRefused { alert: format!("{alert:?}") }
                }
                alert => TlsProblem::Failed { reason: format!("the server sent the alert {alert:?}") },
            },
            Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
                TlsProblem::NotTls
            }
            error => TlsProblem::Failed { reason: error.to_string() },
        }
    }
}

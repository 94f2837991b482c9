//! Why TLS on a connection has failed.

use std::fmt;

use rustls::{AlertDescription, Error};

use crate::observe::Counters;

/// Why TLS on a connection has failed. It contains nothing that was encrypted.
#[derive(Debug)]
pub(crate) enum TlsFailure {
    /// The peer does not use TLS.
    PlainText,
    /// The peer has closed within the handshake.
    HandshakeAborted,
    /// The handshake took too long.
    HandshakeTooSlow,
    /// The peer's certificate is missing or invalid, or the peer does not accept that of the server.
    Certificate(Error),
    /// The peer violates the protocol, or has no version or algorithm in common with the server.
    Protocol(Error),
}

impl TlsFailure {
    /// Counts a failure of this kind.
    pub(crate) fn count(&self, counters: &Counters) {
        let counter = match self {
            TlsFailure::PlainText => &counters.tls_plain_text,
            TlsFailure::HandshakeAborted => &counters.tls_aborted,
            TlsFailure::HandshakeTooSlow => &counters.tls_too_slow,
            TlsFailure::Certificate(_) => &counters.tls_certificate_failures,
            TlsFailure::Protocol(_) => &counters.tls_protocol_failures,
        };
        counter.add(1);
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFailure::PlainText => f.write_str("the peer does not use TLS, which this port requires"),
            TlsFailure::HandshakeAborted => f.write_str("the peer closed within the TLS handshake"),
            TlsFailure::HandshakeTooSlow => f.write_str("the TLS handshake took too long"),
            TlsFailure::Certificate(error) => write!(f, "a certificate was not accepted: {error}"),
            TlsFailure::Protocol(error) => write!(f, "TLS failed: {error}"),
        }
    }
}

impl From<Error> for TlsFailure {
    fn from(error: Error) -> TlsFailure {
        match &error {
            Error::NoCertificatesPresented | Error::InvalidCertificate(_) => TlsFailure::Certificate(error),
            Error::AlertReceived(alert) if is_about_certificate(*alert) => TlsFailure::Certificate(error),
            _ => TlsFailure::Protocol(error),
        }
    }
}

fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateRequired
            | AlertDescription::AccessDenied
    )
}

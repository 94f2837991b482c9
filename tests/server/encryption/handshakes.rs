//! Versions, certificates, resumption, and the errors of an operator.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustls::{ClientConfig, HandshakeKind};
use sharedance_test_support::server::{Server, eventually};

use crate::certificates::{Authority, write};
use crate::site::{Site, TLS12, TLS13, ask, command, config, connect, refused};

#[test]
fn both_versions_are_spoken_and_sessions_are_resumed() {
    let site = Site::start(&["--threads=2"]);
    for version in [TLS13, TLS12] {
        let config = site.config(version);
        let mut kinds = Vec::new();
        for _ in 0..6 {
            let mut stream = site.connect_with(&config);
            // Tickets of TLS 1.3 arrive before the response.
            ask(&mut stream, b"mn\r\n", b"MN\r\n");
            assert_eq!(stream.conn.protocol_version(), Some(version.version));
            kinds.push(stream.conn.handshake_kind().unwrap());
        }
        assert_eq!(kinds[0], HandshakeKind::Full);
        // Another worker resumes as well: all have the same keys for tickets.
        assert!(kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{version:?}: {kinds:?}");
    }
    assert_eq!((site.stat("tls_resumed"), site.stat("tls_handshakes")), (10, 14));
}

/// The outcome of a request with a client certificate: in TLS 1.3 a client learns of a refusal only then.
fn ask_with(site: &Site, config: Arc<ClientConfig>) -> Result<(), String> {
    let mut stream = connect(site.server.connect(), config).map_err(|error| error.to_string())?;
    let mut received = [0; 4];
    stream.write_all(b"mn\r\n").and_then(|()| stream.read_exact(&mut received)).map_err(|error| error.to_string())
}

#[test]
fn only_clients_with_a_valid_certificate_of_the_authority_are_served() {
    let (clients, others) = (Authority::new(), Authority::new());
    let site = Site::start_for_clients_of(&clients, &["--threads=1"]);
    let (valid, expired, foreign) =
        (clients.issue(&["client"]), clients.issue_until(&["client"], 2001), others.issue(&["client"]));
    for version in [TLS13, TLS12] {
        let with = |identity| ask_with(&site, config(site.authority.roots(), version, identity));
        with(Some(&valid)).unwrap();
        for (refused, alert) in
            [(None, "CertificateRequired"), (Some(&expired), "CertificateExpired"), (Some(&foreign), "UnknownCA")]
        {
            let error = with(refused).unwrap_err();
            // TLS 1.2 has no alert for a missing certificate.
            assert!(error.contains(alert) || refused.is_none() && version == TLS12, "{alert}: {error}");
        }
    }
    let (_, log) = site.server.terminate();
    assert!(log.contains("a certificate was not accepted"), "{log}");
}

#[test]
fn a_client_that_rejects_the_certificate_is_counted() {
    let site = Site::start(&["--threads=1"]);
    let stranger = Authority::new();
    for version in [TLS13, TLS12] {
        let error = connect(site.server.connect(), config(stranger.roots(), version, None)).unwrap_err();
        assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    }
    eventually("the failures are counted", || (site.stat("tls_certificate_failures") == 2).then_some(()));
}

#[test]
fn a_file_that_cannot_be_used_is_named_at_the_start() {
    let (directory, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let identity = authority.issue(&["localhost"]);
    identity.write(directory.path());
    let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    Server::spawn(&mut command(directory.path())).unwrap();

    fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let log = refused(&mut command(directory.path()));
    assert!(log.contains("key.pem") && log.contains("chmod 640"), "{log}");
    fs::set_permissions(&key, PermissionsExt::from_mode(0o640)).unwrap();
    Server::spawn(&mut command(directory.path())).unwrap();

    authority.issue(&["localhost"]).write(directory.path());
    write(&cert, &identity.cert_pem);
    let log = refused(&mut command(directory.path()));
    assert!(log.contains("key.pem is not a key for the certificate in"), "{log}");

    write(&cert, "nothing");
    let log = refused(&mut command(directory.path()));
    assert!(log.contains("cert.pem contains no certificate"), "{log}");

    fs::remove_file(&cert).unwrap();
    let log = refused(&mut command(directory.path()));
    assert!(log.contains("cert.pem") && log.contains("No such file"), "{log}");
}

#[test]
fn a_listener_without_a_certificate_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(sharedance_test_support::server::program());
    command.args(["--listen=tls:127.0.0.1:0", "--directory"]).arg(directory.path());
    let log = refused(&mut command);
    assert!(log.contains("tls:127.0.0.1:0") && log.contains("--tls-cert"), "{log}");
}

//! Certificates that are replaced while the server runs.

use std::fs;

use rustix::process::Signal;
use sharedance_test_support::server::eventually;

use crate::certificates::{Authority, write};
use crate::site::{Site, Stream, TLS13, ask, config, connect};

/// Sends SIGHUP, and waits until the log has `line` once more.
fn reload(site: &Site, line: &str) {
    let count = || site.server.log().iter().filter(|logged| logged.contains(line)).count();
    let before = count();
    site.server.signal(Signal::HUP);
    eventually(line, || (count() > before).then_some(()));
}

/// The certificate that the server presents.
fn presented(stream: &Stream) -> Vec<u8> {
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn a_certificate_is_replaced_while_1000_connections_are_open() {
    let site = Site::start(&["--threads=2"]);
    let config = site.config(TLS13);
    let mut open: Vec<Stream> = (0..1000).map(|_| site.connect_with(&config)).collect();
    let old = presented(&open[0]);

    let renewed = site.authority.issue(&["localhost"]);
    renewed.write(site.directory());
    reload(&site, "reloaded the certificate");
    // Without a session to resume, which has no certificate.
    assert_eq!(presented(&site.connect()), renewed.chain[0].to_vec());
    assert_ne!(old, renewed.chain[0].to_vec());
    for stream in &mut open {
        ask(stream, b"get none\r\n", b"END\r\n");
    }

    write(&site.directory().join("cert.pem"), "-----BEGIN CERTIFICATE-----\nbroken");
    reload(&site, "not reloaded, and unchanged: the certificate");
    assert!(site.server.log().iter().any(|line| line.contains("cert.pem") && line.contains("PEM")));
    assert_eq!(presented(&site.connect()), renewed.chain[0].to_vec());
    fs::remove_file(site.directory().join("key.pem")).unwrap();
    reload(&site, "not reloaded, and unchanged: the certificate");
    assert_eq!(presented(&site.connect()), renewed.chain[0].to_vec());
    for stream in &mut open {
        ask(stream, b"get none\r\n", b"END\r\n");
    }
}

/// A client whose authority is no longer accepted must not get in by a ticket from before.
#[test]
fn a_ticket_does_not_outlive_the_authority_of_its_client() {
    let (before, after) = (Authority::new(), Authority::new());
    let site = Site::start_for_clients_of(&before, &["--threads=1"]);
    let client = config(site.authority.roots(), TLS13, Some(&before.issue(&["client"])));
    for _ in 0..2 {
        let mut stream = site.connect_with(&client);
        ask(&mut stream, b"mn\r\n", b"MN\r\n");
    }
    write(&site.directory().join("clients.pem"), &after.pem());
    reload(&site, "reloaded the certificate");
    let refused = connect(site.server.connect(), client).and_then(|mut stream| {
        use std::io::{Read, Write};
        stream.write_all(b"mn\r\n")?;
        stream.read_exact(&mut [0; 4])
    });
    assert!(refused.is_err());
}

//! Peers that violate the protocol, or hold handshakes.

use std::env;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use rustls::ClientConnection;
use sharedance_test_support::server::{AMPLE, eventually};

use crate::site::{Site, TLS12, TLS13, ask};

/// A client's first message.
fn client_hello(site: &Site) -> Vec<u8> {
    let mut connection = ClientConnection::new(site.config(TLS13), "localhost".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

/// Everything that the server sends until it closes.
fn received(mut stream: TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    received
}

fn send(site: &Site, bytes: &[u8]) -> Vec<u8> {
    let mut stream = site.server.connect();
    stream.write_all(bytes).unwrap();
    received(stream)
}

#[test]
fn a_plain_request_gets_no_byte_and_is_counted() {
    let site = Site::start(&["--threads=1"]);
    let requests: [&[u8]; 5] = [
        b"get k\r\n",
        b"F\0\0\0\x01k",
        b"\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0",
    ];
    for request in requests {
        assert_eq!(send(&site, request), b"", "{request:?}");
    }
    assert_eq!(site.stat("tls_plain_text"), 5);
    let (_, log) = site.server.terminate();
    let lines = log.lines().filter(|line| line.contains("does not use TLS")).count();
    assert_eq!(lines, 1, "peers can provoke a line each: {log}");
}

#[test]
fn violations_of_the_protocol_end_the_connection_with_an_alert() {
    let site = Site::start(&["--threads=1"]);
    let hello = client_hello(&site);
    let mut old = hello.clone();
    // The version of the message, without the extension that names newer ones.
    old.truncate(11);
    let cases: Vec<Vec<u8>> = vec![
        // A record that announces more than a record may have.
        b"\x16\x03\x01\xff\xff".to_vec(),
        // A handshake message of another type, and one that is longer than any can be.
        b"\x16\x03\x01\x00\x04\x0e\x00\x00\x00".to_vec(),
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff".to_vec(),
        // Another version of the record layer, as of SSL 2.
        b"\x16\x02\x00\x00\x04\x01\x00\x00\x00".to_vec(),
        // Application data before the handshake.
        [&hello[..], b"\x17\x03\x03\x00\x04abcd"].concat(),
        // The same message twice.
        [&hello[..], &hello[..]].concat(),
        // Random bytes within the message.
        hello.iter().enumerate().map(|(n, byte)| if n > 60 { byte ^ 0x5a } else { *byte }).collect(),
    ];
    let count = cases.len() as u64;
    for (n, case) in cases.iter().enumerate() {
        let answer = send(&site, case);
        let is_alert = |record: &[u8]| record.first() == Some(&0x15);
        let is_encrypted = answer.windows(3).any(|record| record == b"\x17\x03\x03");
        assert!(answer.is_empty() || is_alert(&answer) || is_encrypted, "case {n}: {answer:?}");
    }
    assert_eq!(site.stat("tls_protocol_failures"), count);
    assert_eq!(site.stat("curr_connections"), 1);
}

/// TLS 1.0 and 1.1 have no extension that offers a newer version.
#[test]
fn older_versions_are_refused() {
    let site = Site::start(&["--threads=1"]);
    for version in [0_u8, 1, 2] {
        let mut body = vec![3, version];
        body.extend_from_slice(&[7; 32]);
        // A random number, two cipher suites, no compression, a group and a signature algorithm.
        body.extend_from_slice(b"\0\0\x04\xc0\x2b\xc0\x2f\x01\0");
        body.extend_from_slice(b"\0\x10\0\x0a\0\x04\0\x02\0\x17\0\x0d\0\x04\0\x02\x04\x03");
        let mut hello = vec![0x16, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
        hello.extend_from_slice(&body);
        let answer = send(&site, &hello);
        // A fatal alert: protocol_version.
        assert_eq!(answer, [0x15, 3, 3, 0, 2, 2, 70], "3.{version}");
    }
}

/// A client of TLS 1.2 that begins another handshake within the connection.
#[test]
fn renegotiation_is_refused() {
    let site = Site::start(&["--threads=1"]);
    let mut child = match std::process::Command::new("openssl")
        .args(["s_client", "-tls1_2", "-connect"])
        .arg(site.address().to_string())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
    {
        Ok(child) => child,
        Err(error) => return eprintln!("left out, without openssl: {error}"),
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"R\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("no renegotiation") || text.contains("NO_RENEGOTIATION"), "{text}");
    drop(stdin);
}

/// Garbage in place of records, once the connection is established.
#[test]
fn changed_records_are_never_taken_for_requests() {
    let site = Site::start(&["--threads=1"]);
    for version in [TLS13, TLS12] {
        for at in [0, 1, 3, 5, 9, 20, 30] {
            let mut stream = site.connect_with(&site.config(version));
            ask(&mut stream, b"mn\r\n", b"MN\r\n");
            stream.conn.writer().write_all(b"set changed 0 0 1\r\nv\r\n").unwrap();
            let mut record = Vec::new();
            stream.conn.write_tls(&mut record).unwrap();
            record[at] ^= 0x10;
            // A changed length makes the server wait for more.
            record.extend_from_slice(&[0; 20_000]);
            stream.sock.write_all(&record).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    assert_eq!(site.ask(b"get changed\r\nquit\r\n"), b"END\r\n");
    assert_eq!(site.stat("tls_protocol_failures"), 14);
}

/// Peers that begin a handshake and then send nothing are ended by its deadline. Others are served meanwhile.
#[test]
fn idle_handshakes_delay_nobody_and_end_by_their_deadline() {
    let count = env::var("ENCRYPTION_IDLE_HANDSHAKES").map_or(1000, |count| count.parse().unwrap());
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let site = Site::start(&["--threads=1", "--timeout=2", "--inflight=64M", "--maxreadsize=1M"]);
    let hello = client_hello(&site);
    // One that is established already, and stays.
    let mut open = site.connect();
    let peers: Vec<TcpStream> = (0..count)
        .map(|n| {
            let mut stream = site.server.connect();
            stream.set_read_timeout(Some(AMPLE)).unwrap();
            // Nothing, the first byte, a part of the message, all of it.
            let part = [0, 1, hello.len() / 2, hello.len()][n % 4];
            // The server may have ended it by its deadline already.
            let _ = stream.write_all(&hello[..part]);
            if n % 100 == 0 {
                ask(&mut open, b"mn\r\n", b"MN\r\n");
            }
            stream
        })
        .collect();
    ask(&mut open, b"mn\r\n", b"MN\r\n");
    assert_eq!(site.ask(b"get k\r\nquit\r\n"), b"END\r\n", "another handshake");
    for stream in peers {
        let _ = received(stream);
    }
    ask(&mut open, b"mn\r\n", b"MN\r\n");
    eventually("all are ended", || (site.stat("curr_connections") == 2).then_some(()));
    assert_eq!(site.stat("tls_too_slow"), count as u64);
}

/// A peer that closes within the handshake, or right after it.
#[test]
fn peers_that_close_early_leave_nothing() {
    let site = Site::start(&["--threads=1"]);
    let hello = client_hello(&site);
    for n in 0..40 {
        let mut stream = site.server.connect();
        stream.write_all(&hello[..hello.len() * (n % 5) / 4]).unwrap();
        if n % 10 == 9 {
            // The response is in the socket when it is closed, which resets the connection.
            stream.peek(&mut [0]).unwrap();
        }
        drop(stream);
        drop(site.connect());
    }
    eventually("all are closed", || (site.stat("curr_connections") == 1).then_some(()));
    assert_eq!(site.stat("tls_aborted") + site.stat("tls_protocol_failures"), 40);
}

//! Requests and responses of memcached's text dialect, with a real server.

use std::io::{Read, Write};
use std::net::TcpStream;

use tempfile::TempDir;

use crate::server::{Server, answer};

/// A server with its directory.
pub struct Subject {
    pub server: Server,
    _directory: TempDir,
}

/// Starts a server with these arguments.
pub fn start(arguments: &[&str]) -> Subject {
    let directory = tempfile::tempdir().unwrap();
    Subject { server: Server::start(directory.path(), arguments), _directory: directory }
}

impl Subject {
    /// Returns a number from `stats`.
    pub fn stat(&self, name: &str) -> u64 {
        let mut stream = self.server.connect();
        stream.write_all(b"stats\r\nquit\r\n").unwrap();
        let stats = String::from_utf8(answer(&mut stream).unwrap()).unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix("STAT ")?.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }
}

/// Expects these bytes next.
#[track_caller]
pub fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let mut received = vec![0; expected.len()];
    let mut len = 0;
    while len < expected.len() && received[..len] == expected[..len] {
        match stream.read(&mut received[len..]).unwrap() {
            0 => break,
            more => len += more,
        }
    }
    assert!(
        received[..len] == *expected,
        "{} instead of {}",
        String::from_utf8_lossy(&received[..len.min(300)]),
        String::from_utf8_lossy(&expected[..expected.len().min(300)])
    );
}

/// Sends a request and expects this response.
#[track_caller]
pub fn ask(stream: &mut TcpStream, request: &[u8], expected: &[u8]) {
    stream.write_all(request).unwrap();
    expect(stream, expected);
}

/// Expects the end of the connection, without further bytes and without a reset.
#[track_caller]
pub fn expect_end(stream: &mut TcpStream) {
    assert_eq!(String::from_utf8_lossy(&answer(stream).unwrap()), "");
}

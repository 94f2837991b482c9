//! The limit on requests, which counts every byte of a request in each dialect, and its effect on the old value.

// A test panics when it cannot continue.
#![allow(clippy::unwrap_used)]

use std::io::Write;

use sharedance_test_support::server;
use sharedance_test_support::talk::{Subject, start};

const LIMIT: usize = 100_000;
const TOO_LARGE: &str = "SERVER_ERROR object too large for cache\r\n";

fn subject() -> Subject {
    start(&["--threads=1", &format!("--maxreadsize={LIMIT}")])
}

/// The next request and its response: the connection continues.
const NEXT: (&str, &str) = ("get k\r\nquit\r\n", "END\r\n");

/// Asserts that a text request of each length around the limit is stored or refused, and that the old value stays or
/// not.
fn check_text(line: impl Fn(usize) -> String, stored: &str, keeps_old: bool) {
    let subject = subject();
    for len in [LIMIT - 1, LIMIT, LIMIT + 1] {
        let value_len = value_len(&line, len);
        let request = [line(value_len).as_bytes(), &vec![b'v'; value_len], b"\r\n"].concat();
        assert_eq!(request.len(), len);
        let old = if line(0).contains("ME") || line(0).starts_with("add") { "" } else { "set k 0 0 3\r\nold\r\n" };
        let sent = ["delete k noreply\r\n".as_bytes(), old.as_bytes(), &request, NEXT.0.as_bytes()].concat();
        let response = subject.server.ask(&sent);
        let response = String::from_utf8(response).unwrap();
        let response = response.strip_prefix("STORED\r\n").filter(|_| !old.is_empty()).unwrap_or(&response);
        if len <= LIMIT {
            assert!(response.starts_with(stored), "{}: {}", line(len), &response[..60.min(response.len())]);
        } else {
            let old = if keeps_old && !old.is_empty() { "VALUE k 0 3\r\nold\r\n" } else { "" };
            assert_eq!(response, format!("{TOO_LARGE}{old}{}", NEXT.1), "{}", line(len));
        }
    }
}

/// Returns the length of the value in a request of `len` bytes.
fn value_len(line: &impl Fn(usize) -> String, len: usize) -> usize {
    (0..len).rev().find(|&value_len| line(value_len).len() + value_len + 2 == len).unwrap()
}

#[test]
fn the_limit_counts_every_byte_of_a_text_request() {
    check_text(|len| format!("set k 0 0 {len}\r\n"), "STORED\r\n", false);
    check_text(|len| format!("set k 0 0 {len}\n"), "STORED\r\n", false);
    check_text(|len| format!("add k 0 0 {len}\r\n"), "STORED\r\n", true);
    check_text(|len| format!("replace k 0 0 {len}\r\n"), "STORED\r\n", true);
    check_text(|len| format!("append k 0 0 {len}\r\n"), "", true);
    check_text(|len| format!("cas k 0 0 {len} 1\r\n"), "EXISTS\r\n", true);
}

#[test]
fn the_limit_counts_every_byte_of_a_meta_request() {
    check_text(|len| format!("ms k {len}\r\n"), "HD\r\n", false);
    check_text(|len| format!("ms k {len} MS T0 I\r\n"), "HD\r\n", false);
    check_text(|len| format!("ms k {len} ME\r\n"), "HD\r\n", true);
    check_text(|len| format!("ms k {len} MR\r\n"), "HD\r\n", true);
    check_text(|len| format!("ms k {len} MA\r\n"), "", true);
    check_text(|len| format!("ms k {len} MP\r\n"), "", true);
    check_text(|len| format!("ms k {len} C1\r\n"), "EX\r\n", true);
}

/// Returns a frame of this length, including the header.
fn frame(opcode: u8, extras_len: usize, version: u64, len: usize) -> Vec<u8> {
    let mut frame = vec![0x80, opcode, 0, 1, extras_len as u8, 0, 0, 0];
    frame.extend_from_slice(&(len as u32 - 24).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&version.to_be_bytes());
    frame.resize(24 + extras_len, 0);
    frame.push(b'k');
    frame.resize(len, b'v');
    frame
}

#[test]
fn the_limit_counts_every_byte_of_a_frame() {
    let subject = subject();
    for (opcode, extras_len, version, keeps_old) in
        [(0x01, 8, 0, false), (0x01, 8, 1, true), (0x02, 8, 0, true), (0x03, 8, 0, true), (0x0e, 0, 0, true)]
    {
        for len in [LIMIT - 1, LIMIT, LIMIT + 1] {
            subject.server.ask(b"set k 0 0 3\r\nold\r\nquit\r\n");
            let quit = frame(0x07, 0, 0, 25)[..24].to_vec();
            let quit = [&quit[..3], &[0], &quit[4..11], &[0], &quit[12..]].concat();
            let response = subject.server.ask(&[frame(opcode, extras_len, version, len), quit].concat());
            let is_too_large = u16::from_be_bytes([response[6], response[7]]) == 3;
            assert_eq!(is_too_large, len > LIMIT, "opcode {opcode}, {len} bytes");
            if is_too_large {
                let old = subject.server.ask(b"get k\r\nquit\r\n");
                assert_eq!(old.starts_with(b"VALUE k 0 3\r\nold\r\n"), keeps_old, "opcode {opcode}, version {version}");
            }
        }
    }
}

#[test]
fn the_limit_counts_every_byte_of_a_classic_request() {
    let subject = subject();
    for len in [LIMIT - 1, LIMIT, LIMIT + 1] {
        subject.server.ask(&server::store(b"k", b"old"));
        let request = server::store(b"k", &vec![b'v'; len - server::store(b"k", b"").len()]);
        assert_eq!(request.len(), len);
        let is_stored = len <= LIMIT;
        let mut stream = subject.server.connect();
        // A refused request need not be read to its end.
        let response = stream.write_all(&request).and_then(|()| server::answer(&mut stream)).unwrap_or_default();
        assert_eq!(response, if is_stored { &b"OK\n"[..] } else { b"" });
        assert_eq!(subject.server.ask(&server::fetch(b"k")) == b"old", !is_stored);
    }
}

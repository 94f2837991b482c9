//! What slow peers cost over TLS.

use std::io::{Read, Write};

use sharedance_test_support::server::eventually;

use crate::site::{Site, Stream, ask, expect};

const VALUE_LEN: usize = 1_000_000;

fn store_value(stream: &mut Stream) {
    stream.write_all(format!("set large 0 0 {VALUE_LEN}\r\n").as_bytes()).unwrap();
    stream.write_all(&vec![7; VALUE_LEN]).unwrap();
    ask(stream, b"\r\n", b"STORED\r\n");
}

/// Responses that are not read are kept within the budget, and beyond it they are refused.
#[test]
fn stalled_readers_stay_within_the_budget() {
    const BUDGET_KB: usize = 16 * 1024;
    let site = Site::start(&["--threads=1", "--inflight=16M", "--maxreadsize=2M"]);
    let mut first = site.connect();
    store_value(&mut first);
    let before = site.server.status_kb("RssAnon");
    let config = site.config(crate::site::TLS13);
    let stalled: Vec<Stream> = (0..60)
        .map(|_| {
            let mut stream = site.connect_with(&config);
            // The kernel takes a few megabytes for each of them.
            let _ = stream.write_all(&b"get large large large large large large large\r\n".repeat(2));
            let _ = stream.flush();
            stream
        })
        .collect();
    ask(&mut first, b"get small\r\n", b"END\r\n");
    let grown = site.server.status_kb("RssAnon").saturating_sub(before);
    assert!(grown < 3 * BUDGET_KB, "{grown} KiB for {} readers that have stalled", stalled.len());
    drop(stalled);
    eventually("all are closed", || (site.stat("curr_connections") == 2).then_some(()));
    // The budget is free again.
    first.write_all(b"get large\r\n").unwrap();
    expect(&mut first, format!("VALUE large 0 {VALUE_LEN}\r\n").as_bytes());
}

/// A length that is announced reserves nothing, whether in a request or in a record.
#[test]
fn announced_megabytes_reserve_nothing() {
    let site = Site::start(&["--threads=1"]);
    let config = site.config(crate::site::TLS13);
    let mut peers: Vec<Stream> = (0..100).map(|_| site.connect_with(&config)).collect();
    ask(&mut peers[0], b"mn\r\n", b"MN\r\n");
    let before = site.server.status_kb("RssAnon");
    for peer in &mut peers[1..] {
        peer.write_all(b"set k 0 0 30000000\r\nabc").unwrap();
        // The header of a record of 16 KiB, and nothing of its content.
        peer.sock.write_all(b"\x17\x03\x03\x40\x11").unwrap();
    }
    ask(&mut peers[0], b"mn\r\n", b"MN\r\n");
    let grown = site.server.status_kb("RssAnon").saturating_sub(before);
    assert!(grown < 2000, "{grown} KiB for announcements");
}

/// A record that arrives byte by byte, and a request in such records.
#[test]
fn a_trickle_is_served_and_delays_nobody() {
    let site = Site::start(&["--threads=1"]);
    let (mut slow, mut other) = (site.connect(), site.connect());
    for byte in b"set k 0 0 1\r\nv\r\n" {
        slow.conn.writer().write_all(&[*byte]).unwrap();
        let mut record = Vec::new();
        slow.conn.write_tls(&mut record).unwrap();
        for byte in record {
            slow.sock.write_all(&[byte]).unwrap();
        }
        ask(&mut other, b"get none\r\n", b"END\r\n");
    }
    expect(&mut slow, b"STORED\r\n");
}

/// A client that sends a record a second never completes its request.
#[test]
fn a_request_that_never_ends_is_ended() {
    let site = Site::start(&["--threads=1", "--timeout=1"]);
    let mut slow = site.connect();
    slow.write_all(b"set k 0 0 1000\r\nabc").unwrap();
    slow.flush().unwrap();
    let mut received = Vec::new();
    slow.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"");
}

/// An idle connection keeps no buffer.
#[test]
fn an_idle_connection_holds_little_memory() {
    const CONNECTIONS: usize = 400;
    let site = Site::start(&["--threads=1"]);
    let config = site.config(crate::site::TLS13);
    let open = |count| -> Vec<Stream> {
        (0..count)
            .map(|_| {
                let mut stream = site.connect_with(&config);
                stream.write_all(&vec![b'x'; 500]).unwrap();
                ask(&mut stream, b"\r\nmn\r\n", b"ERROR\r\nMN\r\n");
                stream
            })
            .collect()
    };
    let first = open(CONNECTIONS);
    let before = site.server.status_kb("RssAnon");
    let more = open(CONNECTIONS);
    let each = (site.server.status_kb("RssAnon").saturating_sub(before)) * 1024 / CONNECTIONS;
    assert!(each < 12 * 1024, "{each} bytes for each of {} idle connections", first.len() + more.len());
}

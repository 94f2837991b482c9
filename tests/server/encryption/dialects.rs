//! Every dialect over TLS, also where requests are cut at the ends of records.

use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use sharedance_test_support::vectors::{self, End, Exchange, Vector};

use crate::site::{Site, Stream, TLS12, TLS13, ask, expect, read_to_end};

/// Exchanges up to this length are cut at every byte.
const SHORT_EXCHANGE_LEN: usize = 160;
const LONG_EXCHANGE_LEN: usize = 2 * 1024 * 1024;

fn vectors_of(dialect: &str) -> Vec<Vector> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors").join(dialect);
    // Vectors of another limit are for another server. Other tests have large values.
    let is_long = |exchange: &Exchange| exchange.sent.len().max(exchange.expected.len()) > LONG_EXCHANGE_LEN;
    let is_used = |vector: &Vector| vector.limit.is_none() && !vector.exchanges.iter().any(is_long);
    vectors::load(&folder).into_iter().filter(is_used).collect()
}

/// Sends an exchange in records that end at `cuts`, in one piece, and checks the outcome.
fn check(exchange: &Exchange, cuts: &[usize], site: &Site, config: &Arc<ClientConfig>) {
    let mut stream = site.connect_with(config);
    stream.conn.set_buffer_limit(None);
    let mut begin = 0;
    for &end in cuts.iter().chain(&[exchange.sent.len()]) {
        // Each call makes at least one record.
        stream.conn.writer().write_all(&exchange.sent[begin..end]).unwrap();
        begin = end;
    }
    if exchange.shuts_down || exchange.end == End::Waiting {
        stream.conn.send_close_notify();
    }
    let place = format!("{}, records that end at {cuts:?}", exchange.place);
    let mut received = Vec::new();
    let outcome = stream.flush().and_then(|()| stream.read_to_end(&mut received));
    assert!(received == exchange.expected, "{place}: another response, of {} bytes", received.len());
    match outcome {
        Ok(_) => {}
        Err(error) if matches!(exchange.end, End::Refused { .. }) && is_reset(&error) => {}
        Err(error) => panic!("{place}: {error}"),
    }
}

fn is_reset(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

fn check_all(dialect: &str) {
    let site = Site::start(&["--threads=1"]);
    let configs = [site.config(TLS13), site.config(TLS12)];
    for vector in vectors_of(dialect) {
        // All in one record, and each byte in a record of its own.
        for config in &configs {
            for exchange in &vector.exchanges {
                check(exchange, &[], &site, config);
            }
        }
        let is_short = |exchange: &Exchange| exchange.sent.len() <= SHORT_EXCHANGE_LEN;
        if vector.exchanges.iter().all(is_short) {
            for exchange in &vector.exchanges {
                check(exchange, &(1..exchange.sent.len()).collect::<Vec<_>>(), &site, &configs[0]);
            }
            // Each round runs the whole file, so that every exchange finds the pairs of those before it.
            let longest = vector.exchanges.iter().map(|exchange| exchange.sent.len()).max().unwrap_or(0);
            for cut in 1..longest {
                for exchange in &vector.exchanges {
                    let cuts: &[usize] = if cut < exchange.sent.len() { &[cut] } else { &[] };
                    check(exchange, cuts, &site, &configs[1]);
                }
            }
        }
    }
    let (status, log) = site.server.terminate();
    assert!(status.success() && !log.contains("error:"), "{log}");
}

#[test]
fn classic_vectors_pass_with_records_that_end_at_every_byte() {
    check_all("classic");
}

#[test]
fn memcached_vectors_pass_with_records_that_end_at_every_byte() {
    check_all("memcached");
}

#[test]
fn large_values_pass_in_both_directions() {
    let value: Vec<u8> = (0..5_000_000_usize).map(|n| (n * 31 + n / 251) as u8).collect();
    for readsize in ["4096", "65536"] {
        let site = Site::start(&["--threads=1", "--readsize", readsize]);
        for version in [TLS13, TLS12] {
            let mut stream = site.connect_with(&site.config(version));
            for len in [1, 16_383, 16_384, 16_385, 70_000, 1_000_000, 5_000_000] {
                stream.write_all(format!("set k 0 0 {len}\r\n").as_bytes()).unwrap();
                stream.write_all(&value[..len]).unwrap();
                ask(&mut stream, b"\r\n", b"STORED\r\n");
                stream.write_all(b"get k k\r\n").unwrap();
                for _ in 0..2 {
                    expect(&mut stream, format!("VALUE k 0 {len}\r\n").as_bytes());
                    expect(&mut stream, &value[..len]);
                    expect(&mut stream, b"\r\n");
                }
                expect(&mut stream, b"END\r\n");
                let mut classic = site.connect_with(&site.config(version));
                classic.write_all(b"F\0\0\0\x01k").unwrap();
                assert!(read_to_end(&mut classic) == value[..len], "{len} bytes over the classic dialect");
            }
        }
    }
}

/// In this dialect the declared end is the end of the value, also if the client reads late.
#[test]
fn a_classic_value_of_any_length_ends_with_a_declared_end() {
    const STEP: usize = 400_000;
    let site = Site::start(&["--threads=1"]);
    let config = site.config(TLS13);
    let value = vec![7; 15 * STEP];
    let mut writer = site.connect_with(&config);
    for len in (STEP..value.len()).step_by(STEP) {
        writer.write_all(format!("set k 0 0 {len}\r\n").as_bytes()).unwrap();
        writer.write_all(&value[..len]).unwrap();
        ask(&mut writer, b"\r\n", b"STORED\r\n");
        let mut reader = site.connect_with(&config);
        reader.write_all(b"F\0\0\0\x01k").unwrap();
        reader.flush().unwrap();
        // The server fills the socket before the client reads.
        for _ in 0..3 {
            ask(&mut writer, b"mn\r\n", b"MN\r\n");
        }
        assert_eq!(read_to_end(&mut reader).len(), len);
    }
}

/// Records that fit into no read of the server at once, and many in one.
#[test]
fn pipelined_requests_pass_in_records_of_any_length() {
    const REQUESTS: usize = 3000;
    let site = Site::start(&["--threads=1"]);
    let request: Vec<u8> =
        (0..REQUESTS).flat_map(|n| format!("set k{n} 0 0 3\r\nabc\r\nget k{n}\r\n").into_bytes()).collect();
    let response: Vec<u8> =
        (0..REQUESTS).flat_map(|n| format!("STORED\r\nVALUE k{n} 0 3\r\nabc\r\nEND\r\n").into_bytes()).collect();
    for record_len in [7, 1000, 16_384] {
        let Stream { conn, mut sock } = site.connect();
        let mut stream = Stream::new(conn, sock.try_clone().unwrap());
        stream.conn.set_buffer_limit(None);
        for record in request.chunks(record_len) {
            stream.conn.writer().write_all(record).unwrap();
        }
        // Written by another thread: the server stops reading while its responses are not read.
        let mut encrypted = Vec::new();
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut encrypted).unwrap();
        }
        let writer = std::thread::spawn(move || sock.write_all(&encrypted).unwrap());
        expect(&mut stream, &response);
        writer.join().unwrap();
    }
}

/// The end that a client declares in the same segment as its last request was removed from the socket together with the
/// request: the poller did not report it, and the connection stayed open.
#[test]
fn an_end_that_arrives_with_the_last_request_is_noticed() {
    let site = Site::start(&["--threads=1"]);
    for version in [TLS13, TLS12] {
        let mut stream = site.connect_with(&site.config(version));
        stream.conn.writer().write_all(b"get none\r\nget no").unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        assert_eq!(read_to_end(&mut stream), b"END\r\n");
    }
}

/// A lock is released when its connection ends, as on a plain connection, whether or not the peer declares the end.
#[test]
fn locks_end_with_the_connection_with_and_without_a_declared_end() {
    let site = Site::start(&["--threads=1"]);
    for declares in [true, false] {
        let mut holder = site.connect();
        ask(&mut holder, b"lock k 0 60\r\n", b"LOCKED\r\n");
        let mut waiter = site.connect();
        waiter.write_all(b"lock k 60000 60\r\n").unwrap();
        waiter.flush().unwrap();
        if declares {
            holder.conn.send_close_notify();
            holder.flush().unwrap();
        }
        drop(holder);
        expect(&mut waiter, b"LOCKED\r\n");
    }
}

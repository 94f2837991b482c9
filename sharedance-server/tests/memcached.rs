//! Connections of the memcached dialects, against the real server through sockets: cut, piled up, slow and too large
//! requests.

// A test panics when it cannot continue.
#![allow(clippy::unwrap_used)]

use sharedance_test_support::{server, talk};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use server::{answer, eventually, shut_down};
use talk::{ask, expect, expect_end, start};

/// Larger than the limit of the servers that receive [`EXCHANGES`].
const LIMITED: &str = "--maxreadsize=500";
const TOO_LONG: [u8; 600] = [b'\n'; 600];

/// Requests of every kind with their responses, which are the same however often they are sent.
const EXCHANGES: &[(&[u8], &[u8])] = &[
    (b"set k 5 0 5\r\nhello\r\n", b"STORED\r\n"),
    (b"get k\r\n", b"VALUE k 5 5\r\nhello\r\nEND\r\n"),
    (b"add k 0 0 1\r\nx\r\n", b"NOT_STORED\r\n"),
    (b"append k 0 0 2 noreply\r\n \x01\r\n", b""),
    (b"get k missing k\r\n", b"VALUE k 5 7\r\nhello \x01\r\nVALUE k 5 7\r\nhello \x01\r\nEND\r\n"),
    (b"set n 0 0 2\r\n10\r\nincr n 5\r\ndecr n 20\r\n", b"STORED\r\n15\r\n0\r\n"),
    (b"set n x 0 6\r\nget k\n\r\n", b"CLIENT_ERROR bad command line format\r\n"),
    (b"ms n 6 v v\r\nget k\n\r\n", b"CLIENT_ERROR duplicate flag\r\n"),
    (b"touch k 0\r\ngat 0 k\r\n", b"TOUCHED\r\nVALUE k 5 7\r\nhello \x01\r\nEND\r\n"),
    (b"delete n\r\ndelete n noreply\r\n", b"DELETED\r\n"),
    (b"mg k s v O1\r\n", b"VA 7 s7 O1\r\nhello \x01\r\n"),
    (b"lock k 0 5\r\nunlock k\r\nunlock k\r\n", b"LOCKED\r\nUNLOCKED\r\nNOT_FOUND\r\n"),
    (b"lock k 0 5\r\nmg k s H\r\nunlock_all 17\r\nmd k H\r\n", b"LOCKED\r\nHD s7\r\nUNLOCKED 1 17\r\nEX\r\n"),
    (b"nonsense\r\nverbosity 1\n", b"ERROR\r\nOK\r\n"),
    (b"set empty 0 0 0\r\n\r\nget empty\r\n", b"STORED\r\nVALUE empty 0 0\r\n\r\nEND\r\n"),
    (b"set long 0 0 600\r\n", b"SERVER_ERROR object too large for cache\r\n"),
    (&TOO_LONG, b""),
    (b"\r\nget long\r\nmn\r\n", b"END\r\nMN\r\n"),
];

fn transcript() -> (Vec<u8>, Vec<u8>) {
    let sent = EXCHANGES.iter().map(|&(sent, _)| sent).collect::<Vec<_>>().concat();
    let expected = EXCHANGES.iter().map(|&(_, expected)| expected).collect::<Vec<_>>().concat();
    (sent, expected)
}

#[test]
fn responses_do_not_depend_on_how_requests_are_cut() {
    let subject = start(&["--threads=1", LIMITED]);
    let (sent, expected) = transcript();
    // Discarded bytes need not be cut at each place.
    let body = sent.len() - 600 - 30..sent.len() - 60;
    for cut in (1..sent.len()).filter(|cut| !body.contains(cut)) {
        let mut stream = subject.server.connect();
        stream.write_all(&sent[..cut]).unwrap();
        subject.server.settle();
        stream.write_all(&sent[cut..]).unwrap();
        expect(&mut stream, &expected);
    }
}

#[test]
fn requests_may_arrive_a_byte_at_a_time() {
    let subject = start(&[LIMITED]);
    let (sent, expected) = transcript();
    let mut stream = subject.server.connect();
    for byte in &sent {
        stream.write_all(&[*byte]).unwrap();
    }
    expect(&mut stream, &expected);
    ask(&mut stream, b"version\r\nquit\r\n", b"VERSION 1.6.45\r\n");
}

#[test]
fn responses_do_not_depend_on_the_read_buffer_size() {
    for read_len in ["--readsize=1", "--readsize=7", "--readsize=1000000"] {
        let subject = start(&[LIMITED, read_len]);
        let (sent, expected) = transcript();
        ask(&mut subject.server.connect(), &sent, &expected);
    }
}

/// Sends from another thread, so that neither side waits for the other.
fn send(stream: &TcpStream, bytes: Vec<u8>) -> thread::JoinHandle<()> {
    let mut stream = stream.try_clone().unwrap();
    thread::spawn(move || stream.write_all(&bytes).unwrap())
}

#[test]
fn thousands_of_pipelined_requests_are_answered_in_order() {
    let subject = start(&["--threads=1"]);
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    for n in 0..20_000 {
        let value = format!("{n}").repeat(n % 50);
        sent.extend(format!("set {n} 0 0 {}\r\n{value}\r\nget {n} {}\r\n", value.len(), n / 2).bytes());
        expected.extend(format!("STORED\r\nVALUE {n} 0 {}\r\n{value}\r\n", value.len()).bytes());
        let other = format!("{}", n / 2).repeat(n / 2 % 50);
        expected.extend(format!("VALUE {} 0 {}\r\n{other}\r\nEND\r\n", n / 2, other.len()).bytes());
    }
    let mut stream = subject.server.connect();
    let sending = send(&stream, sent);
    expect(&mut stream, &expected);
    sending.join().unwrap();
}

#[test]
fn a_long_pipeline_does_not_block_other_connections() {
    let subject = start(&["--threads=1"]);
    let mut greedy = subject.server.connect();
    let sending = send(&greedy, b"get nothing\r\n".repeat(200_000));
    let began = Instant::now();
    let mut modest = subject.server.connect();
    for _ in 0..10 {
        ask(&mut modest, b"mn\r\n", b"MN\r\n");
    }
    let modest_took = began.elapsed();
    expect(&mut greedy, &b"END\r\n".repeat(200_000));
    sending.join().unwrap();
    assert!(modest_took < began.elapsed(), "other connections waited for the whole pipeline");
}

#[test]
fn all_requests_before_a_shutdown_are_answered() {
    let subject = start(&[]);
    let value = vec![b'v'; 3_000_000];
    let mut stream = subject.server.connect();
    let header = format!("set k 0 0 {}\r\n", value.len());
    stream.write_all(&[header.as_bytes(), &value, b"\r\nget k k k k\r\nlock l 100 1\r\nget k"].concat()).unwrap();
    shut_down(&stream);
    let one = [format!("VALUE k 0 {}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
    let expected = [&b"STORED\r\n"[..], &one.repeat(4), b"END\r\nLOCKED\r\n"].concat();
    assert!(answer(&mut stream).unwrap() == expected);
}

#[test]
fn slow_readers_of_large_values_take_little_memory_and_get_complete_values() {
    const PEERS: usize = 8;
    let subject = start(&["--threads=1"]);
    // The first value shares its segment with others and is copied; the second has a file of its own.
    let values = [vec![b'a'; 1_500_000], vec![b'b'; 9_000_000]];
    let mut stream = subject.server.connect();
    let mut expected = Vec::new();
    for (key, value) in values.iter().enumerate() {
        let header = format!("set {key} 0 0 {}\r\n", value.len());
        stream.write_all(&[header.as_bytes(), value, b"\r\n"].concat()).unwrap();
        expect(&mut stream, b"STORED\r\n");
        expected.extend_from_slice(format!("VALUE {key} 0 {}\r\n", value.len()).as_bytes());
        expected.extend_from_slice(&[value, &b"\r\n"[..]].concat());
    }
    expected.extend_from_slice(b"END\r\n");
    let before = subject.server.status_kb("RssAnon");
    let mut peers: Vec<TcpStream> = (0..PEERS).map(|_| subject.server.connect()).collect();
    for peer in &mut peers {
        peer.write_all(&b"get 0 1\r\n".repeat(20)).unwrap();
    }
    subject.server.settle();
    let each_kb = subject.server.status_kb("RssAnon").saturating_sub(before) / PEERS;
    assert!(each_kb < 3_000, "{each_kb} kB for a peer that does not read");
    // The values that they receive do not change.
    ask(&mut stream, b"flush_all\r\n", b"OK\r\n");
    for mut peer in peers {
        expect(&mut peer, &expected);
    }
}

#[test]
fn a_retrieval_of_many_keys_is_answered_key_by_key() {
    const KEYS: usize = 300_000;
    let subject = start(&["--threads=1"]);
    let mut stream = subject.server.connect();
    ask(&mut stream, &[&b"set k 0 0 1000\r\n"[..], &[b'v'; 1000], b"\r\n"].concat(), b"STORED\r\n");
    let before = subject.server.status_kb("RssAnon");
    let sending = send(&stream, [&b"get"[..], &b" k none".repeat(KEYS / 2), b"\r\nmn\r\n"].concat());
    // The peer does not read: the server buffers neither the keys nor the responses.
    subject.server.settle();
    let grown_kb = subject.server.status_kb("RssAnon").saturating_sub(before);
    assert!(grown_kb < 3_000, "{grown_kb} kB");
    let one = [&b"VALUE k 0 1000\r\n"[..], &[b'v'; 1000], b"\r\n"].concat();
    for _ in 0..KEYS / 2 {
        expect(&mut stream, &one);
    }
    expect(&mut stream, b"END\r\nMN\r\n");
    sending.join().unwrap();
}

#[test]
fn the_body_of_a_refused_request_is_not_buffered() {
    let subject = start(&["--threads=1", "--maxreadsize=1000000"]);
    let before = subject.server.status_kb("RssAnon");
    let mut stream = subject.server.connect();
    for _ in 0..2 {
        stream.write_all(b"set k 0 0 50000000\r\n").unwrap();
        stream.write_all(&vec![b'x'; 49_000_000]).unwrap();
        subject.server.settle();
        let grown_kb = subject.server.status_kb("RssAnon").saturating_sub(before);
        assert!(grown_kb < 1_000, "{grown_kb} kB");
        stream.write_all(&vec![b'x'; 1_000_000]).unwrap();
        ask(&mut stream, b"\r\nmn\r\n", b"SERVER_ERROR object too large for cache\r\nMN\r\n");
    }
}

#[test]
fn the_memory_of_one_connection_is_limited() {
    let subject = start(&["--threads=1", "--max-connection-memory=1000000"]);
    let mut stream = subject.server.connect();
    let value = vec![b'v'; 999_000];
    ask(&mut stream, &[&b"set k 0 0 999000\r\n"[..], &value, b"\r\n"].concat(), b"STORED\r\n");
    let value = vec![b'v'; 1_000_000];
    let refused = b"SERVER_ERROR object too large for cache\r\nEND\r\n";
    ask(&mut stream, &[&b"set k 0 0 1000000\r\n"[..], &value, b"\r\nget k\r\n"].concat(), refused);
}

#[test]
fn the_memory_of_all_connections_is_limited_and_refusals_are_reported() {
    let subject = start(&["--threads=1", "--maxreadsize=2000000", "--inflight=4000000"]);
    let began = [&b"set k 0 0 1900000\r\n"[..], &vec![b'v'; 1_800_000]].concat();
    let mut peers: Vec<TcpStream> = (0..4).map(|_| subject.server.connect()).collect();
    for peer in &mut peers {
        // Not all of the last requests may arrive.
        let _ = peer.write_all(&began);
        subject.server.settle();
    }
    let mut told = 0;
    for mut peer in peers {
        peer.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut said = Vec::new();
        let _ = peer.read_to_end(&mut said);
        told += usize::from(said == b"SERVER_ERROR out of memory reading request\r\n");
    }
    assert!((2..4).contains(&told), "{told} were refused");
    ask(&mut subject.server.connect(), b"set k 0 0 1\r\nv\r\n", b"STORED\r\n");
}

#[test]
fn max_connections_limits_the_open_connections() {
    let subject = start(&["--threads=1", "--max-connections=3"]);
    let mut peers: Vec<TcpStream> = (0..3).map(|_| subject.server.connect()).collect();
    peers.iter_mut().for_each(|peer| ask(peer, b"mn\r\n", b"MN\r\n"));
    // A client that sends at once gets an error. A client that sends nothing is treated as classic, and gets none.
    let mut refused = subject.server.connect();
    let end = refused.write_all(b"mn\r\n").and_then(|()| answer(&mut refused));
    match end {
        Ok(said) => assert_eq!(String::from_utf8_lossy(&said), "ERROR Too many open connections\r\n"),
        Err(error) => assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}"),
    }
    ask(&mut peers[0], b"mn\r\n", b"MN\r\n");
    drop(peers.pop());
    eventually("a connection is accepted again", || {
        let mut peer = subject.server.connect();
        peer.write_all(b"mn\r\n").ok()?;
        let mut said = [0; 4];
        (peer.read_exact(&mut said).is_ok() && said == *b"MN\r\n").then_some(())
    });
    assert!(subject.stat("rejected_connections") > 0);
}

#[test]
fn the_idle_timeout_and_the_request_timeout_are_separate() {
    let subject = start(&["--timeout=1"]);
    let mut for_ever = subject.server.connect();
    ask(&mut for_ever, b"mn\r\n", b"MN\r\n");
    let mut begun = subject.server.connect();
    ask(&mut begun, b"mn\r\nset k 0 0 10\r\n12345", b"MN\r\n");
    let began = Instant::now();
    expect_end(&mut begun);
    assert!(began.elapsed() >= Duration::from_millis(900), "after {:?}", began.elapsed());
    ask(&mut for_ever, b"mn\r\n", b"MN\r\n");

    let subject = start(&["--timeout=60", "--idle-timeout=1"]);
    let mut idle = subject.server.connect();
    for _ in 0..3 {
        ask(&mut idle, b"mn\r\n", b"MN\r\n");
    }
    let began = Instant::now();
    expect_end(&mut idle);
    assert!(began.elapsed() >= Duration::from_millis(900), "after {:?}", began.elapsed());
}

#[test]
fn quit_and_shutdown_end_connections_without_a_reset() {
    let subject = start(&["--threads=1"]);
    let mut quitting = subject.server.connect();
    ask(&mut quitting, b"mn\r\nquit\r\nmn\r\n", b"MN\r\n");
    expect_end(&mut quitting);

    let mut resting = subject.server.connect();
    let value = vec![b'v'; 9_000_000];
    ask(&mut resting, &[&b"set k 0 0 9000000\r\n"[..], &value, b"\r\n"].concat(), b"STORED\r\n");
    let mut reading = subject.server.connect();
    reading.write_all(b"get k\r\n").unwrap();
    subject.server.settle();
    let stopping = thread::spawn(move || subject.server.terminate());
    expect(&mut reading, &[&b"VALUE k 0 9000000\r\n"[..], &value, b"\r\nEND\r\n"].concat());
    expect_end(&mut reading);
    expect_end(&mut resting);
    assert!(stopping.join().unwrap().0.success());
}

#[test]
fn an_unknown_dialect_is_closed() {
    let subject = start(&[]);
    for nonsense in [&b" get k\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0", b"\x81"] {
        let mut stream = subject.server.connect();
        stream.write_all(nonsense).unwrap();
        // Unread input makes the server reset the connection.
        assert!(
            answer(&mut stream).map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |said| said.is_empty())
        );
    }
    let mut endless = subject.server.connect();
    endless.write_all(&[b'a'; 3000]).unwrap();
    assert!(
        answer(&mut endless).map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |said| said.is_empty())
    );
}

#[test]
fn the_statistics_report_commands_and_limits() {
    let subject = start(&["--threads=3", "--max-bytes=100000000", "--max-connections=50"]);
    let mut stream = subject.server.connect();
    ask(&mut stream, b"set k 0 0 5\r\nhello\r\nget k none\r\n", b"STORED\r\nVALUE k 0 5\r\nhello\r\nEND\r\n");
    let settings = ["threads", "limit_maxbytes", "max_connections"].map(|name| subject.stat(name));
    assert_eq!(settings, [3, 100_000_000, 50]);
    assert_eq!(["cmd_get", "get_hits", "cmd_set"].map(|name| subject.stat(name)), [2, 1, 1]);
    // The one that sends the request, this one, and those of earlier requests, unless they have ended.
    assert!(subject.stat("curr_connections") >= 2);
    assert_eq!(subject.stat("total_connections"), 9);
    // A classic fetch counts its bytes too.
    let before = subject.stat("bytes_read");
    assert_eq!(subject.server.ask(&server::fetch(b"k")), b"hello");
    assert_eq!(subject.stat("bytes_read"), before + 6 + b"stats\r\nquit\r\n".len() as u64);
}

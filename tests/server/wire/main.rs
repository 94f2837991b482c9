//! Runs the wire transcripts of `tests/vectors` against the real server through sockets: each in one piece, and cut in
//! two.
//!
//! A cut is real: the server has read the first piece before the second is sent. To know that without waiting, the test
//! opens a later connection ([`Server::settle`]): a server with one worker serves connections in the order of arrival.
//! If the server accepts it in the same turn as the first one, it may still read both pieces at once. That makes no
//! test fail, and is rare. The same method shows that a connection is still open.

#![allow(clippy::unwrap_used)]

use sharedance_test_support::{server, vectors};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::path::PathBuf;
use std::thread;

use server::Server;
use tempfile::TempDir;
use vectors::{End, Exchange, Vector};

/// Exchanges up to this length are cut at all places. Each cut costs two connections.
const SHORT_EXCHANGE_LEN: usize = 512;

/// A longer exchange is cut at this many places from either end, and at the ends of the server's reads.
const CUTS_FROM_EACH_END: usize = 12;
const READ_LEN: usize = 4096;

/// An unoptimized server needs a good part of a second for such an exchange.
const HUGE_EXCHANGE_LEN: usize = 8 * 1024 * 1024;

fn all_vectors() -> Vec<Vector> {
    vectors_of("classic")
}

fn vectors_of(dialect: &str) -> Vec<Vector> {
    vectors::load(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors").join(dialect))
}

fn is_short(vector: &Vector) -> bool {
    longest(vector) <= SHORT_EXCHANGE_LEN
}

fn longest(vector: &Vector) -> usize {
    vector.exchanges.iter().map(|exchange| exchange.sent.len().max(exchange.expected.len())).max().unwrap_or(0)
}

/// One server for each limit that the vectors request.
struct Servers {
    of_limit: Vec<(Option<usize>, Server)>,
    _directories: Vec<TempDir>,
}

impl Servers {
    fn start(vectors: &[Vector], arguments: &[&str]) -> Servers {
        let mut limits: Vec<_> = vectors.iter().map(|vector| vector.limit).collect();
        limits.sort();
        limits.dedup();
        let mut servers = Servers { of_limit: Vec::new(), _directories: Vec::new() };
        for limit in limits {
            let directory = tempfile::tempdir().unwrap();
            let limit_argument = limit.map(|limit| format!("--maxreadsize={limit}"));
            let arguments: Vec<&str> = arguments.iter().copied().chain(limit_argument.as_deref()).collect();
            servers.of_limit.push((limit, Server::start(directory.path(), &arguments)));
            servers._directories.push(directory);
        }
        servers
    }

    fn for_vector(&self, vector: &Vector) -> &Server {
        let (_, server) = self.of_limit.iter().find(|(limit, _)| *limit == vector.limit).unwrap();
        server
    }

    /// Ends the servers, and fails if one has logged a warning.
    fn end(self) {
        for (_, server) in self.of_limit {
            let (status, log) = server.terminate();
            assert!(status.success(), "{status}\n{log}");
            assert!(!log.contains("error:") && !log.contains("warning: refusing"), "{log}");
        }
    }
}

#[test]
fn classic_vectors_pass_in_one_piece_and_cut_in_two() {
    let vectors = all_vectors();
    let servers = Servers::start(&vectors, &["--threads=1"]);
    for vector in &vectors {
        let server = servers.for_vector(vector);
        for exchange in &vector.exchanges {
            check(exchange, &[], server);
        }
        // Each round runs the whole file, so that every exchange finds the pairs of those before it.
        let cuts: Vec<Vec<usize>> = vector.exchanges.iter().map(places_to_cut).collect();
        let rounds = cuts.iter().map(Vec::len).max().unwrap_or(0);
        for round in 0..rounds {
            for (exchange, cuts) in vector.exchanges.iter().zip(&cuts) {
                check(exchange, cuts.get(round..=round).unwrap_or_default(), server);
            }
        }
    }
    servers.end();
}

#[test]
fn classic_vectors_pass_a_byte_at_a_time() {
    let vectors: Vec<Vector> = all_vectors().into_iter().filter(is_short).collect();
    let servers = Servers::start(&vectors, &["--threads=1"]);
    for vector in &vectors {
        for exchange in &vector.exchanges {
            check(exchange, &exchange.cuts(), servers.for_vector(vector));
        }
    }
    servers.end();
}

#[test]
fn classic_vectors_pass_with_every_read_buffer_size() {
    let vectors: Vec<Vector> = all_vectors().into_iter().filter(|vector| longest(vector) < 8192).collect();
    for read_len in ["1", "2", "9", "64", "65536"] {
        let servers = Servers::start(&vectors, &["--threads=1", "--readsize", read_len]);
        for vector in &vectors {
            for exchange in &vector.exchanges {
                check(exchange, &[], servers.for_vector(vector));
            }
        }
        servers.end();
    }
}

#[test]
fn classic_vectors_pass_in_parallel_on_several_workers() {
    const CLIENTS: usize = 8;
    let vectors: Vec<Vector> = all_vectors().into_iter().filter(|vector| longest(vector) < HUGE_EXCHANGE_LEN).collect();
    let servers = Servers::start(&vectors, &["--threads=3"]);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (vectors, servers) = (&vectors, &servers);
            scope.spawn(move || {
                for vector in vectors.iter().skip(client).step_by(CLIENTS) {
                    for exchange in &vector.exchanges {
                        let mut peer = Peer::connect(servers.for_vector(vector));
                        peer.send(&exchange.sent);
                        // With several workers, only a connection that ends can be checked.
                        if exchange.end != End::Waiting {
                            peer.check_end(exchange, &[]);
                        }
                    }
                }
            });
        }
    });
    servers.end();
}

/// The server's unit tests cut these at every place, without sockets.
#[test]
fn memcached_vectors_pass() {
    const CUTS: usize = 8;
    let vectors = vectors_of("memcached");
    for read_len in ["4096", "7"] {
        let servers = Servers::start(&vectors, &["--threads=1", "--readsize", read_len]);
        for vector in &vectors {
            let server = servers.for_vector(vector);
            for exchange in &vector.exchanges {
                check(exchange, &[], server);
                let cuts = exchange.cuts();
                for cut in cuts.iter().step_by(cuts.len().div_ceil(CUTS).max(1)) {
                    check(exchange, &[*cut], server);
                }
            }
        }
        servers.end();
    }
}

/// Runs one exchange in pieces that end at `cuts`, and checks the outcome.
fn check(exchange: &Exchange, cuts: &[usize], server: &Server) {
    let mut peer = Peer::connect(server);
    let mut sent = 0;
    for &cut in cuts {
        peer.send(&exchange.sent[sent..cut]);
        server.settle();
        sent = cut;
    }
    peer.send(&exchange.sent[sent..]);
    if exchange.end == End::Waiting {
        server.settle();
        assert!(!peer.is_refused && peer.is_open(), "{}, cut at {cuts:?}: closed or answered", exchange.place);
    }
    peer.check_end(exchange, cuts);
}

fn places_to_cut(exchange: &Exchange) -> Vec<usize> {
    let len = exchange.sent.len();
    let all = exchange.cuts();
    if len <= SHORT_EXCHANGE_LEN {
        return all;
    }
    let from_each_end = if len >= HUGE_EXCHANGE_LEN { 1 } else { CUTS_FROM_EACH_END };
    let is_near = |places: Range<usize>| move |at: usize| places.contains(&at);
    let (near_start, near_end) = (is_near(0..from_each_end + 1), is_near(len - from_each_end..len));
    // Beyond the reads that identify the request, the pieces go directly into the buffer.
    let near_read = is_near(READ_LEN - 1..READ_LEN + 2);
    let is_interesting = |&at: &usize| near_start(at) || near_end(at) || near_read(at) || at == len / 2;
    let also = [READ_LEN - 1, READ_LEN, READ_LEN + 1, len / 2];
    let mut places: Vec<usize> = all.into_iter().chain(also).filter(is_interesting).filter(|&at| at < len).collect();
    places.sort();
    places.dedup();
    places
}

/// A client as the vectors describe it.
struct Peer {
    stream: TcpStream,
    /// True if a send failed because the server has closed.
    is_refused: bool,
}

impl Peer {
    fn connect(server: &Server) -> Peer {
        Peer { stream: server.connect(), is_refused: false }
    }

    fn send(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Ok(()) => {}
            Err(error) if is_end(&error) => self.is_refused = true,
            Err(error) => panic!("cannot send: {error}"),
        }
    }

    /// Returns true if the server has neither responded nor closed.
    fn is_open(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    fn check_end(mut self, exchange: &Exchange, cuts: &[usize]) {
        let place = format!("{}, cut at {cuts:?}", exchange.place);
        if exchange.shuts_down || exchange.end == End::Waiting {
            // If the server has closed already, there is nothing to shut down.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
        let mut answer = Vec::with_capacity(exchange.expected.len() + 1);
        let end = self.stream.read_to_end(&mut answer);
        // Not assert_eq: its message would contain megabytes.
        assert!(answer == exchange.expected, "{place}: another response, of {} bytes", answer.len());
        match end {
            Ok(_) => {}
            Err(error) if is_end(&error) && matches!(exchange.end, End::Refused { .. }) => {}
            Err(error) => panic!("{place}: {error}"),
        }
        assert!(!self.is_refused || matches!(exchange.end, End::Refused { .. }), "{place}: closed too early");
    }
}

fn is_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

//! One connection, with both of its ends in the test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polling::Poller;
use sharedance_core::protocol::classic::encode_request;
use sharedance_core::protocol::{Limits, Request};
use sharedance_core::store::{Background, Batch, Durability, Options};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::pace::PAUSES;
use super::state::State;
use super::{CloseReason, Connection, ConnectionOptions, TransportContext, TurnContext, WaitingFor};
use crate::access::AccessControl;
use crate::buffers::{Budget, Output};
use crate::commands::{Service, Settings};
use crate::listen::{ListenerKind, ListenerOptions};
use crate::locks::{ConnectionId, Locks};
use crate::observe::{AllCounters, Latencies};
use crate::process::logging::LogLimits;

const ID: ConnectionId = ConnectionId { worker: 0, token: 0, serial: 1 };
const READSIZE: usize = 4096;
const TIMEOUT: Duration = Duration::from_secs(60);

/// A value that shares its segment with others, and is larger than what the sockets hold.
const VALUE_LEN: usize = 1_000_000;

struct Fixture {
    store: Batch,
    options: ConnectionOptions,
    service: Service,
    locks: Locks,
    scratch: Vec<u8>,
    transport: TransportContext,
    output: Output,
    now: Instant,
    may_wait: bool,
    _directory: TempDir,
}

impl Fixture {
    fn new(budget: usize) -> Fixture {
        Fixture::with_durability(budget, Durability::Os)
    }

    fn with_durability(budget: usize, durability: Durability) -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let store = Options::new()
            .background(Background::Manual)
            .durability(durability)
            .open(directory.path())
            .unwrap()
            .batch();
        store.set(b"key", value()).unwrap();
        let options = ConnectionOptions {
            limits: Limits::default(),
            readsize: READSIZE,
            timeout: TIMEOUT,
            max_connection_memory: usize::MAX,
            budget: Budget::new(budget),
        };
        Fixture {
            store,
            options,
            service: Service {
                counters: AllCounters::new(1),
                latencies: Latencies::new(1, None),
                settings: Settings::default(),
                started: Duration::ZERO,
                log: Arc::new(LogLimits::new(Instant::now())),
                access: AccessControl::new(None, 1),
            },
            locks: Locks::new(&[Arc::new(Poller::new().unwrap())], Instant::now()),
            scratch: vec![0; 2 * READSIZE],
            transport: TransportContext {
                #[cfg(feature = "tls")]
                tls: super::TlsWorker::new(None, Budget::new(0), Arc::default()),
            },
            output: Output::default(),
            now: Instant::now(),
            may_wait: true,
            _directory: directory,
        }
    }

    fn advance(&mut self, connection: &mut Connection) -> Result<(), CloseReason> {
        connection.advance(&mut TurnContext {
            now: self.now,
            unix_time: Duration::ZERO,
            store: &self.store,
            options: &self.options,
            service: &self.service,
            counters: &self.service.counters.of_worker(0),
            latency: &self.service.latencies.recorder(0, self.now),
            clock: &Instant::now,
            locks: &self.locks,
            scratch: &mut self.scratch,
            transport: &mut self.transport,
            output: &mut self.output,
            id: ID,
            may_wait: self.may_wait,
            refusal: None,
        })
    }

    /// A connection and its peer. Their sockets hold little.
    fn connect(&self) -> (Connection, TcpStream) {
        self.connect_to(ListenerOptions::new(ListenerKind::Tcp))
    }

    fn connect_to(&self, options: ListenerOptions) -> (Connection, TcpStream) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.set_send_buffer_size(64 * 1024).unwrap();
        listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        listener.listen(1).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap().as_socket().unwrap()).unwrap();
        peer.set_nodelay(true).unwrap();
        peer.set_read_timeout(Some(TIMEOUT)).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        (Connection::new(socket.into(), options, ID, self.now), peer)
    }
}

fn value() -> Vec<u8> {
    (0..VALUE_LEN).map(|n| (n * 31 + n / 251) as u8).collect()
}

fn fetch() -> Vec<u8> {
    let mut request = Vec::new();
    encode_request(&Request::Fetch { key: b"key" }, &mut request).unwrap();
    request
}

#[test]
fn unsent_bytes_of_a_slow_peer_are_copied_and_pin_nothing() {
    let mut fixture = Fixture::new(16 * 1024 * 1024);
    let (mut connection, mut peer) = fixture.connect();
    peer.write_all(&fetch()).unwrap();
    fixture.advance(&mut connection).unwrap();
    assert_eq!(connection.waiting_for(), WaitingFor::SocketRoom);
    assert!(matches!(connection.state(), State::Classic(classic) if classic.has_copied_rest()));

    fixture.store.delete(b"key").unwrap();
    let reader = std::thread::spawn(move || {
        let mut received = Vec::new();
        peer.read_to_end(&mut received).map(|_| received)
    });
    while fixture.advance(&mut connection).is_ok() {
        std::thread::yield_now();
    }
    drop(connection);
    assert!(reader.join().unwrap().unwrap() == value());
}

#[test]
fn nothing_is_acknowledged_before_it_is_synced() {
    let mut store = Vec::new();
    encode_request(&Request::Store { key: b"key", value: b"value" }, &mut store).unwrap();
    let requests = [(&store[..], "OK\n", true), (b"set key 0 0 5\r\nvalue\r\nget key\r\n", "STORED\r\n", false)];
    for (request, response, is_over) in requests {
        let mut fixture = Fixture::with_durability(1 << 20, Durability::Always);
        fixture.store.sync().unwrap();
        let (mut connection, mut peer) = fixture.connect();
        peer.write_all(request).unwrap();
        for _ in 0..2 {
            fixture.advance(&mut connection).unwrap();
            assert_eq!(connection.waiting_for(), WaitingFor::Sync);
        }
        peer.set_nonblocking(true).unwrap();
        let kind = peer.read(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(kind, Err(std::io::ErrorKind::WouldBlock));
        peer.set_nonblocking(false).unwrap();
        fixture.store.sync().unwrap();
        // Other connections write meanwhile.
        fixture.store.set(b"other key", b"value").unwrap();
        connection.end_sync_wait();
        assert_eq!(fixture.advance(&mut connection).is_err(), is_over);
        let mut received = vec![0; response.len()];
        peer.read_exact(&mut received).unwrap();
        assert_eq!(received, response.as_bytes());
    }
}

#[test]
fn a_connection_that_may_not_wait_syncs_at_once() {
    let mut fixture = Fixture::with_durability(1 << 20, Durability::Always);
    let (mut connection, mut peer) = fixture.connect();
    let mut store = Vec::new();
    encode_request(&Request::Store { key: b"key", value: b"value" }, &mut store).unwrap();
    peer.write_all(&store).unwrap();
    fixture.may_wait = false;
    assert!(matches!(fixture.advance(&mut connection), Err(CloseReason::Completed)));
    assert!(!fixture.store.needs_sync());
    let mut received = [0; 3];
    peer.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"OK\n");
}

#[test]
fn a_response_beyond_the_budget_ends_in_a_reset() {
    let mut fixture = Fixture::new(1000);
    let (mut connection, mut peer) = fixture.connect();
    peer.write_all(&fetch()).unwrap();
    assert!(matches!(fixture.advance(&mut connection), Err(CloseReason::OverBudget)));
    drop(connection);
    let end = peer.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
    assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn the_time_for_a_request_grows_with_what_has_arrived() {
    let mut fixture = Fixture::new(16 * 1024 * 1024);
    let (mut connection, mut peer) = fixture.connect();
    let mut request = Vec::new();
    encode_request(&Request::Store { key: b"key", value: &value() }, &mut request).unwrap();
    peer.write_all(&request[..5]).unwrap();
    fixture.now += TIMEOUT * PAUSES;
    fixture.advance(&mut connection).unwrap();

    // Another second for each 16 KiB, once they have arrived.
    peer.write_all(&request[5..40_000]).unwrap();
    while connection.pace().transferred() < 40_000 {
        fixture.advance(&mut connection).unwrap();
    }
    fixture.now += Duration::from_secs(2);
    fixture.advance(&mut connection).unwrap();
    fixture.now += Duration::from_secs(1);
    assert!(matches!(fixture.advance(&mut connection), Err(CloseReason::TooSlow)));
}

/// The header of a `noop` request with this opaque.
fn binary_noop(opaque: [u8; 4]) -> [u8; 24] {
    let mut header = [0; 24];
    (header[0], header[1]) = (0x80, 0x0a);
    header[12..16].copy_from_slice(&opaque);
    header
}

#[test]
fn a_dialect_that_the_listener_does_not_allow_is_refused_in_that_dialect() {
    let text_refusal = b"CLIENT_ERROR the text dialect is not allowed on this connection\r\n";
    let binary_refusal =
        [&[0x81, 0x0a, 0, 0, 0, 0, 0, 0x83, 0, 0, 0, 13, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0][..], b"Not supported"]
            .concat();
    let binary = binary_noop([1, 2, 3, 4]);
    let requests = [
        ("classic+binary", &b"get key\r\nget key\r\n"[..], &text_refusal[..]),
        ("classic+text", &binary, &binary_refusal),
    ];
    for (dialects, request, refusal) in requests {
        for piece_len in [1, 7, request.len()] {
            let mut fixture = Fixture::new(1 << 20);
            let options =
                ListenerOptions { dialects: dialects.parse().unwrap(), ..ListenerOptions::new(ListenerKind::Tcp) };
            let (mut connection, mut peer) = fixture.connect_to(options);
            let mut ended = None;
            for piece in request.chunks(piece_len) {
                peer.write_all(piece).unwrap();
                ended = ended.or(fixture.advance(&mut connection).err());
            }
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            while ended.is_none() {
                ended = fixture.advance(&mut connection).err();
            }
            assert!(matches!(ended, Some(CloseReason::Completed)), "{ended:?}");
            drop(connection);
            let mut received = vec![0; refusal.len()];
            peer.read_exact(&mut received).unwrap();
            assert_eq!(received, refusal, "{dialects}, {piece_len} bytes at a time");
            assert_eq!(fixture.service.counters.of_worker(0).refused_dialects.count(), 1);
        }
    }
}

/// Without a response, an orderly close means in this dialect that there is no such pair.
#[test]
fn the_classic_dialect_is_refused_by_a_reset() {
    let mut fixture = Fixture::new(1 << 20);
    let options =
        ListenerOptions { dialects: "text+binary".parse().unwrap(), ..ListenerOptions::new(ListenerKind::Tcp) };
    let (mut connection, mut peer) = fixture.connect_to(options);
    peer.write_all(&fetch()).unwrap();
    let reason = fixture.advance(&mut connection).unwrap_err();
    assert!(matches!(reason, CloseReason::DialectNotAllowed) && reason.is_without_decision());
    assert!(connection.is_undecided());
    assert_eq!(fixture.service.counters.of_worker(0).refused_dialects.count(), 1);
}

/// Both ends of a connection on a Unix socket, with little room in between.
fn unix_pair(fixture: &Fixture) -> (Connection, UnixStream) {
    let (socket, peer) = UnixStream::pair().unwrap();
    socket2::SockRef::from(&socket).set_send_buffer_size(64 * 1024).unwrap();
    socket.set_nonblocking(true).unwrap();
    peer.set_read_timeout(Some(TIMEOUT)).unwrap();
    (Connection::new(socket.into(), ListenerOptions::new(ListenerKind::Unix), ID, fixture.now), peer)
}

/// The end of a Unix socket is no reset, whatever its options are, so that a part looked like the whole value.
#[test]
fn a_value_that_was_sent_in_part_on_a_unix_socket_ends_in_a_reset() {
    let request = fetch();
    for piece_len in [1, request.len()] {
        let mut fixture = Fixture::new(16 * 1024 * 1024);
        let (mut connection, mut peer) = unix_pair(&fixture);
        for piece in request.chunks(piece_len) {
            peer.write_all(piece).unwrap();
            fixture.advance(&mut connection).unwrap();
        }
        assert_eq!(connection.waiting_for(), WaitingFor::SocketRoom);
        drop(connection);
        let end = peer.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
    }
}

#[test]
fn a_whole_value_on_a_unix_socket_ends_in_order() {
    let request = fetch();
    for (piece_len, value) in
        [(1, value()), (request.len(), value()), (1, b"short".to_vec()), (request.len(), Vec::new())]
    {
        let mut fixture = Fixture::new(16 * 1024 * 1024);
        match value.is_empty() {
            true => assert!(fixture.store.delete(b"key").unwrap()),
            false => fixture.store.set(b"key", &value).unwrap(),
        }
        let (mut connection, mut peer) = unix_pair(&fixture);
        let mut ended = Ok(());
        for piece in request.chunks(piece_len) {
            peer.write_all(piece).unwrap();
            ended = fixture.advance(&mut connection);
        }
        let reader = std::thread::spawn(move || {
            let mut received = Vec::new();
            peer.read_to_end(&mut received).map(|_| received)
        });
        while ended.is_ok() {
            std::thread::yield_now();
            ended = fixture.advance(&mut connection);
        }
        assert!(matches!(ended, Err(CloseReason::Completed)));
        drop(connection);
        assert!(reader.join().unwrap().unwrap() == value, "{} bytes", value.len());
    }
}

#[test]
fn bytes_behind_a_request_that_fills_the_buffer_are_detected_on_a_unix_socket() {
    for extra in [0, 1] {
        let mut fixture = Fixture::new(16 * 1024 * 1024);
        let (mut connection, mut peer) = unix_pair(&fixture);
        let mut request = Vec::new();
        encode_request(&Request::Fetch { key: &[b'k'; 100] }, &mut request).unwrap();
        fixture.options.readsize = request.len();
        request.extend(vec![b'x'; extra]);
        peer.write_all(&request).unwrap();
        let reason = fixture.advance(&mut connection).unwrap_err();
        assert_eq!(matches!(reason, CloseReason::InvalidRequest(_)), extra > 0, "{reason}");
    }
}

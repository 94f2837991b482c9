//! A worker, turn by turn, with its peers and a clock that the test moves.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use polling::Poller;
use rustix::process::geteuid;
use sharedance_core::protocol::Limits;
use sharedance_core::store::{Background, Durability, Options};
use tempfile::TempDir;

use super::context::Shared;
use super::handover::Handover;
use super::readiness::Readiness;
use super::turn::Reactor;
use crate::access::{AccessControl, Credentials, REFUSAL_DELAY};
use crate::buffers::Budget;
use crate::commands::{Service, Settings};
use crate::connection::{ConnectionOptions, WaitingFor};
use crate::listen::{self, ConnectionLimit, Listening};
use crate::locks::Locks;
use crate::observe::{AllCounters, CommandKind, Latencies, PauseKind};
use crate::process::logging::LogLimits;

const TIMEOUT: Duration = Duration::from_secs(60);

struct Fixture {
    reactor: Reactor,
    readiness: Readiness,
    address: std::net::SocketAddr,
    _directory: TempDir,
}

impl Fixture {
    fn new(durability: Durability) -> Fixture {
        Fixture::with_access(durability, AccessControl::new(None, 1))
    }

    /// A server with one user, which delays at most one connection in eight of so many.
    fn with_credentials(max_connections: usize) -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth");
        std::fs::write(&path, "ada:secret\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let credentials = Credentials::load(&path, geteuid().as_raw()).unwrap();
        let access = AccessControl::new(Some(Arc::new(credentials)), max_connections);
        Fixture::with_access(Durability::Os, access)
    }

    fn with_access(durability: Durability, access: AccessControl) -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let store =
            Options::new().background(Background::Manual).durability(durability).open(directory.path()).unwrap();
        let spec = "tcp:127.0.0.1:0".parse().unwrap();
        let Listening { mut per_worker, addresses, .. } = listen::listen(&[spec], 16, 1).unwrap();
        let address = addresses[0].as_socket_addr().unwrap();
        let poller = Arc::new(Poller::new().unwrap());
        let locks = Arc::new(Locks::new(&[Arc::clone(&poller)], Instant::now()));
        let handover = Arc::new(Handover::new(&[Arc::clone(&poller)]));
        let shared = Shared {
            connection_options: ConnectionOptions {
                limits: Limits::default(),
                readsize: 4096,
                timeout: TIMEOUT,
                max_connection_memory: usize::MAX,
                budget: Budget::new(1 << 30),
            },
            service: Service {
                counters: AllCounters::new(1),
                latencies: Latencies::new(1, Some(Duration::from_secs(1))),
                settings: Settings::default(),
                started: Duration::ZERO,
                log: Arc::new(LogLimits::new(Instant::now())),
                access,
            },
            idle_timeout: None,
            connection_limit: ConnectionLimit::new(100),
            allowed: Vec::new(),
            #[cfg(feature = "tls")]
            tls: None,
            is_stopping: AtomicBool::new(false),
        };
        let listeners = per_worker.pop().unwrap();
        let readiness = Readiness::new(Arc::clone(&poller));
        let reactor = Reactor::new(poller, listeners, 0, Arc::new(shared), locks, handover, store).unwrap();
        Fixture { reactor, readiness, address, _directory: directory }
    }

    fn turn(&mut self) {
        self.readiness.wait(Some(Duration::ZERO)).unwrap();
        self.reactor.turn(self.readiness.keys()).unwrap();
    }

    /// Sends a request, and waits until it has arrived.
    fn send(&mut self, peer: &mut TcpStream, request: &[u8]) {
        peer.write_all(request).unwrap();
        self.readiness.wait(Some(TIMEOUT)).unwrap();
    }

    /// A peer that sends `request`, and the token of its connection.
    fn connect(&mut self, request: &[u8]) -> (TcpStream, usize) {
        let mut peer = TcpStream::connect(self.address).unwrap();
        peer.set_nodelay(true).unwrap();
        peer.set_read_timeout(Some(TIMEOUT)).unwrap();
        let token = self.reactor.connections.next_token();
        self.send(&mut peer, request);
        self.turn();
        (peer, token)
    }

    fn waiting_for(&mut self, token: usize) -> WaitingFor {
        self.reactor.connections.get_mut(token).unwrap().waiting_for()
    }

    /// How many requests of this kind there were, and the longest latency in seconds.
    fn latency(&self, kind: CommandKind) -> (u64, u64) {
        let distribution = self.reactor.context.shared.service.latencies.command(kind);
        (distribution.count(), distribution.quantile(1.0).as_secs())
    }

    /// How many pauses of this kind there were, and the length of the longest in seconds.
    fn pause(&self, kind: PauseKind) -> (u64, u64) {
        let distribution = self.reactor.context.shared.service.latencies.pause(kind);
        (distribution.count(), distribution.quantile(1.0).as_secs())
    }

    /// Sets the clock to so much later than the last turn.
    fn skip(&mut self, time: Duration) {
        let now = self.reactor.context.now + time;
        self.reactor.context.clock = Box::new(move || now);
    }

    /// Lets the clock advance by `step` at each reading.
    fn let_time_pass(&mut self, step: Duration) {
        let time = Mutex::new(self.reactor.context.now);
        self.reactor.context.clock = Box::new(move || {
            let mut time = time.lock().unwrap();
            *time += step;
            *time
        });
    }
}

fn expect(peer: &mut TcpStream, expected: &[u8]) {
    let mut received = vec![0; expected.len()];
    peer.read_exact(&mut received).unwrap();
    assert_eq!(String::from_utf8_lossy(&received), String::from_utf8_lossy(expected));
}

fn expect_nothing(peer: &mut TcpStream) {
    peer.set_nonblocking(true).unwrap();
    assert_eq!(peer.read(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    peer.set_nonblocking(false).unwrap();
}

/// A connection that waits for a sync while it is reported, or continues by itself, is in the list of waiting connections
/// once. It was in it twice, and its wait was ended once too often: its next response was sent before the sync.
#[test]
fn every_response_waits_for_the_sync_of_what_it_acknowledges() {
    let set = b"set k 0 0 1\r\nv\r\n".as_slice();
    // The second burst is more than a turn allows to one connection.
    for burst in [set.to_vec(), set.repeat(700)] {
        let mut fixture = Fixture::new(Durability::Always);
        let (mut peer, token) = fixture.connect(set);
        expect(&mut peer, b"STORED\r\n");
        let mut acknowledged = Vec::new();
        for _ in 0..20 {
            fixture.send(&mut peer, &burst);
            // The connection may wait for a sync when it is reported again.
            for more in [b"".as_slice(), set] {
                if !more.is_empty() {
                    fixture.send(&mut peer, more);
                }
                fixture.turn();
                if fixture.reactor.context.store.needs_sync() {
                    assert_eq!(fixture.waiting_for(token), WaitingFor::Sync, "acknowledged without a sync");
                }
            }
        }
        let expected = b"STORED\r\n".repeat((burst.len() / set.len() + 1) * 20);
        peer.set_nonblocking(true).unwrap();
        while acknowledged.len() < expected.len() {
            fixture.turn();
            let mut received = [0; 4096];
            match peer.read(&mut received) {
                Ok(len) => acknowledged.extend_from_slice(&received[..len]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert_eq!(acknowledged, expected);
    }
}

/// The turn used the time of its beginning until its end, and the next wait was counted from there.
#[test]
fn a_wait_for_a_lock_that_ends_during_a_sync_is_not_late() {
    let mut fixture = Fixture::new(Durability::Always);
    let (mut holder, _) = fixture.connect(b"lock k 0 60\r\n");
    expect(&mut holder, b"LOCKED\r\n");
    let (mut waiter, token) = fixture.connect(b"lock k 5000 60\r\n");
    assert_eq!(fixture.waiting_for(token), WaitingFor::Lock);

    fixture.let_time_pass(Duration::from_secs(3));
    // Three seconds have passed when the turn begins, six when its sync begins, and nine when that has ended.
    fixture.send(&mut holder, b"set k 0 0 1\r\nv\r\n");
    fixture.turn();
    expect(&mut holder, b"STORED\r\n");
    expect(&mut waiter, b"TIMEOUT\r\n");
}

#[test]
fn the_next_wait_is_shorter_by_the_length_of_the_turn() {
    let mut fixture = Fixture::new(Durability::Os);
    let (_holder, _) = fixture.connect(b"lock k 0 60\r\n");
    let (mut waiter, _) = fixture.connect(b"lock k 5000 60\r\n");
    fixture.let_time_pass(Duration::from_secs(3));
    fixture.turn();
    expect_nothing(&mut waiter);
    assert_eq!(fixture.reactor.wait_time(None), Some(Duration::ZERO));
    fixture.turn();
    expect(&mut waiter, b"TIMEOUT\r\n");
}

/// Bytes that arrived during a sync were not seen before its end, and are in time.
#[test]
fn the_time_of_a_sync_does_not_count_against_the_peers() {
    let mut fixture = Fixture::new(Durability::Always);
    let (mut slow, slow_token) = fixture.connect(b"set k 0 0 5\r\nhal");
    let (mut writer, _) = fixture.connect(b"mn\r\n");
    expect(&mut writer, b"MN\r\n");
    fixture.let_time_pass(TIMEOUT * 2 / 3);
    fixture.send(&mut writer, b"set other 0 0 1\r\nv\r\n");
    fixture.turn();
    expect(&mut writer, b"STORED\r\n");
    assert_eq!(fixture.waiting_for(slow_token), WaitingFor::Request);

    fixture.send(&mut slow, b"f!\r\n");
    fixture.turn();
    expect(&mut slow, b"STORED\r\n");
}

#[test]
fn a_latency_contains_the_wait_for_other_connections_of_the_turn() {
    let mut fixture = Fixture::new(Durability::Os);
    let (mut first, _) = fixture.connect(b"mn\r\n");
    let (mut second, _) = fixture.connect(b"mn\r\n");
    fixture.let_time_pass(Duration::from_secs(1));
    first.write_all(b"get a b\r\nset a 0 0 5\r\nvalue\r\n").unwrap();
    fixture.send(&mut second, b"delete a\r\n");
    while fixture.latency(CommandKind::Delete).0 == 0 || fixture.latency(CommandKind::Set).0 == 0 {
        fixture.turn();
    }
    assert_eq!((fixture.latency(CommandKind::Get).0, fixture.latency(CommandKind::Set).0), (2, 1));
    let latencies = &fixture.reactor.context.shared.service.latencies;
    let slow = latencies.slow_log().recent();
    let of = |kind| slow.iter().find(|request| request.command == kind).unwrap();
    let set = of(CommandKind::Set);
    assert_eq!((set.requests, set.key_len, set.value_len), (3, 1, 5));
    let delete = of(CommandKind::Delete);
    assert_eq!((delete.requests, delete.key_len, delete.value_len), (1, 1, 0));
    // The one that was served second in the same turn has waited for the first.
    if fixture.pause(PauseKind::Turn) == (1, 2) {
        let waited: Duration = slow.iter().map(|request| request.waited).sum();
        let latency: Duration = slow.iter().map(|request| request.latency).sum();
        assert_eq!((waited.as_secs(), latency.as_secs()), (1, 3));
    } else {
        assert!(slow.iter().all(|request| request.waited.is_zero() && request.latency.as_secs() == 1));
    }
}

#[test]
fn a_latency_contains_the_sync_and_not_the_wait_for_a_lock() {
    let mut fixture = Fixture::new(Durability::Always);
    let (mut holder, _) = fixture.connect(b"lock k 0 60\r\n");
    let (mut waiter, token) = fixture.connect(b"lock k 60000 60\r\n");
    assert_eq!(fixture.waiting_for(token), WaitingFor::Lock);
    assert_eq!((fixture.pause(PauseKind::LockWait).0, fixture.pause(PauseKind::Sync).0), (0, 0));

    fixture.let_time_pass(Duration::from_secs(1));
    // The turn begins after a second, the sync after two, and ends after three.
    fixture.send(&mut holder, b"set k 0 0 1\r\nv\r\n");
    fixture.turn();
    expect(&mut holder, b"LOCKED\r\nSTORED\r\n");
    assert_eq!(fixture.latency(CommandKind::Set), (1, 2));
    assert_eq!(fixture.pause(PauseKind::Sync), (1, 1));
    let slow = &fixture.reactor.context.shared.service.latencies.slow_log().recent()[0];
    assert_eq!((slow.synced.as_secs(), slow.latency.as_secs(), slow.value_len), (1, 2, 1));

    fixture.send(&mut holder, b"unlock k\r\n");
    fixture.turn();
    expect(&mut waiter, b"LOCKED\r\n");
    let (count, longest) = fixture.pause(PauseKind::LockWait);
    assert!(count == 1 && longest >= 4, "{count} {longest}");
    assert_eq!(fixture.latency(CommandKind::Lock).0, 2);
}

const WRONG: &[u8] = b"set a 0 0 9\r\nada wrong\r\nget a\r\n";
const REFUSED: &[u8] = b"CLIENT_ERROR authentication failure\r\n";

#[test]
fn the_response_to_wrong_credentials_is_delayed() {
    let mut fixture = Fixture::with_credentials(100);
    let (mut peer, token) = fixture.connect(WRONG);
    assert_eq!(fixture.waiting_for(token), WaitingFor::Delay);
    assert!(fixture.reactor.wait_time(None).is_some_and(|time| time <= REFUSAL_DELAY));
    fixture.skip(REFUSAL_DELAY - Duration::from_millis(1));
    fixture.turn();
    expect_nothing(&mut peer);
    fixture.skip(Duration::from_millis(1));
    fixture.turn();
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    assert_eq!(received.escape_ascii().to_string(), REFUSED.escape_ascii().to_string());
    assert!(fixture.reactor.connections.is_empty());
}

#[test]
fn a_limited_number_of_refusals_is_delayed_and_the_others_get_no_response() {
    let mut fixture = Fixture::with_credentials(16);
    let (mut first, _) = fixture.connect(WRONG);
    let (mut second, _) = fixture.connect(WRONG);
    let (mut third, _) = fixture.connect(WRONG);
    let ended = third.read_to_end(&mut Vec::new());
    assert!(ended.is_err() || ended.unwrap() == 0);
    // Right credentials are accepted all the same.
    let (mut other, _) = fixture.connect(b"set a 0 0 10\r\nada secret\r\n");
    expect(&mut other, b"STORED\r\n");
    fixture.skip(REFUSAL_DELAY);
    fixture.turn();
    expect(&mut first, REFUSED);
    expect(&mut second, REFUSED);
    let (mut fourth, token) = fixture.connect(WRONG);
    assert_eq!(fixture.waiting_for(token), WaitingFor::Delay);
    // A peer that does not wait for the response makes room at once.
    socket2::SockRef::from(&fourth).set_linger(Some(Duration::ZERO)).unwrap();
    drop(std::mem::replace(&mut fourth, first));
    fixture.readiness.wait(Some(TIMEOUT)).unwrap();
    fixture.reactor.turn(fixture.readiness.keys()).unwrap();
    assert!(fixture.reactor.connections.get_mut(token).is_none());
}

#[test]
fn a_connection_without_credentials_is_not_kept_idle() {
    let mut fixture = Fixture::with_credentials(100);
    let (mut peer, token) = fixture.connect(b"get a\r\n");
    expect(&mut peer, b"CLIENT_ERROR unauthenticated\r\n");
    assert_eq!(fixture.waiting_for(token), WaitingFor::Request);
    let (mut other, other_token) = fixture.connect(b"set a 0 0 10\r\nada secret\r\n");
    expect(&mut other, b"STORED\r\n");
    assert_eq!(fixture.waiting_for(other_token), WaitingFor::NextRequest);
    fixture.skip(TIMEOUT);
    fixture.turn();
    assert!(fixture.reactor.connections.get_mut(token).is_none());
    assert_eq!(fixture.waiting_for(other_token), WaitingFor::NextRequest);
}

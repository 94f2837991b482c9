//! The dialects of memcached without sockets: the wire transcripts, and what they do not cover.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polling::Poller;
use proptest::prelude::*;
use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::protocol::{DecodeError, Limits, memcached};
use sharedance_core::store::{self, Background, Store};
use sharedance_test_support::vectors::{self, End, Exchange};
use tempfile::TempDir;

use super::{Context, Interpreter, Service, Settings, Step};
use crate::access::{Access, AccessControl, Credentials};
use crate::buffers::Output;
use crate::locks::{ConnectionId, LockOutcome, LockRequest, Locks};
use crate::observe::{AllCounters, Counters, Latencies, LatencyRecorder};
use crate::process::logging::LogLimits;

const CONNECTION: ConnectionId = ConnectionId { worker: 0, token: 0, serial: 0 };

const START: Duration = Duration::from_secs(1_700_000_000);

static UNRESTRICTED: Access = Access::new(false, true, false);

/// A server without sockets.
struct TestServer {
    directory: TempDir,
    store: Store,
    clock: ManualClock,
    service: Service,
    counters: Arc<Counters>,
    latency: LatencyRecorder,
    locks: Locks,
    limits: Limits,
    unix_time: Duration,
}

/// The result of an exchange.
struct Received {
    responses: Vec<u8>,
    end: End,
}

impl TestServer {
    fn new(limits: Limits) -> TestServer {
        let directory = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual();
        let options =
            store::Options::new().background(Background::Manual).segment_len(65_536).track_accesses(true).clock(clock);
        let store = options.open(directory.path()).unwrap();
        let service = Service {
            counters: AllCounters::new(1),
            latencies: Latencies::new(1, None),
            settings: Settings { threads: 1, ..Settings::default() },
            started: START,
            log: Arc::new(LogLimits::new(Instant::now())),
            access: AccessControl::new(None, 1),
        };
        let poller = Arc::new(Poller::new().unwrap());
        TestServer {
            directory,
            store,
            clock: hand,
            counters: service.counters.of_worker(0),
            latency: service.latencies.recorder(0, Instant::now()),
            service,
            locks: Locks::new(&[poller], Instant::now()),
            limits,
            unix_time: START,
        }
    }

    fn with_credentials(users: &str) -> TestServer {
        let mut server = TestServer::new(Limits::default());
        let path = server.directory.path().join("auth");
        std::fs::write(&path, users).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let credentials = Credentials::load(&path, rustix::process::geteuid().as_raw()).unwrap();
        server.service.access = AccessControl::new(Some(Arc::new(credentials)), 1);
        server
    }

    fn context(&self) -> Context<'_> {
        Context {
            store: &self.store,
            limits: &self.limits,
            counters: &self.counters,
            latency: &self.latency,
            service: &self.service,
            locks: &self.locks,
            access: &UNRESTRICTED,
            connection: CONNECTION,
            now: Instant::now(),
            unix_time: self.unix_time,
        }
    }

    fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.unix_time += by;
    }

    /// The responses to `sent`, which arrives in pieces that end at `arrivals`.
    fn exchange(&self, sent: &[u8], arrivals: &[usize]) -> Received {
        let mut interpreter = match sent[0] {
            memcached::binary::MAGIC => Interpreter::binary(),
            _ => Interpreter::text(),
        };
        let mut output = Output::default();
        let (mut at, mut needed) = (0, 1);
        for &arrived in arrivals {
            while arrived - at >= needed {
                match interpreter.step(&sent[at..arrived], &self.context(), &mut output) {
                    Ok(Step::Done { consumed }) => {
                        assert!(consumed > 0 && consumed <= arrived - at);
                        (at, needed) = (at + consumed, 1);
                    }
                    Ok(Step::Incomplete { needed: more }) => {
                        assert!(more > arrived - at);
                        needed = more;
                    }
                    Ok(Step::Last { .. }) => return Received { responses: output.bytes().clone(), end: End::Closed },
                    Ok(Step::LogIn { .. } | Step::Rejected { .. }) => panic!("this server has no credentials"),
                    Ok(Step::Lock { .. } | Step::Unlock { .. } | Step::UnlockAll { .. }) => {
                        panic!("this server has no connections that could hold locks")
                    }
                    Err(error) => {
                        let reason = match error {
                            DecodeError::LineTooLong { .. } => "line-too-long",
                            DecodeError::BlockEnd => "block-end",
                            DecodeError::Magic(_) => "magic",
                            _ => panic!("{error}"),
                        };
                        let responses = output.bytes().clone();
                        // The requests before it get their responses.
                        let is_silent = responses.is_empty();
                        let end = if is_silent { End::Refused { reason: reason.into() } } else { End::Closed };
                        return Received { responses, end };
                    }
                }
            }
        }
        Received { responses: output.bytes().clone(), end: End::Waiting }
    }

    fn responses(&self, sent: &str) -> String {
        String::from_utf8(self.exchange(sent.as_bytes(), &[sent.len()]).responses).unwrap()
    }
}

#[test]
fn transcripts_in_one_piece_in_two_at_each_offset_and_byte_by_byte() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/memcached");
    let mut exchanges = 0;
    for vector in vectors::load(&folder) {
        // Locks need the connections.
        if vector.name.starts_with("lock") {
            continue;
        }
        let max_request_len = vector.limit.unwrap_or(Limits::default().max_request_len);
        let server = TestServer::new(Limits { max_request_len });
        for exchange in &vector.exchanges {
            let len = exchange.sent.len();
            check(&server, exchange, &[len]);
            for cut in 1..len {
                check(&server, exchange, &[cut, len]);
            }
            check(&server, exchange, &(1..=len).collect::<Vec<_>>());
            exchanges += 1;
        }
        assert!(server.store.is_empty(), "{} leaves pairs behind", vector.name);
    }
    assert!(exchanges > 40);
}

fn check(server: &TestServer, exchange: &Exchange, arrivals: &[usize]) {
    let received = server.exchange(&exchange.sent, arrivals);
    let place = &exchange.place;
    let responses = received.responses.escape_ascii().to_string();
    assert_eq!(responses, exchange.expected.escape_ascii().to_string(), "{place}, arriving at {arrivals:?}");
    assert_eq!(received.end, exchange.end, "{place}, arriving at {arrivals:?}");
}

#[test]
fn no_value_has_version_zero() {
    let server = TestServer::new(Limits::default());
    let zero = |server: &TestServer, answer: [&str; 5]| {
        assert_eq!(server.responses("cas k 0 0 1 0\r\nb\r\n"), answer[0]);
        assert_eq!(server.responses("ms k 1 C0\r\nb\r\n"), answer[1]);
        assert_eq!(server.responses("ms k 1 C0 I\r\nb\r\n"), answer[2]);
        assert_eq!(server.responses("md k C0\r\n"), answer[3]);
        assert_eq!(server.responses("md k C0 I\r\n"), answer[4]);
    };
    zero(&server, ["NOT_FOUND\r\n", "NF\r\n", "NF\r\n", "NF\r\n", "NF\r\n"]);
    server.responses("set k 0 0 1\r\na\r\n");
    zero(&server, ["EXISTS\r\n", "EX\r\n", "EX\r\n", "EX\r\n", "EX\r\n"]);
    assert_eq!(server.responses("get k\r\n"), "VALUE k 0 1\r\na\r\nEND\r\n");
}

#[test]
fn versions_are_compared() {
    let server = TestServer::new(Limits::default());
    server.responses("set k 0 0 1\r\na\r\n");
    let version = server.store.get(b"k").unwrap().version();
    assert_eq!(server.responses("gets k\r\n"), format!("VALUE k 0 1 {version}\r\na\r\nEND\r\n"));
    assert_eq!(server.responses(&format!("cas k 0 0 1 {version}\r\nb\r\n")), "STORED\r\n");
    assert_eq!(server.responses(&format!("cas k 0 0 1 {version}\r\nc\r\n")), "EXISTS\r\n");
    let second = server.store.get(b"k").unwrap().version();
    assert_eq!(server.responses("mg k c\r\n"), format!("HD c{second}\r\n"));
    assert_eq!(server.responses(&format!("ms k 1 MA C{version}\r\nd\r\n")), "EX\r\n");
    assert!(server.responses(&format!("ms k 1 MA C{second} c\r\nd\r\n")).starts_with("HD c"));
    assert_eq!(server.responses(&format!("md k C{second}\r\n")), "EX\r\n");
    let third = server.store.get(b"k").unwrap().version();
    assert_eq!(server.responses(&format!("ms k 1 C{second} I\r\ns\r\nmg k v\r\n")), "HD\r\nVA 1 X W\r\ns\r\n");
    assert_ne!(server.store.get(b"k").unwrap().version(), third);
}

#[test]
fn an_exptime_is_relative_or_absolute() {
    let mut server = TestServer::new(Limits::default());
    let until = START.as_secs() + 50;
    server.responses(&format!("set relative 0 100 1\r\na\r\nset absolute 0 {until} 1\r\na\r\nset ever 0 0 1\r\na\r\n"));
    assert_eq!(server.responses("mg relative t\r\nmg absolute t\r\nmg ever t\r\n"), "HD t100\r\nHD t50\r\nHD t-1\r\n");
    server.advance(Duration::from_millis(49_500));
    assert_eq!(server.responses("mg absolute t\r\n"), "HD t1\r\n", "half a second is rounded up");
    server.advance(Duration::from_millis(500));
    assert_eq!(server.responses("mg relative t l h\r\nmg absolute\r\n"), "HD t50 l50 h1\r\nEN\r\n");
    assert_eq!(server.responses("touch relative 200\r\nmg relative t\r\n"), "TOUCHED\r\nHD t200\r\n");
    assert_eq!(server.responses("ma n N10 J5 t v\r\nma n t v D2\r\n"), "VA 1 t10\r\n5\r\nVA 1 t10\r\n7\r\n");
}

#[test]
fn a_flush_can_be_delayed() {
    let mut server = TestServer::new(Limits::default());
    assert_eq!(
        server.responses("set k 0 0 1\r\na\r\nflush_all 10\r\nget k\r\n"),
        "STORED\r\nOK\r\nVALUE k 0 1\r\na\r\nEND\r\n"
    );
    assert_eq!(server.store.clears_in(), Some(Duration::from_secs(10)));
    server.advance(Duration::from_millis(9_999));
    assert!(server.store.contains(b"k"));
    server.advance(Duration::from_millis(1));
    assert_eq!(
        server.responses("get k\r\nset k 0 0 1\r\nb\r\nget k\r\n"),
        "END\r\nSTORED\r\nVALUE k 0 1\r\nb\r\nEND\r\n"
    );
    for at_once in ["flush_all", "flush_all 0", "flush_all -1", "flush_all 4294967295"] {
        server.responses(&format!("set k 0 0 1\r\na\r\nflush_all 10\r\n{at_once}\r\n"));
        assert!(!server.store.contains(b"k") && server.store.clears_in().is_none(), "{at_once}, and not again");
    }
}

#[test]
fn a_delayed_flush_is_replaced_by_a_later_one_and_not_moved_by_a_step_of_the_clock() {
    let mut server = TestServer::new(Limits::default());
    let at = START.as_secs() + 40 * 24 * 3_600;
    server.responses(&format!("set k 0 0 1\r\na\r\nflush_all 10\r\nflush_all {at}\r\n"));
    assert_eq!(server.store.clears_in(), Some(Duration::from_secs(40 * 24 * 3_600)));
    server.responses("flush_all 20\r\n");
    server.unix_time += Duration::from_secs(1_000_000);
    server.clock.step_wall(server.unix_time);
    server.advance(Duration::from_secs(19));
    assert!(server.store.contains(b"k"));
    server.unix_time = START;
    server.clock.step_wall(START);
    server.advance(Duration::from_secs(1));
    assert!(!server.store.contains(b"k"));
}

#[test]
fn a_retrieval_of_many_keys_is_executed_key_by_key() {
    let server = TestServer::new(Limits { max_request_len: 4096 });
    server.responses("set k 0 0 1\r\na\r\n");
    let keys = "k ".repeat(100_000);
    let sent = format!("get {keys}\r\n");
    let mut interpreter = Interpreter::text();
    let mut output = Output::default();
    let (mut at, mut steps) = (0, 0);
    while at < sent.len() {
        // A small window is enough: no more than a key has to be kept.
        let window = &sent.as_bytes()[at..sent.len().min(at + 3000)];
        let Ok(Step::Done { consumed }) = interpreter.step(window, &server.context(), &mut output) else {
            panic!("at {at}");
        };
        at += consumed;
        steps += 1;
        assert!(output.bytes().len() <= 100, "a step responds to one key");
        output.bytes().clear();
    }
    assert!(steps >= 100_000);
    let long_key = format!("get {keys}{}\r\nget k\r\n", "x".repeat(251));
    let responses = server.responses(&long_key);
    assert_eq!(responses.matches("VALUE").count(), 100_001);
    assert!(
        responses.contains("CLIENT_ERROR bad command line format\r\nVALUE k 0 1\r\na\r\nEND\r\n"),
        "the next request is executed"
    );
}

#[test]
fn lock_requests_are_returned_to_the_caller() {
    let server = TestServer::new(Limits::default());
    let mut interpreter = Interpreter::text();
    let mut output = Output::default();
    let sent = b"lock key 1500 30\r\nunlock key\r\n";
    let step = interpreter.step(sent, &server.context(), &mut output).unwrap();
    let (wait, ttl) = (Duration::from_millis(1500), Duration::from_secs(30));
    assert_eq!(step, Step::Lock { consumed: 18, key: b"key", wait, ttl });
    let step = interpreter.step(&sent[18..], &server.context(), &mut output).unwrap();
    assert_eq!(step, Step::Unlock { consumed: 12, key: b"key" });
    let step = interpreter.step(b"unlock_all r-17\r\n", &server.context(), &mut output).unwrap();
    assert_eq!(step, Step::UnlockAll { consumed: 17, opaque: Some(b"r-17") });
    assert!(output.is_empty());
}

#[test]
fn a_command_that_needs_the_lock_changes_nothing_without_it() {
    let server = TestServer::new(Limits { max_request_len: 100 });
    let lock = |connection, ttl_secs| {
        let request = LockRequest { key: b"k", connection, wait: Duration::ZERO, ttl: Duration::from_secs(ttl_secs) };
        server.locks.acquire(&request, Instant::now())
    };
    let attempts = "ms k 1 H c O1\r\nx\r\nma k H c\r\nma k H v N0 O2\r\nmg k T-1 H k\r\nmg k v q H\r\nmd k H I\r\nmd k H q O3\r\n\
                    md aw== b k H\r\n";
    let refused = "EX c0 O1\r\nEX\r\nEX O2\r\nEX kk\r\nEX\r\nEX\r\nEX O3\r\nEX kaw== b\r\n";
    let too_large = "ms k 200 H\r\n";
    server.responses("set k 0 0 1\r\n7\r\n");
    // No connection holds it; it has expired; another connection holds it.
    assert_eq!(server.responses(attempts), refused);
    assert!(matches!(lock(CONNECTION, 0), LockOutcome::Acquired(_)));
    assert_eq!(server.responses(attempts), refused);
    assert!(matches!(lock(ConnectionId { token: 1, ..CONNECTION }, 1000), LockOutcome::Acquired(_)));
    assert_eq!(server.responses(attempts), refused);
    assert!(server.responses(too_large).contains("too large"));
    assert_eq!(server.responses("mg k v t f\r\n"), "VA 1 t-1 f0\r\n7\r\n");
}

#[test]
fn a_command_that_needs_the_lock_is_executed_with_it() {
    let server = TestServer::new(Limits::default());
    for connection in [CONNECTION, ConnectionId { token: 1, ..CONNECTION }] {
        let key: &[u8] = if connection == CONNECTION { b"k" } else { b"other" };
        let request = LockRequest { key, connection, wait: Duration::ZERO, ttl: Duration::from_secs(1000) };
        assert!(matches!(server.locks.acquire(&request, Instant::now()), LockOutcome::Acquired(_)));
    }
    let responses = server.responses(
        "ms k 1 ME H\r\n7\r\nma k H v\r\nmg k T60 v t H\r\nmg aw== b H v\r\nms k 1 H C1\r\nx\r\nmd k H q\r\nmn\r\n",
    );
    assert_eq!(responses, "HD\r\nVA 1\r\n8\r\nVA 1 t60\r\n8\r\nVA 1\r\n8\r\nEX\r\nMN\r\n");
    // The lock of another key does not count, also if the response to a miss differs.
    assert_eq!(server.responses("ms other 1 H\r\nx\r\nmg k H\r\nmd k H\r\nmd other H\r\n"), "EX\r\nEN\r\nNF\r\nEX\r\n");
}

#[test]
fn operations_are_counted() {
    let server = TestServer::new(Limits { max_request_len: 100 });
    server.responses("set k 0 0 1\r\n1\r\nget k\r\nget none\r\nincr k 1\r\ndecr none 1\r\ncas k 0 0 1 1\r\na\r\ncas none 0 0 1 1\r\na\r\n");
    server.responses("touch k 0\r\ngat 0 none\r\ndelete k\r\ndelete k\r\nset k 0 0 1000\r\n");
    let stats = server.responses("stats\r\n");
    for stat in [
        "cmd_get 2",
        "get_hits 1",
        "get_misses 1",
        "cmd_set 3",
        "cmd_touch 2",
        "touch_hits 1",
        "touch_misses 1",
        "incr_hits 1",
        "incr_misses 0",
        "decr_misses 1",
        "cas_hits 0",
        "cas_misses 1",
        "cas_badval 1",
        "delete_hits 1",
        "delete_misses 1",
        "store_too_large 1",
        "total_items 1",
        "curr_items 0",
        "threads 1",
        "uptime 0",
        "time 1700000000",
        "locks_held 0",
    ] {
        assert!(stats.contains(&format!("STAT {stat}\r\n")), "{stat} in {stats}");
    }
    assert_eq!(server.responses("stats reset\r\n"), "RESET\r\n");
    assert!(server.responses("stats\r\n").contains("STAT cmd_set 0\r\n"));
}

#[test]
fn the_statistics_have_the_names_that_monitors_read() {
    let server = TestServer::new(Limits::default());
    let stats = server.responses("stats\r\n");
    for name in [
        "pid",
        "version",
        "pointer_size",
        "rusage_user",
        "rusage_system",
        "curr_connections",
        "total_connections",
        "rejected_connections",
        "denied_connections",
        "refused_dialects",
        "max_connections",
        "cmd_flush",
        "cmd_meta",
        "get_expired",
        "bytes_read",
        "bytes_written",
        "accepting_conns",
        "listen_disabled_num",
        "time_in_listen_disabled_us",
        "conn_yields",
        "get_flushed",
        "sharedance_version",
        "limit_maxbytes",
        "bytes",
        "evictions",
        "reclaimed",
        "expired_unfetched",
        "damaged",
        "refused_mappings",
        "failed_deletions",
        "pending_deletions",
    ] {
        assert!(stats.contains(&format!("STAT {name} ")), "{name}");
    }
    assert!(stats.ends_with("END\r\n"));
    assert!(stats.contains("STAT version 1.6.45\r\n") && stats.contains("STAT accepting_conns 1\r\n"));
    let has_a_limit = |stats: &str, name: &str| {
        let value = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")).map(str::to_owned));
        value.unwrap().parse::<u64>().unwrap() > 0
    };
    assert!(has_a_limit(&stats, "limit_maxbytes"), "without an option, the room of the file system is the limit");
    assert!(has_a_limit(&server.responses("stats settings\r\n"), "maxbytes"));
    assert_eq!(server.responses("stats items\r\nstats slabs\r\nstats conns\r\n"), "END\r\n".repeat(3));
    assert!(server.responses("stats settings\r\n").contains("STAT num_threads 1\r\n"));
    let refused = "CLIENT_ERROR stats cachedump not allowed\r\nERROR\r\n";
    assert_eq!(server.responses("stats cachedump 1 1\r\nlru_crawler metadump all\r\n"), refused);
}

/// What a connection that has to send credentials receives, and whether it has logged in, and whether it has ended.
fn log_in(server: &TestServer, sent: &[u8], arrivals: impl IntoIterator<Item = usize>) -> (String, bool, bool) {
    let limits = Limits { max_request_len: 300 };
    let mut access = Access::new(true, true, false);
    let mut interpreter = if sent[0] == memcached::binary::MAGIC { Interpreter::binary() } else { Interpreter::text() };
    let mut output = Output::default();
    let (mut at, mut needed) = (0, 1);
    for arrived in arrivals {
        while arrived - at >= needed {
            let context = Context { access: &access, limits: &limits, ..server.context() };
            let step = interpreter.step(&sent[at..arrived], &context, &mut output);
            let shown = |output: &mut Output| output.bytes().escape_ascii().to_string();
            match step {
                Ok(Step::Incomplete { needed: more }) => needed = more,
                Ok(Step::LogIn { consumed, log_in }) => {
                    access.log_in(log_in);
                    (at, needed) = (at + consumed, 1);
                }
                Ok(Step::Last { .. } | Step::Rejected { .. }) | Err(_) => {
                    return (shown(&mut output), !access.is_unauthenticated(), true);
                }
                Ok(
                    Step::Done { consumed }
                    | Step::Lock { consumed, .. }
                    | Step::Unlock { consumed, .. }
                    | Step::UnlockAll { consumed, .. },
                ) => (at, needed) = (at + consumed, 1),
            }
        }
    }
    (output.bytes().escape_ascii().to_string(), !access.is_unauthenticated(), false)
}

/// Requests before, with and after credentials, whole and broken.
fn requests_with_credentials() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: [&[u8]; 20] = [
        b"set a 0 0 10\r\nada secret\r\n",
        b"set a 0 0 9\r\nada wrong\r\n",
        b"set a 0 0 3\r\nada\r\n",
        b"set a 0 0 400\r\n",
        b"set a 0 0 2147483645\r\n",
        b"set a 0 0 x\r\n",
        b"get a b c\r\n",
        b"add k 0 0 26\r\nset a 0 0 10\r\nada secret\r\n\r\n",
        b"ms k 26\r\nset a 0 0 10\r\nada secret\r\n\r\n",
        b"add k 0 0 400\r\n",
        b"delete k noreply\r\n",
        b"mn\r\n",
        b"quit\r\n",
        b"\r\n",
        b"set a 0 0 1",
        b"ada secret\r\n",
        b"\x80\x21\0\x05\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0PLAIN\0ada\0secret",
        b"\x80\x21\0\x05\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\0PLAIN",
        b"\x80\x22\0\x05\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0PLAIN\0ada\0secret",
        b"\x80\x0b\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ];
    let part = prop_oneof![
        8 => prop::sample::select(&PARTS[..]).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 1..20),
    ];
    prop::collection::vec(part, 1..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn credentials_are_the_same_however_they_are_cut(sent in requests_with_credentials()) {
        let server = TestServer::with_credentials("ada:secret\n");
        let log_in = |arrivals: &[usize]| {
            // The store is as empty each time: some of the requests depend on it.
            server.store.clear().unwrap();
            log_in(&server, &sent, arrivals.iter().copied())
        };
        let whole = log_in(&[sent.len()]);
        for cut in 1..sent.len() {
            prop_assert_eq!(&log_in(&[cut, sent.len()]), &whole, "cut at {}", cut);
        }
        let each_byte: Vec<usize> = (1..=sent.len()).collect();
        prop_assert_eq!(&log_in(&each_byte), &whole, "a byte at a time");
        // The right ones are nothing but these.
        let has_right = [&b"ada secret\r\n"[..], b"\0ada\0secret"].iter().any(|right| sent.windows(right.len()).any(|w| w == *right));
        prop_assert!(has_right || !whole.1);
        prop_assert!(server.store.is_empty() || whole.1, "it was stored without credentials");
    }
}

/// The data block of a refused request must not log in.
#[test]
fn data_is_never_taken_for_credentials() {
    let server = TestServer::with_credentials("ada:secret\n");
    for verb in ["add k 0 0 26", "ms k 26", "append k 0 0 26", "cas k 0 0 26 1", "add k 0 0 26 noreply", "add k x 0 26"]
    {
        let sent = format!("{verb}\r\nset a 0 0 10\r\nada secret\r\n\r\n");
        let (received, has_logged_in, _) = log_in(&server, sent.as_bytes(), [sent.len()]);
        assert!(!has_logged_in && !received.contains("STORED"), "{verb}: {received}");
        assert!(received.contains("unauthenticated") != verb.contains("noreply"), "{verb}: {received}");
    }
}

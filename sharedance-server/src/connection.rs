//! One connection: a socket, what has arrived on it, and what is still to be sent.
//!
//! It speaks the classic dialect: one request, one answer, end. It never blocks, never registers itself anywhere and
//! reads no clock; it says what it waits for ([`Connection::awaits`]) and when it is over ([`End`]). A new connection
//! owns no memory but its own; one whose request arrives whole is read into the worker's scratch, answered and over
//! within a single call.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use sharedance_core::protocol::{DecodeError, Decoded, Limits, Response, classic};
use sharedance_core::store::{Store, StoreError};

use crate::buffer::{Budget, Buffer, Lease, OverBudget};
use crate::commands::{Body, execute};

/// How much one connection may read, or send, before the others have their turn. The poller brings us back.
const BYTES_PER_TURN: usize = 2 * 1024 * 1024;

/// How often it may call the kernel for that: a peer that sends byte by byte does not keep the others waiting.
const CALLS_PER_TURN: usize = 16;

/// A request, and the sending of an answer, may take this many idle timeouts in all: pauses before the header, the key
/// and the value. To that comes the time that the bytes moved so far need at [`MIN_BYTES_PER_SEC`]. A byte a second is
/// no way to hold a connection, and a large upload over a slow line is in time as long as it moves.
const PAUSES: u32 = 3;
const MIN_BYTES_PER_SEC: u64 = 16 * 1024;

/// How much is read and thrown away from a peer that goes on sending behind its request, so that closing does not
/// destroy the answer on its way (unread input turns a close into a reset).
const DRAIN_LEN: usize = 256 * 1024;

/// What a connection may use during one call.
pub(crate) struct Turn<'a> {
    /// The time of the turn.
    pub(crate) now: Instant,
    pub(crate) store: &'a Store,
    pub(crate) rules: &'a Rules,
    /// Where to read to as long as it is unknown whether anything has to be kept.
    pub(crate) scratch: &'a mut [u8],
}

/// The rules that hold for all connections of a server.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    /// The longest time without a byte.
    pub(crate) idle_timeout: Duration,
    /// The account on which buffered requests and copied answers stand.
    pub(crate) budget: Arc<Budget>,
}

/// Why a connection is over.
#[derive(Debug)]
pub(crate) enum End {
    /// Everything was said.
    Answered,
    /// The peer closed before its request was whole.
    PeerClosed,
    /// The request is none, or not allowed.
    Refused(DecodeError),
    /// The store could not do what was asked.
    StoreFailed(StoreError),
    /// The bytes of all connections together are too many.
    OverBudget,
    /// The request, or the reading of the answer, took too long.
    TooSlow,
    /// The server stops.
    Stopped,
    /// The socket failed.
    Failed(Errno),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Answered => f.write_str("answered"),
            End::PeerClosed => f.write_str("closed by the peer within a request"),
            End::Refused(error) => write!(f, "refused: {error}"),
            End::StoreFailed(error) => write!(f, "the store could not serve it: {error}"),
            End::OverBudget => f.write_str("refused: too much is in flight already"),
            End::TooSlow => f.write_str("too slow"),
            End::Stopped => f.write_str("the server stops"),
            End::Failed(error) => write!(f, "{error}"),
        }
    }
}

impl End {
    /// Whether the request was not decided, and the peer must be able to tell: see [`break_off`](crate::listener::break_off).
    pub(crate) fn is_without_verdict(&self) -> bool {
        matches!(self, End::StoreFailed(_) | End::OverBudget | End::Stopped)
    }
}

impl From<OverBudget> for End {
    fn from(OverBudget: OverBudget) -> End {
        End::OverBudget
    }
}

impl From<Errno> for End {
    fn from(error: Errno) -> End {
        End::Failed(error)
    }
}

/// What must happen before a connection can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// Bytes of the request.
    Request,
    /// Room in the socket for more of the answer.
    Room,
    /// The end of what the peer sends behind its request.
    Quiet,
}

/// An answer that did not fit into the socket at once.
struct Rest {
    response: Response<Body>,
    sent: usize,
    lease: Lease,
}

/// A connection's state. While it is idle this is all the memory it has.
pub(crate) struct Connection {
    socket: OwnedFd,
    awaits: Awaits,
    /// When the request, or the answer, began.
    begun: Instant,
    input: Buffer,
    /// How many bytes must be there before it is worth decoding them again.
    needed: usize,
    rest: Option<Box<Rest>>,
    drained: usize,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<Connection> for OwnedFd {
    fn from(connection: Connection) -> OwnedFd {
        connection.socket
    }
}

impl Connection {
    /// A connection that was accepted just now, on a socket that does not block.
    pub(crate) fn new(socket: OwnedFd, now: Instant) -> Connection {
        Connection {
            socket,
            awaits: Awaits::Request,
            begun: now,
            input: Buffer::default(),
            needed: 1,
            rest: None,
            drained: 0,
        }
    }

    pub(crate) fn awaits(&self) -> Awaits {
        self.awaits
    }

    /// How many bytes it has moved in its present state. Readiness that moves none is no sign of life.
    pub(crate) fn moved(&self) -> usize {
        self.input.len() + self.rest.as_ref().map_or(0, |rest| rest.sent) + self.drained
    }

    /// Goes on as far as the socket allows. `Err` says that the connection is over and to be dropped.
    pub(crate) fn advance(&mut self, turn: &mut Turn<'_>) -> Result<(), End> {
        match self.awaits {
            Awaits::Request => self.receive(turn),
            Awaits::Room => self.send_rest(turn),
            Awaits::Quiet => self.drain(turn.scratch),
        }
    }

    fn receive(&mut self, turn: &mut Turn<'_>) -> Result<(), End> {
        let mut received = 0;
        for _ in 0..CALLS_PER_TURN {
            let (len, filled) = match self.receive_once(turn) {
                Err(End::Failed(Errno::WOULDBLOCK | Errno::INTR)) => break,
                Err(end) => return Err(end),
                Ok(Received::Whole(response)) => return self.answer(response, turn),
                Ok(Received::Part { len, filled }) => (len, filled),
            };
            received += len;
            // A short read has drained the socket.
            if !filled || received >= BYTES_PER_TURN {
                break;
            }
        }
        self.check_pace(self.input.len(), turn)
    }

    fn receive_once(&mut self, turn: &mut Turn<'_>) -> Result<Received, End> {
        let Turn { store, rules, scratch, .. } = turn;
        let in_place = self.input.len() >= scratch.len();
        let (len, room) = if in_place {
            let spare = self.input.spare(self.needed, &rules.budget)?;
            let room = (spare.capacity() - spare.len()).min(BYTES_PER_TURN);
            let (_, len) = recv(&self.socket, spare_capacity(spare), RecvFlags::empty())?;
            (len, room)
        } else {
            let (len, _) = recv(&self.socket, &mut **scratch, RecvFlags::empty())?;
            (len, scratch.len())
        };
        if len == 0 {
            return Err(End::PeerClosed);
        }
        let filled = len >= room;

        let arrived = if in_place {
            self.input.unread()
        } else if self.input.is_empty() {
            &scratch[..len]
        } else {
            self.input.append(&scratch[..len], self.needed, &rules.budget)?;
            self.input.unread()
        };
        if arrived.len() < self.needed {
            return Ok(Received::Part { len, filled });
        }
        match classic::decode_request(arrived, &rules.limits).map_err(End::Refused)? {
            Decoded::Complete { message, .. } => {
                if filled && self.has_unread_input() {
                    return Err(End::Refused(DecodeError::TrailingBytes(1)));
                }
                execute(message, store).map(Received::Whole).map_err(End::StoreFailed)
            }
            Decoded::Incomplete { needed } => {
                self.needed = needed;
                if self.input.is_empty() {
                    self.input.append(&scratch[..len], needed, &rules.budget)?;
                }
                Ok(Received::Part { len, filled })
            }
        }
    }

    fn answer(&mut self, response: Response<Body>, turn: &mut Turn<'_>) -> Result<(), End> {
        let bytes = classic::encode_response(&response);
        let sent = match send_some(&self.socket, bytes)? {
            sent if sent == bytes.len() => return Err(End::Answered),
            sent => sent,
        };
        // In this dialect the end of a value is the end of the connection. From here to its last byte every other end,
        // be it that of this process, is to be a reset: a part must not pass for a whole.
        set_socket_linger(&self.socket, Some(Duration::ZERO))?;
        self.input.clear();
        self.begun = turn.now;
        self.awaits = Awaits::Room;
        let mut rest = Rest { response, sent, lease: Lease::default() };
        rest.unpin_neighbours(&turn.rules.budget)?;
        self.rest = Some(Box::new(rest));
        Ok(())
    }

    fn send_rest(&mut self, turn: &mut Turn<'_>) -> Result<(), End> {
        let Some(rest) = &mut self.rest else {
            return Err(End::Answered);
        };
        let bytes = classic::encode_response(&rest.response);
        rest.sent += send_some(&self.socket, &bytes[rest.sent..])?;
        let sent = rest.sent;
        if sent < bytes.len() {
            return self.check_pace(sent, turn);
        }
        self.rest = None;
        set_socket_linger(&self.socket, None)?;
        if !self.has_unread_input() {
            return Err(End::Answered);
        }
        shutdown(&self.socket, Shutdown::Write)?;
        self.awaits = Awaits::Quiet;
        self.drain(turn.scratch)
    }

    /// Reads until the peer closes, and throws it away.
    fn drain(&mut self, scratch: &mut [u8]) -> Result<(), End> {
        for _ in 0..CALLS_PER_TURN {
            match recv(&self.socket, &mut *scratch, RecvFlags::empty()) {
                Ok((0, _)) => return Err(End::Answered),
                Ok((len, _)) => self.drained += len,
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            if self.drained >= DRAIN_LEN {
                return Err(End::Answered);
            }
        }
        Ok(())
    }

    /// Whether bytes wait in the socket. Not to be asked on the usual path: a short read has told already.
    fn has_unread_input(&self) -> bool {
        matches!(recv(&self.socket, &mut [0_u8; 1], RecvFlags::PEEK), Ok((1.., _)))
    }

    fn check_pace(&self, moved: usize, turn: &Turn<'_>) -> Result<(), End> {
        let earned = Duration::from_secs(moved as u64 / MIN_BYTES_PER_SEC);
        let allowed = turn.rules.idle_timeout * PAUSES + earned;
        if turn.now.duration_since(self.begun) > allowed {
            return Err(End::TooSlow);
        }
        Ok(())
    }
}

enum Received {
    Part { len: usize, filled: bool },
    Whole(Response<Body>),
}

impl Rest {
    /// Replaces what is mapped and not yet sent by a copy. A slow peer would else keep the values beside it from being
    /// reclaimed; one that has a file to itself keeps nothing but that file, and costs no memory.
    fn unpin_neighbours(&mut self, budget: &Arc<Budget>) -> Result<(), OverBudget> {
        if let Response::Value(Body::Mapped(value)) = &self.response
            && !value.is_alone()
        {
            let unsent = &value[self.sent..];
            self.lease.grow_to(unsent.len(), budget)?;
            self.response = Response::Value(Body::Copied(unsent.to_vec()));
            self.sent = 0;
        }
        Ok(())
    }
}

/// Sends what the socket takes of the turn's share.
fn send_some(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    let share = &bytes[..bytes.len().min(BYTES_PER_TURN)];
    match send(socket, share, SendFlags::NOSIGNAL) {
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(0),
        sent => sent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharedance_core::protocol::{Request, classic::encode_request};
    use socket2::{Domain, Socket, Type};
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use tempfile::TempDir;

    const TIMEOUT: Duration = Duration::from_secs(60);

    /// A value that shares its segment with others, and more than the sockets here hold.
    const VALUE_LEN: usize = 1_000_000;

    struct Fixture {
        store: Store,
        rules: Rules,
        scratch: Vec<u8>,
        now: Instant,
        _directory: TempDir,
    }

    impl Fixture {
        fn new(budget: usize) -> Fixture {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(directory.path()).unwrap();
            store.set(b"key", &value()).unwrap();
            let rules = Rules { limits: Limits::default(), idle_timeout: TIMEOUT, budget: Budget::new(budget) };
            Fixture { store, rules, scratch: vec![0; 4096], now: Instant::now(), _directory: directory }
        }

        fn advance(&mut self, connection: &mut Connection) -> Result<(), End> {
            connection.advance(&mut Turn {
                now: self.now,
                store: &self.store,
                rules: &self.rules,
                scratch: &mut self.scratch,
            })
        }

        /// A connection, and its peer, with little room between them.
        fn connect(&self) -> (Connection, TcpStream) {
            let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            listener.set_send_buffer_size(64 * 1024).unwrap();
            listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
            listener.listen(1).unwrap();
            let peer = TcpStream::connect(listener.local_addr().unwrap().as_socket().unwrap()).unwrap();
            peer.set_nodelay(true).unwrap();
            peer.set_read_timeout(Some(TIMEOUT)).unwrap();
            let (socket, _) = listener.accept().unwrap();
            socket.set_nonblocking(true).unwrap();
            (Connection::new(socket.into(), self.now), peer)
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
    fn what_a_slow_peer_has_not_taken_is_copied_and_pins_nothing() {
        let mut fixture = Fixture::new(16 * 1024 * 1024);
        let (mut connection, mut peer) = fixture.connect();
        peer.write_all(&fetch()).unwrap();
        fixture.advance(&mut connection).unwrap();
        assert_eq!(connection.awaits(), Awaits::Room);
        let rest = connection.rest.as_ref().unwrap();
        assert!(matches!(rest.response, Response::Value(Body::Copied(_))));

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
    fn an_answer_beyond_the_budget_ends_in_a_reset() {
        let mut fixture = Fixture::new(1000);
        let (mut connection, mut peer) = fixture.connect();
        peer.write_all(&fetch()).unwrap();
        assert!(matches!(fixture.advance(&mut connection), Err(End::OverBudget)));
        drop(connection);
        let end = peer.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
    }

    #[test]
    fn time_is_given_for_pauses_and_for_what_was_moved() {
        let mut fixture = Fixture::new(16 * 1024 * 1024);
        let (mut connection, mut peer) = fixture.connect();
        let mut request = Vec::new();
        encode_request(&Request::Store { key: b"key", value: &value() }, &mut request).unwrap();
        peer.write_all(&request[..5]).unwrap();
        fixture.now += TIMEOUT * PAUSES;
        fixture.advance(&mut connection).unwrap();

        // Another second for each 16 KiB, once they are there.
        peer.write_all(&request[5..40_000]).unwrap();
        while connection.input.len() < 40_000 {
            fixture.advance(&mut connection).unwrap();
        }
        fixture.now += Duration::from_secs(2);
        fixture.advance(&mut connection).unwrap();
        fixture.now += Duration::from_secs(1);
        assert!(matches!(fixture.advance(&mut connection), Err(End::TooSlow)));
    }
}

//! One connection: a socket, what has arrived on it, and what is still to be sent.
//!
//! The first byte decides which dialect it speaks: [`classic`], one request and one answer, or those of memcached, a
//! [`dialogue`]. It never blocks, never registers itself anywhere and reads no clock; it says what it waits for
//! ([`Connection::awaits`]) and when it is over ([`End`]). A new connection owns no memory but its own.

mod classic;
mod dialogue;
mod held;
mod pace;
#[cfg(test)]
mod tests;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use sharedance_core::protocol::{DecodeError, Dialect, Limits};
use sharedance_core::store::{Store, StoreError};

use crate::buffers::Output;
use crate::buffers::{Budget, OverBudget};
use crate::commands::{Context, Conversation, Service};
use crate::locks::{ConnectionId, Locks};
use crate::observe::Counters;

use classic::Exchange;
use dialogue::Dialogue;
pub(crate) use pace::Pace;

/// How much one connection may read, or send, before the others have their turn. The poller brings us back.
const BYTES_PER_TURN: usize = 2 * 1024 * 1024;

/// How often it may call the kernel for that: a peer that sends byte by byte does not keep the others waiting.
const CALLS_PER_TURN: usize = 16;

/// How much is read and thrown away from a peer that goes on sending behind its request, so that closing does not
/// destroy the answer on its way (unread input turns a close into a reset).
const DRAIN_LEN: usize = 256 * 1024;

/// What a connection may use during one call.
pub(crate) struct Turn<'a> {
    /// The time of the turn.
    pub(crate) now: Instant,
    /// The same by the wall clock, as the time since 1970.
    pub(crate) unix_time: Duration,
    /// The worker's handle, which defers syncs.
    pub(crate) store: &'a Store,
    pub(crate) rules: &'a Rules,
    pub(crate) service: &'a Service,
    pub(crate) counters: &'a Counters,
    pub(crate) locks: &'a Locks,
    /// Where to read to as long as it is unknown whether anything has to be kept; at least [`Rules::read_len`].
    pub(crate) scratch: &'a mut [u8],
    /// Where answers gather. Empty between calls.
    pub(crate) output: &'a mut Output,
    pub(crate) id: ConnectionId,
    /// Whether there are as many connections as there may be, and this is a new one.
    pub(crate) is_full: bool,
    /// What the operator should hear of, although the peer is told.
    pub(crate) remark: Option<End>,
}

impl<'a> Turn<'a> {
    /// Whether nothing may be answered yet, because the disk does not have what was written. A connection that cannot be
    /// kept waiting for that waits at once.
    fn owes_sync(&self) -> Result<bool, End> {
        let owes = self.store.owes_sync();
        if owes && self.is_full {
            self.store.sync().map_err(End::StoreFailed)?;
            return Ok(false);
        }
        Ok(owes)
    }

    fn context(&self) -> Context<'a> {
        Context {
            store: self.store,
            limits: &self.rules.limits,
            counters: self.counters,
            service: self.service,
            locks: self.locks,
            unix_time: self.unix_time,
            now: self.now,
            connection: self.id,
        }
    }
}

/// The rules that hold for all connections of a server.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    /// How much is read at first from a connection.
    pub(crate) read_len: usize,
    /// The longest time without a byte, in the midst of something.
    pub(crate) idle_timeout: Duration,
    /// The most that one connection may make the server hold.
    pub(crate) max_connection_len: usize,
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
    /// The bytes of all connections together are too many, or those of this one.
    OverBudget,
    /// There are too many connections.
    TooMany,
    /// The request, or the reading of the answer, took too long.
    TooSlow,
    /// Nothing was asked for too long.
    Idle,
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
            End::TooMany => f.write_str("refused: there are too many connections"),
            End::TooSlow => f.write_str("too slow"),
            End::Idle => f.write_str("idle"),
            End::Stopped => f.write_str("the server stops"),
            End::Failed(error) => write!(f, "{error}"),
        }
    }
}

impl End {
    /// Whether the request was not decided, and the peer must be able to tell: see [`break_off`](crate::listen::break_off).
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
    /// Bytes of a request.
    Request,
    /// Room in the socket for more of an answer.
    Room,
    /// The end of what the peer sends behind its request.
    Quiet,
    /// A lock that another connection holds.
    Lock,
    /// The next sync: the answers are ready.
    Sync,
}

/// How long what it awaits may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Something is under way: up to [`Rules::idle_timeout`] without a byte.
    UnderWay,
    /// Nothing is.
    Resting,
    /// The peer is to notice that all was said.
    Draining,
    /// Somebody else sees to it.
    Waiting,
}

/// A connection's state. While it is idle this is all the memory it has.
pub(crate) struct Connection {
    socket: OwnedFd,
    id: ConnectionId,
    awaits: Awaits,
    pace: Pace,
    dialect: Speech,
}

enum Speech {
    /// Nothing has arrived.
    Unknown,
    Classic(Exchange),
    Memcached(Dialogue),
    /// All was said; so many bytes came since.
    Over(usize),
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Connection {
    /// A connection that was accepted just now, on a socket that does not block.
    pub(crate) fn new(socket: OwnedFd, id: ConnectionId, now: Instant) -> Connection {
        Connection { socket, id, awaits: Awaits::Request, pace: Pace::new(now), dialect: Speech::Unknown }
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    pub(crate) fn awaits(&self) -> Awaits {
        self.awaits
    }

    /// What it has moved. Readiness that moves nothing is no sign of life.
    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    pub(crate) fn patience(&self) -> Patience {
        match (self.awaits, &self.dialect) {
            (Awaits::Quiet, _) => Patience::Draining,
            (Awaits::Lock | Awaits::Sync, _) => Patience::Waiting,
            (Awaits::Request, Speech::Memcached(dialogue)) if dialogue.rests() => Patience::Resting,
            _ => Patience::UnderWay,
        }
    }

    /// Whether it has stopped for the sake of the others, and could go on at once.
    pub(crate) fn is_unfinished(&self) -> bool {
        matches!(&self.dialect, Speech::Memcached(dialogue) if dialogue.is_unfinished())
    }

    /// Whether answers are under way.
    pub(crate) fn is_being_answered(&self) -> bool {
        matches!(self.awaits, Awaits::Room | Awaits::Quiet | Awaits::Sync) || self.is_unfinished()
    }

    /// Whether a peer that sees the connection end would not know what became of its request.
    pub(crate) fn is_undecided(&self) -> bool {
        matches!(self.patience(), Patience::UnderWay | Patience::Waiting)
    }

    /// The wait for a lock is over, as [`Locks`] said. To be followed by [`Connection::advance`].
    pub(crate) fn end_lock_wait(&mut self, locked: bool) {
        if let Speech::Memcached(dialogue) = &mut self.dialect {
            dialogue.end_lock_wait(locked);
        }
    }

    /// The disk has what the answers say. To be followed by [`Connection::advance`].
    pub(crate) fn release(&mut self) {
        if self.awaits == Awaits::Sync {
            self.awaits = Awaits::Room;
        }
    }

    /// Goes on as far as the socket allows. `Err` says that the connection is over and to be dropped.
    #[inline]
    pub(crate) fn advance(&mut self, turn: &mut Turn<'_>) -> Result<(), End> {
        match self.go_on(turn) {
            Ok(awaits) => {
                self.awaits = awaits;
                Ok(())
            }
            Err(end) => {
                turn.output.clear();
                Err(end)
            }
        }
    }

    /// Gives back its locks. What remains is the socket.
    pub(crate) fn release_locks(self, locks: &Locks, now: Instant) -> OwnedFd {
        if let Speech::Memcached(dialogue) = self.dialect {
            dialogue.release_locks(locks, self.id.worker, now);
        }
        self.socket
    }

    fn go_on(&mut self, turn: &mut Turn<'_>) -> Result<Awaits, End> {
        if self.awaits == Awaits::Sync {
            return Ok(Awaits::Sync);
        }
        let Connection { socket, pace, dialect, .. } = self;
        let awaits = match dialect {
            Speech::Memcached(dialogue) => dialogue.advance(None, socket, pace, turn)?,
            Speech::Unknown => return self.begin(turn),
            Speech::Classic(exchange) if self.awaits == Awaits::Room => exchange.send_rest(socket, pace, turn)?,
            Speech::Classic(exchange) => exchange.receive(None, socket, pace, turn)?,
            Speech::Over(_) => return self.drain(turn.scratch),
        };
        match awaits {
            Awaits::Quiet => self.close_down(turn),
            awaits => Ok(awaits),
        }
    }

    /// Receives the first bytes, which tell the dialect.
    fn begin(&mut self, turn: &mut Turn<'_>) -> Result<Awaits, End> {
        let Connection { socket, pace, .. } = self;
        let len = match recv(&*socket, &mut turn.scratch[..turn.rules.read_len], RecvFlags::empty()) {
            Ok((0, _)) => return Err(End::PeerClosed),
            Ok((len, _)) => len,
            Err(Errno::WOULDBLOCK | Errno::INTR) => {
                pace.check(turn)?;
                return Ok(Awaits::Request);
            }
            Err(error) => return Err(error.into()),
        };
        let conversation = match Dialect::detect(turn.scratch[0]) {
            Some(Dialect::MemcachedText) => Conversation::text(),
            Some(Dialect::MemcachedBinary) => Conversation::binary(),
            _ => {
                let mut exchange = Exchange::default();
                let awaits = exchange.receive(Some(len), socket, pace, turn)?;
                self.dialect = Speech::Classic(exchange);
                return Ok(awaits);
            }
        };
        let mut dialogue = Dialogue::new(conversation);
        let awaits = dialogue.advance(Some(len), socket, pace, turn);
        // Also when it is over: it may hold locks.
        self.dialect = Speech::Memcached(dialogue);
        match awaits? {
            Awaits::Quiet => self.close_down(turn),
            awaits => Ok(awaits),
        }
    }

    /// Says that nothing more will come, and waits for the peer to notice.
    fn close_down(&mut self, turn: &mut Turn<'_>) -> Result<Awaits, End> {
        if !has_unread_input(&self.socket) {
            return Err(End::Answered);
        }
        shutdown(&self.socket, Shutdown::Write)?;
        if let Speech::Memcached(dialogue) = std::mem::replace(&mut self.dialect, Speech::Over(0)) {
            dialogue.release_locks(turn.locks, turn.id.worker, turn.now);
        }
        self.drain(turn.scratch)
    }

    /// Reads until the peer closes, and throws it away.
    fn drain(&mut self, scratch: &mut [u8]) -> Result<Awaits, End> {
        let Speech::Over(drained) = &mut self.dialect else {
            return Err(End::Answered);
        };
        for _ in 0..CALLS_PER_TURN {
            match recv(&self.socket, &mut *scratch, RecvFlags::empty()) {
                Ok((0, _)) => return Err(End::Answered),
                Ok((len, _)) => *drained += len,
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(Awaits::Quiet),
                Err(error) => return Err(error.into()),
            }
            if *drained >= DRAIN_LEN {
                return Err(End::Answered);
            }
        }
        Ok(Awaits::Quiet)
    }
}

/// Whether bytes wait in the socket. Not to be asked on the usual path: a short read has told already.
fn has_unread_input(socket: &OwnedFd) -> bool {
    matches!(recv(socket, &mut [0_u8; 1], RecvFlags::PEEK), Ok((1.., _)))
}

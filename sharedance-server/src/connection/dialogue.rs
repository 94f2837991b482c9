//! A dialect of memcached on a connection: requests without end, any number of them at a time.
//!
//! What arrives is read into the worker's scratch and answered there; the answers gather in the worker's output and
//! leave in one call. Only what is not whole is kept, and only what the socket does not take: a connection between
//! requests owns no buffer. While something is unsent nothing more is read or answered, so that what a peer can make us
//! hold is bounded: the socket's own buffer is what keeps the line busy meanwhile.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use sharedance_core::protocol::DecodeError;
use sharedance_core::protocol::memcached::text::{Reply, push_unlocked};

use super::held::ConnectionLocks;
use super::pace::Pace;
use super::{Awaits, BYTES_PER_TURN, CALLS_PER_TURN, End, Turn};
use crate::buffers::Output;
use crate::buffers::{Buffer, Lease};
use crate::commands::{Conversation, Step};
use crate::locks::{LockOutcome, LockRequest, Locks};

/// Requests answered before the others have their turn; a key of a retrieval counts as one. Some 0.1 ms.
const REQUESTS_PER_TURN: usize = 256;

/// Once so much is to be sent, it is sent before more is answered: the high water. The low water is nothing at all.
const HIGH_WATER_LEN: usize = 256 * 1024;

/// What a peer is told before it is let go.
const TOO_MANY: &[u8] = b"ERROR Too many open connections\r\n";
const OVER_BUDGET: &[u8] = b"SERVER_ERROR out of memory reading request\r\n";

/// The state of such a connection.
pub(super) struct Dialogue {
    conversation: Conversation,
    input: Buffer,
    /// How many bytes of input must be there before it is worth looking at them.
    needed: usize,
    unsent: Option<Box<Unsent>>,
    locks: Option<Box<ConnectionLocks>>,
    over: Option<Over>,
    /// It has stopped in the midst of what it could do, for the sake of the others.
    is_unfinished: bool,
    /// What is unsent is not to be sent before a sync.
    is_held: bool,
}

/// Why the connection is over, once all is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The peer sends nothing more.
    PeerClosed,
    /// We want nothing more of it.
    Said,
}

/// What a turn may still do.
struct Allowance {
    requests: usize,
    calls: usize,
    bytes: usize,
}

/// Answers that did not fit into the socket.
struct Unsent {
    output: Output,
    /// Given back with the memory.
    _lease: Lease,
}

/// Why answering has paused.
#[derive(Debug, PartialEq, Eq)]
enum Pause {
    /// The next request is not whole.
    Incomplete { needed: usize },
    /// Enough is to be sent.
    Full,
    /// The turn is over.
    Budget,
    /// A lock must be had first.
    Lock,
    /// That was the last request.
    Last,
    /// These bytes are none.
    Refused(DecodeError),
}

impl Dialogue {
    pub(super) fn new(conversation: Conversation) -> Dialogue {
        Dialogue {
            conversation,
            input: Buffer::default(),
            needed: 1,
            unsent: None,
            locks: None,
            over: None,
            is_unfinished: false,
            is_held: false,
        }
    }

    /// Goes on as far as the socket, the turn's budget and the locks of others allow. The first `arrived` bytes are in
    /// the scratch already.
    pub(super) fn advance(
        &mut self,
        arrived: Option<usize>,
        socket: &OwnedFd,
        pace: &mut Pace,
        turn: &mut Turn<'_>,
    ) -> Result<Awaits, End> {
        self.is_unfinished = false;
        self.is_held = false;
        if !self.send_unsent(socket, pace, turn)? {
            return Ok(Awaits::Room);
        }
        if self.over.is_none() {
            if turn.is_full && arrived.is_some() && self.refuse(TOO_MANY, turn) {
                turn.counters.connections_rejected.add(1);
                turn.remark = Some(End::TooMany);
            } else if self.may_go_on(socket, turn)? {
                self.converse(arrived, socket, pace, turn)?;
            }
        }
        if !self.flush(socket, pace, turn)? {
            return Ok(if self.is_held { Awaits::Sync } else { Awaits::Room });
        }
        match self.over {
            Some(Over::Said) => Ok(Awaits::Quiet),
            Some(Over::PeerClosed) => Err(End::Answered),
            None if self.waits_for_lock() => Ok(Awaits::Lock),
            None => Ok(Awaits::Request),
        }
    }

    /// Whether nothing is under way: no part of a request is here, and no part of an answer.
    pub(super) fn rests(&self) -> bool {
        self.input.is_empty() && self.unsent.is_none()
    }

    /// Whether it could go on at once.
    pub(super) fn is_unfinished(&self) -> bool {
        self.is_unfinished
    }

    /// The wait for a lock is over.
    pub(super) fn end_lock_wait(&mut self, locked: bool) {
        if let Some(locks) = &mut self.locks {
            locks.end_wait(locked);
        }
    }

    /// Gives back the locks, which end with the connection.
    pub(super) fn release_locks(self, locks: &Locks, worker: u32, now: Instant) {
        if let Some(own) = self.locks {
            own.release(worker, locks, now);
        }
    }

    fn waits_for_lock(&self) -> bool {
        self.locks.as_ref().is_some_and(|locks| locks.is_waiting())
    }

    /// Says what became of the lock that the connection has waited for. Whether it still does decides whether it may
    /// go on.
    fn may_go_on(&mut self, socket: &OwnedFd, turn: &mut Turn<'_>) -> Result<bool, End> {
        let Some(locks) = &mut self.locks else {
            return Ok(true);
        };
        if locks.is_waiting() {
            // The poller says something about a connection of which nothing was asked: that its peer is gone.
            return match recv(socket, &mut [0_u8; 1], RecvFlags::PEEK) {
                Ok(_) | Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
                Err(error) => Err(error.into()),
            };
        }
        if let Some(locked) = locks.take_wait_result() {
            let reply = if locked { Reply::Locked } else { Reply::Timeout };
            turn.output.bytes().extend_from_slice(reply.as_bytes());
        }
        if locks.is_empty() {
            self.locks = None;
        }
        Ok(true)
    }

    /// Answers what is there, and what arrives, until there is nothing more, or a reason to pause.
    fn converse(
        &mut self,
        mut arrived: Option<usize>,
        socket: &OwnedFd,
        pace: &mut Pace,
        turn: &mut Turn<'_>,
    ) -> Result<(), End> {
        let mut allowance = Allowance { requests: REQUESTS_PER_TURN, calls: CALLS_PER_TURN, bytes: BYTES_PER_TURN };
        loop {
            let (consumed, pause) = if self.input.len() >= self.needed {
                self.answer_kept(&mut allowance, turn)
            } else if allowance.calls > 0 && allowance.bytes > 0 {
                match self.receive(arrived.take(), &mut allowance, socket, pace, turn) {
                    Ok(Some(answered)) => answered,
                    Ok(None) => continue,
                    Err(End::Failed(Errno::WOULDBLOCK | Errno::INTR)) => break,
                    Err(End::OverBudget) if self.refuse(OVER_BUDGET, turn) => {
                        turn.remark = Some(End::OverBudget);
                        return Ok(());
                    }
                    Err(end) => return Err(end),
                }
            } else {
                break;
            };
            if consumed > 0 {
                pace.begin(turn.now);
            }
            self.needed = 1;
            match pause {
                Pause::Incomplete { needed } => self.needed = needed,
                Pause::Full => {
                    allowance.bytes = allowance.bytes.saturating_sub(turn.output.len());
                    if !self.flush(socket, pace, turn)? {
                        return Ok(());
                    }
                    if allowance.bytes == 0 {
                        self.yield_turn(turn);
                        return Ok(());
                    }
                }
                Pause::Budget => {
                    self.yield_turn(turn);
                    return Ok(());
                }
                Pause::Lock => return Ok(()),
                Pause::Last => {
                    self.over = Some(Over::Said);
                    return Ok(());
                }
                Pause::Refused(error) => {
                    self.over = Some(Over::Said);
                    turn.remark = Some(End::Refused(error));
                    return Ok(());
                }
            }
        }
        if !self.rests() {
            pace.check(turn)?;
        }
        Ok(())
    }

    /// Lets other connections have their turn, although this one could go on.
    fn yield_turn(&mut self, turn: &Turn<'_>) {
        self.is_unfinished = true;
        turn.counters.yields.add(1);
    }

    /// Receives once, and answers what is whole by then: how much that was, and why it ended there. `None` where it is
    /// still too little, or lies in a buffer of the connection's own.
    fn receive(
        &mut self,
        arrived: Option<usize>,
        allowance: &mut Allowance,
        socket: &OwnedFd,
        pace: &mut Pace,
        turn: &mut Turn<'_>,
    ) -> Result<Option<(usize, Pause)>, End> {
        let kept = self.input.len();
        if self.needed > turn.scratch.len() {
            let spare = self.input.spare(self.needed, &turn.rules.budget)?;
            let room = (spare.capacity() - spare.len()).min(BYTES_PER_TURN);
            let (_, len) = recv(socket, spare_capacity(spare), RecvFlags::empty())?;
            self.has_received(len, len >= room, allowance, pace, turn);
            return Ok(None);
        }
        let (len, room) = match arrived {
            Some(len) => (len, turn.rules.read_len),
            None => (recv(socket, &mut turn.scratch[kept..], RecvFlags::empty())?.0, turn.scratch.len() - kept),
        };
        self.has_received(len, len >= room, allowance, pace, turn);
        let len = kept + len;
        if len < self.needed {
            self.input.append(&turn.scratch[kept..len], self.needed, &turn.rules.budget)?;
            return Ok(None);
        }
        let scratch = std::mem::take(&mut turn.scratch);
        scratch[..kept].copy_from_slice(self.input.unread());
        let (consumed, pause) = answer(&mut self.conversation, &mut self.locks, &scratch[..len], allowance, turn);
        let kept = self.input.replace(&scratch[consumed..len], &turn.rules.budget);
        turn.scratch = scratch;
        kept?;
        Ok(Some((consumed, pause)))
    }

    fn has_received(&mut self, len: usize, filled: bool, allowance: &mut Allowance, pace: &mut Pace, turn: &Turn<'_>) {
        if len == 0 {
            self.over = Some(Over::PeerClosed);
        }
        // A short read has drained the socket.
        allowance.calls = if filled { allowance.calls - 1 } else { 0 };
        allowance.bytes = allowance.bytes.saturating_sub(len);
        pace.moved(len);
        turn.counters.bytes_read.add(len as u64);
    }

    /// Says goodbye, in a dialect that has a word for it.
    fn refuse(&mut self, reason: &[u8], turn: &mut Turn<'_>) -> bool {
        if matches!(self.conversation, Conversation::Binary(_)) {
            return false;
        }
        turn.output.bytes().extend_from_slice(reason);
        self.over = Some(Over::Said);
        true
    }

    /// Sends what gathers in the worker's output, and keeps what does not fit into the socket, or may not be sent yet;
    /// whether nothing is left.
    fn flush(&mut self, socket: &OwnedFd, pace: &mut Pace, turn: &mut Turn<'_>) -> Result<bool, End> {
        if self.unsent.is_some() {
            return Ok(false);
        }
        if turn.output.is_empty() {
            return Ok(true);
        }
        self.is_held = turn.owes_sync()?;
        for _ in 0..if self.is_held { 0 } else { CALLS_PER_TURN } {
            let sent = turn.output.send(socket)?;
            turn.counters.bytes_written.add(sent as u64);
            if turn.output.is_empty() {
                turn.output.clear();
                return Ok(true);
            }
            if sent == 0 {
                break;
            }
        }
        let rest_len = turn.output.rest_len();
        if self.input.len() + rest_len > turn.rules.max_connection_len {
            return Err(End::OverBudget);
        }
        let mut lease = Lease::default();
        lease.grow_to(rest_len, &turn.rules.budget)?;
        self.unsent = Some(Box::new(Unsent { output: turn.output.keep_rest(), _lease: lease }));
        pace.begin(turn.now);
        Ok(false)
    }

    /// Sends more of what was left; whether nothing is left now.
    fn send_unsent(&mut self, socket: &OwnedFd, pace: &mut Pace, turn: &mut Turn<'_>) -> Result<bool, End> {
        let Some(unsent) = &mut self.unsent else {
            return Ok(true);
        };
        let sent = unsent.output.send(socket)?;
        turn.counters.bytes_written.add(sent as u64);
        pace.moved(sent);
        if !unsent.output.is_empty() {
            pace.check(turn)?;
            return Ok(false);
        }
        self.unsent = None;
        pace.begin(turn.now);
        Ok(true)
    }

    fn answer_kept(&mut self, allowance: &mut Allowance, turn: &mut Turn<'_>) -> (usize, Pause) {
        let (consumed, pause) = answer(&mut self.conversation, &mut self.locks, self.input.unread(), allowance, turn);
        self.input.consume(consumed);
        (consumed, pause)
    }
}

/// Answers the requests that `input` begins with: how many bytes they have, and why it ended there.
fn answer(
    conversation: &mut Conversation,
    locks: &mut Option<Box<ConnectionLocks>>,
    input: &[u8],
    allowance: &mut Allowance,
    turn: &mut Turn<'_>,
) -> (usize, Pause) {
    let context = turn.context();
    let mut consumed = 0;
    loop {
        let rest = &input[consumed..];
        if rest.is_empty() {
            return (consumed, Pause::Incomplete { needed: 1 });
        }
        if turn.output.len() >= HIGH_WATER_LEN {
            return (consumed, Pause::Full);
        }
        if allowance.requests == 0 {
            return (consumed, Pause::Budget);
        }
        allowance.requests -= 1;
        match conversation.step(rest, &context, turn.output) {
            Ok(Step::Done { consumed: len }) => consumed += len,
            Ok(Step::Incomplete { needed }) => return (consumed, Pause::Incomplete { needed }),
            Ok(Step::Lock { consumed: len, key, wait, ttl }) => {
                consumed += len;
                let request = LockRequest { key, connection: turn.id, wait, ttl };
                let reply = match locks.get_or_insert_default().acquire(&request, turn.locks, turn.now) {
                    LockOutcome::Acquired(_) | LockOutcome::Extended => Reply::Locked,
                    LockOutcome::TimedOut => Reply::Timeout,
                    LockOutcome::TooMany => Reply::OutOfMemory,
                    LockOutcome::Queued(_) => return (consumed, Pause::Lock),
                };
                turn.output.bytes().extend_from_slice(reply.as_bytes());
            }
            Ok(Step::Unlock { consumed: len, key }) => {
                consumed += len;
                let locks = locks.as_mut();
                let unlocked = locks.is_some_and(|locks| locks.unlock(key, turn.id, turn.locks, turn.now));
                let reply = if unlocked { Reply::Unlocked } else { Reply::NotFound };
                turn.output.bytes().extend_from_slice(reply.as_bytes());
            }
            Ok(Step::UnlockAll { consumed: len, opaque }) => {
                consumed += len;
                let locks = locks.as_mut();
                let count = locks.map_or(0, |locks| locks.unlock_all(turn.id.worker, turn.locks, turn.now));
                push_unlocked(turn.output.bytes(), count, opaque);
            }
            Ok(Step::Last { consumed: len }) => return (consumed + len, Pause::Last),
            Err(error) => return (consumed, Pause::Refused(error)),
        }
    }
}

//! Executes the requests at the beginning of an input, one after another, until there is a reason to pause.

use sharedance_core::protocol::DecodeError;
use sharedance_core::protocol::memcached::text::{Reply, push_unlocked};

use super::context::{BYTES_PER_TURN, CALLS_PER_TURN, TurnContext};
use super::locks::ConnectionLocks;
use crate::access::Access;
use crate::commands::{Interpreter, Step};
use crate::locks::{LockOutcome, LockRequest};
use crate::observe::CommandKind;

/// How many requests of one connection are executed in one turn, about 0.1 ms; each key of a retrieval counts as one.
const REQUESTS_PER_TURN: usize = 256;

/// High water: once this many bytes are to be sent, they are sent before more requests are executed. Low water is zero.
const HIGH_WATER_LEN: usize = 256 * 1024;

/// What a connection may still do in a turn.
pub(super) struct Allowance {
    pub(super) requests: usize,
    pub(super) calls: usize,
    pub(super) bytes: usize,
}

impl Allowance {
    pub(super) fn of_turn() -> Allowance {
        Allowance { requests: REQUESTS_PER_TURN, calls: CALLS_PER_TURN, bytes: BYTES_PER_TURN }
    }
}

/// Why execution has paused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// The next request is not complete: the input must have this many bytes.
    Incomplete { needed: usize },
    /// Responses have reached high water.
    HighWater,
    /// The turn allows no more requests.
    TurnEnd,
    /// The connection waits for a lock.
    Lock,
    /// That was the last request.
    Last,
    /// The credentials were wrong.
    Rejected,
    /// The bytes are not a request.
    Invalid(DecodeError),
}

/// Executes the requests at the beginning of `input`. Returns how many bytes they have, and why it has paused there.
pub(super) fn execute(
    interpreter: &mut Interpreter,
    access: &mut Access,
    locks: &mut Option<Box<ConnectionLocks>>,
    input: &[u8],
    allowance: &mut Allowance,
    turn: &mut TurnContext<'_>,
) -> (usize, Pause) {
    let mut context = turn.request_context(access);
    let mut consumed = 0;
    loop {
        let rest = &input[consumed..];
        if rest.is_empty() {
            return (consumed, Pause::Incomplete { needed: 1 });
        }
        if turn.output.len() >= HIGH_WATER_LEN {
            return (consumed, Pause::HighWater);
        }
        if allowance.requests == 0 {
            return (consumed, Pause::TurnEnd);
        }
        allowance.requests -= 1;
        match interpreter.step(rest, &context, turn.output) {
            Ok(Step::Done { consumed: len }) => consumed += len,
            Ok(Step::Incomplete { needed }) => return (consumed, Pause::Incomplete { needed }),
            Ok(Step::Lock { consumed: len, key, wait, ttl }) => {
                consumed += len;
                turn.latency.note(CommandKind::Lock, key.len(), 0);
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
                turn.latency.note(CommandKind::Unlock, key.len(), 0);
                let locks = locks.as_mut();
                let is_unlocked = locks.is_some_and(|locks| locks.unlock(key, turn.id, turn.locks, turn.now));
                let reply = if is_unlocked { Reply::Unlocked } else { Reply::NotFound };
                turn.output.bytes().extend_from_slice(reply.as_bytes());
            }
            Ok(Step::UnlockAll { consumed: len, opaque }) => {
                consumed += len;
                turn.latency.note(CommandKind::Unlock, 0, 0);
                let locks = locks.as_mut();
                let count = locks.map_or(0, |locks| locks.unlock_all(turn.id.worker, turn.locks, turn.now));
                push_unlocked(turn.output.bytes(), count, opaque);
            }
            Ok(Step::LogIn { consumed: len, log_in }) => {
                consumed += len;
                access.log_in(log_in);
                context = turn.request_context(access);
            }
            Ok(Step::Rejected { consumed: len }) => return (consumed + len, Pause::Rejected),
            Ok(Step::Last { consumed: len }) => return (consumed + len, Pause::Last),
            Err(error) => return (consumed, Pause::Invalid(error)),
        }
    }
}

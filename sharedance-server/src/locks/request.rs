//! The vocabulary of the locks: who requests one, with which result, and how the end of a wait is reported.

use std::time::Duration;

/// A connection, distinct from all others that are open and from those that had its token before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionId {
    /// The number of its worker.
    pub(crate) worker: u32,
    /// Its place in the worker's table of connections.
    pub(crate) token: u32,
    /// Distinguishes it from earlier and later connections with the same token.
    pub(crate) serial: u32,
}

/// A request for the lock of a key.
#[derive(Clone, Copy)]
pub(crate) struct LockRequest<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) connection: ConnectionId,
    /// How long the connection waits for the lock.
    pub(crate) wait: Duration,
    /// How long it holds the lock unless it releases it before.
    pub(crate) ttl: Duration,
}

/// The immediate result of a [`LockRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockOutcome {
    /// The connection holds the lock from now on.
    Acquired(LockTicket),
    /// The connection held the lock already; its TTL starts again.
    Extended,
    /// The connection has to wait until a [`LockWakeup`].
    Queued(LockTicket),
    /// Another connection holds the lock, and the request does not wait.
    TimedOut,
    /// The connection or the server has as many locks as it may have.
    TooMany,
}

/// A lock that is held, or a place in the queue for it. No two requests get the same ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LockTicket {
    pub(super) shard: u32,
    /// The lock's place in the shard's table.
    pub(super) slot: u32,
    pub(super) number: u64,
}

/// The end of a wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LockWakeup {
    pub(crate) connection: ConnectionId,
    /// Whether the connection holds the lock now; otherwise its wait has timed out.
    pub(crate) is_acquired: bool,
}

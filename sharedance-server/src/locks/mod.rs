//! Web-session locks: first come, first served, across all workers, in memory only.
//!
//! - [`Locks`]: all locks of a server. Keys are spread over shards, each under its own mutex.
//! - [`LockRequest`] and [`LockOutcome`]: a request for a lock and its immediate result.
//! - [`LockTicket`]: a lock that is held, or a place in the queue for it.
//! - [`LockWakeup`]: the end of a wait, which is sent to the worker of the connection that waited.
//!
//! A lock ends when it is released, with its connection, or after its TTL.

mod request;
mod sharded;
mod table;
#[cfg(test)]
mod tests;
mod wakeups;

pub(crate) use request::{ConnectionId, LockOutcome, LockRequest, LockTicket, LockWakeup};
pub(crate) use sharded::{LOCKS_PER_CONNECTION, Locks};
#[cfg(feature = "status")]
pub(crate) use table::LockStats;

//! Tests of the lock table.

mod model;
mod table;

use super::request::{ConnectionId, LockWakeup};

/// The hash of all keys: the table must not rely on it.
const HASH: u64 = 7;

fn id(token: u32) -> ConnectionId {
    ConnectionId { worker: token % 3, token, serial: 1 }
}

fn locked(token: u32) -> LockWakeup {
    LockWakeup { connection: id(token), is_acquired: true }
}

fn timed_out(token: u32) -> LockWakeup {
    LockWakeup { connection: id(token), is_acquired: false }
}

//! The operations on the store and its model: operations on pairs, restarts, changes of the clocks.

use sharedance_core::store::{MAX_KEY_LEN, Ttl};

pub(crate) const KEYS: usize = 24;

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Set {
        key: usize,
        value: Vec<u8>,
        ttl: Ttl,
        client_flags: u32,
    },
    Add {
        key: usize,
        value: Vec<u8>,
        ttl: Ttl,
    },
    Replace {
        key: usize,
        value: Vec<u8>,
        ttl: Ttl,
    },
    /// With the current version, or with another one.
    CompareAndSet {
        key: usize,
        value: Vec<u8>,
        ttl: Ttl,
        is_right: bool,
    },
    Append {
        key: usize,
        tail: Vec<u8>,
    },
    Prepend {
        key: usize,
        head: Vec<u8>,
    },
    /// In upper case.
    Update(usize),
    /// Up by this number, or down.
    Count {
        key: usize,
        by: u64,
        is_up: bool,
    },
    Delete(usize),
    DeleteVersion {
        key: usize,
        is_right: bool,
    },
    Touch {
        key: usize,
        ttl: Ttl,
    },
    GetAndTouch {
        key: usize,
        ttl: Ttl,
    },
    Invalidate(usize),
    GetWith(usize),
    Hold(usize),
    LetGo,
    Clear,
    Maintain(usize),
    Prepare,
    Sync,
    Advance(u64),
    StepWall(u64),
    Reopen(Restart),
}

/// How a store is opened again, and what the clocks do meanwhile.
#[derive(Debug, Clone)]
pub(crate) enum Restart {
    /// Closed and opened.
    Orderly { off_ms: u64 },
    /// The process was killed.
    Killed { off_ms: u64 },
    /// Another boot. The wall clock shows this time then, and boot time may start again.
    Rebooted { wall_secs: u64, boot_time_anew: bool },
}

pub(crate) fn key(i: usize) -> Vec<u8> {
    let len = match i {
        0 => MAX_KEY_LEN,
        1..4 => 250,
        _ => 2 + i % 7,
    };
    (0..len).map(|at| if at == 0 { i as u8 } else { b'k' }).collect()
}

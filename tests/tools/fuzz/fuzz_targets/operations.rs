//! Sequences of operations on a store and its model, as in `tests/store/model/`, guided by coverage.
//!
//! The first byte selects the durability. Each operation has six bytes: the operation, the key, and two numbers of two
//! bytes as arguments. After any sequence, store and model agree, also after kills and reboots, and at the end all
//! space is freed.

#![no_main]

#[path = "../../../store/model/ops.rs"]
mod ops;
#[path = "../../../store/model/pair.rs"]
mod pair;

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ops::{KEYS, Op, Restart};
use pair::Pair;
use sharedance_core::store::{Durability, Ttl};
use sharedance_test_support::{naive, scratch};

const OP_LEN: usize = 6;
/// No input needs more operations to reach new code.
const MAX_OPS: usize = 200;
/// The initial wall time of a manual clock.
const WALL_SECS: u64 = 1_000_000_000;

fuzz_target!(|input: &[u8]| {
    let Some((mode, ops)) = input.split_first() else {
        return;
    };
    let interval = Durability::Interval(Duration::from_secs(1));
    let mut pair = Pair::promising([Durability::Os, interval, Durability::Always][usize::from(mode % 3)]);
    for op in ops.chunks_exact(OP_LEN).take(MAX_OPS) {
        pair.apply(decode(op));
    }
    pair.check();
    pair.wind_up();
});

fn decode(bytes: &[u8]) -> Op {
    let key = usize::from(bytes[1]) % KEYS;
    let (how, much) = (u16::from_le_bytes([bytes[2], bytes[3]]), u16::from_le_bytes([bytes[4], bytes[5]]));
    let (value, ttl) = (value(how), ttl(much));
    match bytes[0] % 32 {
        0..6 => Op::Set { key, value, ttl, client_flags: 0 },
        6 => Op::Set { key, value, ttl, client_flags: u32::from(much) },
        7 => Op::Add { key, value, ttl },
        8 => Op::Replace { key, value, ttl },
        9 => Op::CompareAndSet { key, value, ttl, is_right: how % 2 == 0 },
        10 => Op::Append { key, tail: value },
        11 => Op::Prepend { key, head: value },
        12 => Op::Update(key),
        13 => Op::Count { key, by: u64::from(how), is_up: much % 2 == 0 },
        14 | 15 => Op::Delete(key),
        16 => Op::DeleteVersion { key, is_right: how % 2 == 0 },
        17 | 18 => Op::Touch { key, ttl },
        19 => Op::GetAndTouch { key, ttl },
        20 => Op::Invalidate(key),
        21 => Op::GetWith(key),
        22 => Op::Hold(key),
        23 => Op::LetGo,
        24 => Op::Clear,
        25 | 26 => Op::Maintain(if how == u16::MAX { usize::MAX } else { usize::from(how % 300) }),
        27 => Op::Prepare,
        28 => Op::Sync,
        29 => Op::Advance(u64::from(how) * u64::from(much % 100 + 1)),
        30 => Op::StepWall(wall_secs(how)),
        _ => Op::Reopen(restart(how, much)),
    }
}

/// Numbers, and values of all relevant lengths: in a file of its own, most of a segment, almost nothing.
fn value(how: u16) -> Vec<u8> {
    let filling = (how % 4) as u8;
    let len = usize::from(how / 4);
    match how % 16 {
        3 => u64::from(how).pow(u32::from(how % 5)).to_string().into_bytes(),
        0..12 => vec![filling; len % 3_000],
        12..15 => vec![filling; len],
        _ => vec![filling; 60_000],
    }
}

fn ttl(much: u16) -> Ttl {
    match much % 8 {
        0 => Ttl::Never,
        1 => Ttl::After(Duration::ZERO),
        2..5 => Ttl::After(Duration::from_millis(u64::from(much))),
        5 => Ttl::After(Duration::from_secs(u64::from(much))),
        _ => Ttl::Default,
    }
}

/// Up to an hour before or after.
fn wall_secs(how: u16) -> u64 {
    WALL_SECS - 3_600 + u64::from(how) % 7_200
}

fn restart(how: u16, much: u16) -> Restart {
    match much % 4 {
        0 => Restart::Orderly { off_ms: u64::from(how) },
        1 | 2 => Restart::Killed { off_ms: u64::from(how) },
        _ => Restart::Rebooted { wall_secs: wall_secs(how), boot_time_anew: much % 8 == 3 },
    }
}

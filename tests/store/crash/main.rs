//! The store after a crash: of the process, of the machine, with pages written in any order, and with a full disk.
//!
//! A test named `invariant_…` checks the invariant of that number in `tests/store/invariants`. `CRASH_ROUNDS` sets how
//! often a process is killed and how many images are mixed.

// A test that cannot use its own files fails at once.
#![allow(clippy::unwrap_used)]

mod damage;
mod full_disk;
mod images;
mod kill;
mod outage;
mod power;
mod steps;
mod writer;

use sharedance_test_support::{layout, scratch};
use std::path::Path;

use scratch::SEGMENT_LEN;
use sharedance_core::clock::ManualClock;
use sharedance_core::store::{Background, BootId, Options, Store};

/// Returns the number of repetitions of randomized tests.
fn rounds(default: u64) -> u64 {
    std::env::var("CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}

/// A store on the given boot and clock.
fn options(boot: u8, hand: &ManualClock) -> Options {
    Options::new()
        .background(Background::Manual)
        .segment_len(SEGMENT_LEN)
        .boot_id(Some(BootId::from_bytes([boot; 16])))
        .clock(hand.clock())
}

fn open(dir: &Path, boot: u8, hand: &ManualClock) -> Store {
    options(boot, hand).open(dir).unwrap()
}

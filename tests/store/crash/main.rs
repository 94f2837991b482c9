//! What the store is after a crash: of the process, of the machine, of the disk's truthfulness, and out of room.
//!
//! A test that is named `invariant_…` holds the store to the invariant of that number in `invariants.rs`. `CRASH_ROUNDS`
//! sets how often a process is killed and how many images are mixed.

// A test that cannot use its own files is to fail at once.
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
use sharedance_core::store::{BootId, Options, Store};

/// How often to repeat what is left to chance.
fn rounds(unless_told: u64) -> u64 {
    std::env::var("CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(unless_told)
}

/// A store on a boot and a clock of the test's choice.
fn options(boot: u8, hand: &ManualClock) -> Options {
    Options::new().segment_len(SEGMENT_LEN).boot_id(Some(BootId::from_bytes([boot; 16]))).clock(hand.clock())
}

fn open(dir: &Path, boot: u8, hand: &ManualClock) -> Store {
    options(boot, hand).open(dir).unwrap()
}

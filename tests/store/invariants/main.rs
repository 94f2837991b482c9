//! The invariants of the store, with the tests of each.
//!
//! | | invariant | tests |
//! | --- | --- | --- |
//! | 1 | any order of operations, expiry, compaction, eviction and reopening equals the model | `invariant_01_…` in `model` and here |
//! | 2 | after `kill -9` at any instant every key has its last acknowledged operation, or the one in flight | `invariant_02_…` in `crash` |
//! | 3 | after a crash of the system no value is served that was never written for its key or has expired, and only unsynced writes are lost | `invariant_03_…` in `crash` |
//! | 4 | the live bytes are those of the records in the index, which correspond one to one to the live slots; the used space is that of the files | `invariant_04_…` here |
//! | 5 | the bytes of a held value never change | `invariant_05_…` here and in `model` |
//! | 6 | one live entry per key; a deleted key stays deleted, after any restart too | `invariant_06_…` here, in `model` and `crash` |
//! | 7 | expiry removes expired pairs only; two ticks after the last deadline all space is freed | `invariant_07_…` here and in `model` |
//! | 8 | allocation may fail at any time: sets fail as full, no acknowledged write is lost, service resumes, no stray file remains | `invariant_08_…` in `crash` and `faults` |
//! | 9 | at rest the space is bounded by the live bytes, however often the store is restarted | `invariant_09_…` here and in `crash` |
//! | 10 | store time never decreases, whatever the clocks do | `invariant_10_…` here |
//! | 11 | recovery of arbitrary bytes stays in bounds, takes time proportional to the files, and gives the same result twice | `invariant_11_…` here; the fuzz target `recovery` |
//! | 12 | an uncommitted reservation is invisible, and its space is freed | `invariant_12_…` in `crash` |
//! | 13 | an identical set changes only the deadline | `invariant_13_…` here |
//! | 14 | a slot of an earlier incarnation of its file is ignored, whether its checksum is intact or not | `invariant_14_…` in `crash` |
//!
//! `INVARIANT_ROUNDS` makes them run longer.

// A test that cannot use its own store fails at once.
#![allow(clippy::unwrap_used)]

mod accounts;
mod arbitrary;
mod held;
mod room;
mod time;

use sharedance_test_support::{layout, scratch};
use std::collections::BTreeSet;
use std::path::Path;

use scratch::SEGMENT_LEN;
use sharedance_core::clock::ManualClock;
use sharedance_core::store::{Background, BootId, Options, Store};

/// Returns the number of repetitions of randomized tests.
fn rounds(default: u64) -> u64 {
    std::env::var("INVARIANT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}

/// Short segments, the given boot, and a manual clock.
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

/// Each invariant of the table above has a test, and no test names another invariant.
#[test]
fn each_invariant_of_the_table_has_tests() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/store");
    let sources = ["model", "crash", "invariants", "faults"].into_iter().flat_map(|dir| {
        let files = std::fs::read_dir(tests.join(dir)).into_iter().flatten();
        files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok())
    });
    let mut named = BTreeSet::new();
    for source in sources {
        for test in source.split("#[test]").skip(1) {
            let name = test.split_once("fn invariant_").and_then(|(_, name)| name.get(..2));
            named.extend(name.and_then(|number| number.parse::<u32>().ok()));
        }
    }
    assert_eq!(named, (1..=14).collect());
}

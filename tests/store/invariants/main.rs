//! The invariants of the store, each with the tests that bear its name.
//!
//! | | what always holds | tests |
//! | --- | --- | --- |
//! | 1 | any order of operations, expiry, compaction, eviction and reopening equals the model | `invariant_01_…` in `model.rs` and here |
//! | 2 | after `kill -9` at any instant every key is at its last acknowledged operation, or at the one in flight | `invariant_02_…` in `crash.rs` |
//! | 3 | after a crash of the system nothing is served that was never written for its key or is past its deadline, and only what was not synced is lost | `invariant_03_…` in `crash.rs` |
//! | 4 | accounts: live bytes are those of the records in the index, which are the live slots, one to one; room used is that of the files | `invariant_04_…` here |
//! | 5 | the bytes of a held value never change | `invariant_05_…` here and in `model.rs` |
//! | 6 | one live entry a key; after a delete it is gone, after any restart too | `invariant_06_…` here, in `model.rs` and `crash.rs` |
//! | 7 | expiry takes nothing that has not expired; two ticks after the last deadline no room is held | `invariant_07_…` here and in `model.rs` |
//! | 8 | allocation may fail at any time: sets fail as full, nothing acknowledged is lost, service resumes, no stray file | `invariant_08_…` in `crash.rs` and `faults.rs` |
//! | 9 | at rest room is bounded by what lives, however often the store is restarted | `invariant_09_…` here and in `crash.rs` |
//! | 10 | store time never goes back, whatever the clocks do | `invariant_10_…` here |
//! | 11 | recovery over arbitrary bytes stays in bounds, takes time in proportion to the files, and gives the same twice | `invariant_11_…` here; the fuzz target `recovery` |
//! | 12 | what was reserved and never committed is invisible, and its room comes back | `invariant_12_…` in `crash.rs` |
//! | 13 | an identical set moves only the deadline | `invariant_13_…` here |
//! | 14 | a slot of an earlier incarnation of its file is never believed, its checksum intact or not | `invariant_14_…` in `crash.rs` |
//!
//! `INVARIANT_ROUNDS` makes them run longer.

// A test that cannot use its own store is to fail at once.
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
use sharedance_core::store::{BootId, Options, Store};

/// How often to repeat what is left to chance.
fn rounds(unless_told: u64) -> u64 {
    std::env::var("INVARIANT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(unless_told)
}

/// Short segments, a boot and a clock of the test's choice.
fn options(boot: u8, hand: &ManualClock) -> Options {
    Options::new().segment_len(SEGMENT_LEN).boot_id(Some(BootId::from_bytes([boot; 16]))).clock(hand.clock())
}

fn open(dir: &Path, boot: u8, hand: &ManualClock) -> Store {
    options(boot, hand).open(dir).unwrap()
}

/// The table above is all there is, and all of it is there.
#[test]
fn each_invariant_has_tests_that_bear_its_name() {
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

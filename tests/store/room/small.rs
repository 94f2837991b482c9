//! Stores with small limits, whose segments shrink with the limit.

use sharedance_core::clock::Clock;
use sharedance_core::store::{Background, Options, Store, StoreError, Ttl, WhenFull};
use tempfile::TempDir;

use crate::scratch::{self, Image};
use crate::{fill, maintain_for_a_second};

const MIB: u64 = 1 << 20;
const LIMITS: [u64; 5] = [2, 3, 8, 63, 64];

/// Short values, in a number that is still fast, values that share segments, and values that have files of their own in
/// the smaller stores.
fn cases() -> impl Iterator<Item = (u64, usize)> {
    let small = LIMITS.into_iter().filter(|mib| *mib <= 3).map(|mib| (mib * MIB, 100));
    small.chain(LIMITS.into_iter().flat_map(|mib| [20_000, 100_000].map(|len| (mib * MIB, len))))
}

fn open(limit: u64, when_full: WhenFull) -> (TempDir, Store) {
    let (dir, (clock, _)) = (scratch::directory(), Clock::manual());
    let store = Options::new()
        .background(Background::Manual)
        .max_bytes(limit)
        .when_full(when_full)
        .clock(clock)
        .open(dir.path())
        .unwrap();
    (dir, store)
}

#[test]
fn a_limit_from_two_mebibytes_up_is_filled_and_kept() {
    for (limit, len) in cases() {
        let (dir, store) = open(limit, WhenFull::Refuse);
        let stored = fill(&store, 0, len, Ttl::Never);
        let bytes = u64::from(stored) * len as u64;
        // Slots and keys take a third of short values; up to a quarter of a segment stays unused with long ones.
        let least = if len == 100 { limit / 2 } else { limit * 2 / 3 };
        assert!(bytes >= least, "{stored} values of {len} bytes within {limit}: {:?}", store.stats());
        assert!((0..stored).all(|key| store.get(key.to_be_bytes()).unwrap() == vec![key as u8; len][..]));
        assert!(store.stats().file_bytes <= limit);
        assert_eq!(store.stats().file_bytes, Image::take(dir.path()).segment_bytes());
    }
}

#[test]
fn a_limit_from_two_mebibytes_up_evicts_old_pairs() {
    for (limit, len) in cases() {
        let (_dir, store) = open(limit, WhenFull::Evict);
        let written = (2 * limit / len as u64) as u32;
        for key in 0..written {
            store.set(key.to_be_bytes(), vec![key as u8; len]).unwrap();
            if key % 50 == 0 {
                store.maintain(1_024).unwrap();
            }
        }
        let stats = store.stats();
        assert!(stats.file_bytes <= limit && stats.evicted > 0 && stats.refused_full == 0, "{stats:?}");
        assert!(stats.live_bytes >= limit / 2, "{len} bytes within {limit}: {stats:?}");
        assert!(store.contains((written - 1).to_be_bytes()) && !store.contains(0u32.to_be_bytes()));
    }
}

#[test]
fn the_largest_value_of_a_small_store_is_a_segment_shorter_than_the_limit() {
    for (when_full, mib) in
        [WhenFull::Refuse, WhenFull::Evict].into_iter().flat_map(|full| LIMITS.map(|mib| (full, mib)))
    {
        let limit = mib * MIB;
        let (_dir, store) = open(limit, when_full);
        // One segment and some more.
        let largest = (limit - limit / 16) as usize;
        store.set("big", vec![1; largest]).unwrap();
        assert_eq!(store.get("big").unwrap().len(), largest);
        assert!(matches!(store.set("bigger", vec![1; limit as usize]), Err(StoreError::Full)));
        assert!(store.contains("big"), "a value that never fits evicts no pair");
    }
}

#[test]
fn dead_space_of_the_smallest_store_is_reused() {
    let (dir, (clock, hand)) = (scratch::directory(), Clock::manual());
    let store = Options::new().background(Background::Manual).max_bytes(2 * MIB).clock(clock).open(dir.path()).unwrap();
    let written = fill(&store, 0, 1_000, Ttl::Never);
    let dead = (0..written).step_by(10).filter(|key| store.delete(key.to_be_bytes()).unwrap()).count() as u32;
    let mut again = 0;
    for _ in 0..5 {
        maintain_for_a_second(&store, &hand);
        again += fill(&store, written + again, 1_000, Ttl::Never);
    }
    assert!(again >= dead - 63, "{again} of {dead}: all but a segment's worth");
}

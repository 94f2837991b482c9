//! A full store that refuses new pairs: new pairs reuse the space of dead ones.

use std::time::Duration;

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{Background, Durability, Options, Store, StoreError, Ttl};
use tempfile::TempDir;

use crate::scratch::{self, SEGMENT_LEN};
use crate::{fill, maintain_for_a_second};

const MODES: [Durability; 3] = [Durability::Os, Durability::Interval(Duration::from_secs(3_600)), Durability::Always];
const SEGMENTS: u64 = 64;
/// A record with its key and its slot.
const FOOTPRINT: u64 = LEN as u64 + 16 + 32;
const LEN: usize = 240;

struct Full {
    _dir: TempDir,
    store: Store,
    hand: ManualClock,
    written: u32,
}

/// A store of this many segments, filled until a pair is refused.
fn full(durability: Durability, segments: u64, len: usize) -> Full {
    let (dir, (clock, hand)) = (scratch::directory(), Clock::manual());
    let options = Options::new()
        .background(Background::Manual)
        .segment_len(SEGMENT_LEN)
        .max_bytes(segments * SEGMENT_LEN as u64)
        .clock(clock);
    let store = options.durability(durability).open(dir.path()).unwrap();
    let written = fill(&store, 0, len, Ttl::Never);
    Full { _dir: dir, store, hand, written }
}

impl Full {
    /// Runs maintenance without a writer, then writes until the store is full.
    fn refill(&self) -> u32 {
        for _ in 0..2 {
            maintain_for_a_second(&self.store, &self.hand);
        }
        let mut again = 0;
        // A refused writer retries some times: it does not do all of the work at once.
        for _ in 0..5 {
            again += fill(&self.store, self.written + again, LEN, Ttl::Never);
            maintain_for_a_second(&self.store, &self.hand);
        }
        again
    }

    fn delete(&self, keys: impl IntoIterator<Item = u32>) -> u64 {
        keys.into_iter().map(|key| u64::from(self.store.delete(key.to_be_bytes()).unwrap())).sum()
    }

    /// Checks that all dead space can be written to, except one segment's worth.
    #[track_caller]
    fn assert_refilled(&self, dead: u64) {
        let again = u64::from(self.refill());
        let least = (dead * FOOTPRINT).saturating_sub(SEGMENT_LEN as u64) / FOOTPRINT;
        assert!(again >= least, "{again} of {dead}, {least} at least: {:?}", self.store.stats());
        let stats = self.store.stats();
        assert!(stats.file_bytes <= SEGMENTS * SEGMENT_LEN as u64, "{stats:?}");
    }
}

#[test]
fn dead_space_in_every_segment_of_a_full_store_is_reused() {
    for durability in MODES {
        let full = full(durability, SEGMENTS, LEN);
        // With its header, a segment is still used to more than nine tenths.
        let dead = full.delete((0..full.written).step_by(25));
        full.assert_refilled(dead);
        assert!((0..full.written).filter(|key| key % 25 != 0).all(|key| full.store.contains(key.to_be_bytes())));
    }
}

#[test]
fn dead_space_spread_over_many_segments_is_reused() {
    for durability in MODES {
        let full = full(durability, SEGMENTS, LEN);
        // One and a half segments in total.
        let dead = full.delete((0..full.written).step_by(40));
        full.assert_refilled(dead);
    }
}

#[test]
fn dead_space_within_one_segment_of_a_full_store_is_reused() {
    for durability in MODES {
        let full = full(durability, 8, LEN);
        let dead = full.delete(0..full.written / 10);
        // Maintenance frees the space without a writer, so the first writer finds it.
        for _ in 0..3 {
            maintain_for_a_second(&full.store, &full.hand);
        }
        let again = u64::from(fill(&full.store, full.written, LEN, Ttl::Never));
        assert!(again >= dead * 9 / 10, "{again} of {dead} under {durability:?}: {:?}", full.store.stats());
    }
}

#[test]
fn space_of_expired_pairs_of_a_full_store_is_reused() {
    for durability in MODES {
        let (dir, (clock, hand)) = (scratch::directory(), Clock::manual());
        let options = Options::new()
            .background(Background::Manual)
            .segment_len(SEGMENT_LEN)
            .max_bytes(SEGMENTS * SEGMENT_LEN as u64)
            .clock(clock);
        let store = options.durability(durability).open(dir.path()).unwrap();
        // Touched after they were written: some expire beside others that do not.
        let written = fill(&store, 0, LEN, Ttl::Never);
        let dead = (0..written).step_by(25);
        let count = dead.clone().filter(|key| store.touch(key.to_be_bytes(), Duration::from_secs(10)).unwrap()).count();
        let full = Full { _dir: dir, store, hand, written };
        full.hand.advance(Duration::from_secs(11));
        full.assert_refilled(count as u64);
    }
}

#[test]
fn space_of_overwritten_values_of_a_full_store_is_reused() {
    for durability in MODES {
        let full = full(durability, SEGMENTS, LEN);
        let freed = full.delete(0..full.written / 30);
        maintain_for_a_second(&full.store, &full.hand);
        // Each replaces a value of the same length: the later ones need exactly the space of the old values.
        let mut stored = 0;
        for round in 0..8u8 {
            for key in (full.written / 30..full.written).step_by(25) {
                stored += match full.store.set_with_ttl(key.to_be_bytes(), [round; LEN], Ttl::Never) {
                    Ok(()) => 1,
                    Err(StoreError::Full) => 0,
                    Err(error) => panic!("{error}"),
                };
            }
            maintain_for_a_second(&full.store, &full.hand);
        }
        let attempts = 8 * ((full.written / 30..full.written).step_by(25).count() as u64);
        assert!(attempts > 8 * freed && stored == attempts, "{stored} of {attempts} under {durability:?}");
    }
}

#[test]
fn a_big_value_reuses_the_space_of_dead_records() {
    for durability in MODES {
        let full = full(durability, SEGMENTS, LEN);
        full.delete((0..full.written).step_by(25));
        let is_stored = (0..5).any(|_| {
            maintain_for_a_second(&full.store, &full.hand);
            full.store.set_with_ttl(b"big", vec![1; SEGMENT_LEN / 2], Ttl::Never).is_ok()
        });
        assert!(is_stored, "{durability:?}: {:?}", full.store.stats());
    }
}

#[test]
fn a_store_full_of_live_pairs_copies_nothing() {
    for (durability, len) in MODES.into_iter().flat_map(|mode| [LEN, SEGMENT_LEN / 4 - 100].map(|len| (mode, len))) {
        let full = full(durability, SEGMENTS, len);
        let before = full.store.stats().compacted_bytes;
        for key in 0..200u32 {
            let refused = full.store.set_with_ttl((full.written + key).to_be_bytes(), vec![1; len], Ttl::Never);
            assert!(matches!(refused, Err(StoreError::Full)));
            assert!(!full.store.maintain(1_024).unwrap().pending);
            full.hand.advance(Duration::from_millis(100));
        }
        assert_eq!(full.store.stats().compacted_bytes, before, "{durability:?}, values of {len} bytes");
    }
}

/// Less is dead than is worth a copy: the work ends, and does not start again with each refused write.
#[test]
fn a_store_with_few_dead_bytes_copies_for_a_bounded_time() {
    let full = full(Durability::Os, SEGMENTS, LEN);
    full.delete((0..full.written).step_by(50));
    full.refill();
    let before = full.store.stats();
    full.refill();
    let after = full.store.stats();
    assert_eq!(after.compacted_bytes, before.compacted_bytes, "{after:?}");
}

#[test]
fn a_store_opened_with_a_lower_limit_than_it_uses_is_compacted_below_it() {
    let full = full(Durability::Os, SEGMENTS, LEN);
    full.delete((0..full.written).filter(|key| key % 3 != 0));
    let (dir, hand, written) = (full._dir, full.hand, full.written);
    drop(full.store);
    let limit = 30 * SEGMENT_LEN as u64;
    let options =
        Options::new().background(Background::Manual).segment_len(SEGMENT_LEN).max_bytes(limit).clock(hand.clock());
    let store = options.open(dir.path()).unwrap();
    let most = store.stats().file_bytes + SEGMENT_LEN as u64;
    for _ in 0..10 {
        maintain_for_a_second(&store, &hand);
        assert!(store.stats().file_bytes <= most);
    }
    assert!(store.stats().file_bytes <= limit, "{:?}", store.stats());
    assert!(fill(&store, written, LEN, Ttl::Never) > 0);
    assert!((0..written).step_by(3).all(|key| store.contains(key.to_be_bytes())));
}

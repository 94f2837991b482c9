//! The space that a store uses: while pairs live, after they have expired, and over restarts.

use std::time::Duration;

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{Durability, Store, StoreError, Ttl};

use crate::scratch::{self, Chance, Image, SEGMENT_LEN, stamped};
use crate::{open, options, rounds};

/// The space that segments may take beside live bytes, as a multiple of it, and in segments.
const TARGET: u64 = 2;
const SLACK_SEGMENTS: u64 = 3;
/// Segments that cannot be compacted: open for new writes, open for survivors, ready for use.
const OPEN_SEGMENTS: u64 = 3;

/// Lets the store finish all its work.
fn rest(store: &Store, hand: &ManualClock) {
    for _ in 0..60 {
        while store.maintain(1_000).unwrap().pending {}
        hand.advance(Duration::from_secs(2));
    }
}

/// `crash` tests a writer that finds no space. Here a small budget leaves the sweep incomplete.
#[test]
fn invariant_07_two_ticks_after_the_deadline_all_space_is_freed_with_any_budget() {
    let (dir, (_, hand)) = (scratch::directory(), Clock::manual());
    let store = open(dir.path(), 1, &hand);
    for i in 0..2_000u32 {
        let ttl = Ttl::After(Duration::from_millis(100 + u64::from(i % 50) * 7));
        store.set_with_ttl(i.to_be_bytes(), [1; 300], ttl).unwrap();
    }
    store.set_with_ttl(b"stays", b"1", Ttl::Never).unwrap();
    hand.advance(Duration::from_millis(200));
    for _ in 0..5 {
        store.maintain(3).unwrap();
    }
    for _ in 0..2 {
        hand.advance(Duration::from_secs(1));
        while store.maintain(7).unwrap().pending {}
    }
    let stats = store.stats();
    assert_eq!((stats.pairs, stats.live_bytes), (1, 32 + 16), "{stats:?}");
    assert!(stats.file_bytes <= (1 + SLACK_SEGMENTS) * SEGMENT_LEN as u64, "{stats:?}");
    assert!(store.contains(b"stays"));
}

#[test]
fn invariant_09_at_rest_the_space_is_bounded_by_the_live_bytes() {
    for durability in [Durability::Os, Durability::Interval(Duration::from_secs(1)), Durability::Always] {
        for seed in 0..rounds(4) {
            let (dir, (_, hand), mut chance) = (scratch::directory(), Clock::manual(), Chance(seed));
            let store = options(1, &hand).durability(durability).open(dir.path()).unwrap();
            let keys = [20, 400, 1_500][chance.below(3) as usize];
            for step in 0..4_000 {
                let key = (chance.below(keys) as u32).to_be_bytes();
                match chance.below(10) {
                    0..3 => drop(store.delete(key).unwrap()),
                    _ => store.set(key, stamped(&key, step, chance.below(1_500) as usize)).unwrap(),
                }
                if chance.percent(2) {
                    store.maintain(50).unwrap();
                    hand.advance(Duration::from_millis(20));
                }
            }
            rest(&store, &hand);
            let stats = store.stats();
            let allowed = TARGET * stats.live_bytes + (SLACK_SEGMENTS + OPEN_SEGMENTS) * SEGMENT_LEN as u64;
            assert!(stats.file_bytes <= allowed, "{} > {allowed} with {keys} keys: {stats:?}", stats.file_bytes);
        }
    }
}

/// At the limit, with pairs deleted from every segment, so that no segment is empty: space is freed by emptying some.
#[test]
fn invariant_08_at_the_limit_segments_are_emptied_for_new_writes() {
    for is_restarted in [false, true] {
        let (dir, (_, hand)) = (scratch::directory(), Clock::manual());
        let limited = || options(1, &hand).max_bytes(12 * SEGMENT_LEN as u64).open(dir.path()).unwrap();
        let mut store = limited();
        let fill = |store: &Store, first: u32| {
            let is_stored = |key: &u32| match store.set_with_ttl(key.to_be_bytes(), [1; 500], Ttl::Never) {
                Ok(()) => true,
                Err(StoreError::Full) => false,
                Err(error) => panic!("{error}"),
            };
            (first..).take_while(is_stored).count() as u32
        };
        let written = fill(&store, 0);
        (0..written).filter(|key| key % 3 != 0).for_each(|key| assert!(store.delete(key.to_be_bytes()).unwrap()));
        let mut again = 0;
        for turn in 0..20 {
            // A refused writer retries; the store limits the work that it does for each attempt.
            hand.advance(Duration::from_millis(200));
            again += fill(&store, written + again);
            if is_restarted && turn % 3 == 0 {
                drop(store);
                store = limited();
            }
        }
        assert!(again > written / 2, "{again} of {written}: {:?}", store.stats());
        assert_eq!(store.len() as u32, written.div_ceil(3) + again);
    }
}

/// Ten thousand restarts with `INVARIANT_RESTARTS=10000`.
#[test]
fn invariant_09_restarts_need_no_more_space() {
    let restarts = std::env::var("INVARIANT_RESTARTS").ok().and_then(|restarts| restarts.parse().ok()).unwrap_or(300);
    let (dir, (_, hand)) = (scratch::directory(), Clock::manual());
    let mut room = Vec::new();
    let mut boot = 1;
    for life in 0..restarts {
        let store = open(dir.path(), boot, &hand);
        for i in 0..4u32 {
            let (at, ttl) = (((life as u32 * 4 + i) % 50).to_be_bytes(), Duration::from_secs(6_000 << i));
            store.set_with_ttl(at, stamped(&at, life, 600), Ttl::After(ttl)).unwrap();
        }
        store.maintain(100).unwrap();
        let left = Image::take(dir.path());
        drop(store);
        if life % 2 == 0 {
            left.restore(dir.path());
        }
        if life % 50 == 49 {
            boot = 3 - boot;
        }
        hand.advance(Duration::from_secs(1));
        room.push(left.segment_bytes());
    }
    let store = open(dir.path(), boot, &hand);
    let stats = store.stats();
    assert_eq!((stats.pairs, store.recovery().dropped), (50, 0));
    let most = |lives: std::ops::Range<usize>| room[lives].iter().copied().max();
    let (half, all) = (room.len() / 2, room.len());
    assert!(most(half..all) <= most(50..half), "{:?} {:?}", most(half..all), most(50..half));
    // One segment open for each of the four TTLs and one for survivors, one being emptied, and some spare ones.
    assert!(most(0..all) <= Some(TARGET * stats.live_bytes + 9 * SEGMENT_LEN as u64), "{:?}: {stats:?}", most(0..all));
}

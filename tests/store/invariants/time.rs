//! Deadlines, and the time on which they are based.

use std::time::Duration;

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{Durability, Store, Ttl};

use crate::scratch::{self, Chance, Image};
use crate::{open, options, rounds};

const DEFAULT_TTL: Duration = Duration::from_secs(60);
/// The initial wall time of a manual clock.
const WALL_SECS: u64 = 1_000_000_000;

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The wall clock is stepped by up to an hour in either direction at any time. The machine reboots, is switched off,
/// and loses its boot time.
#[test]
fn invariant_10_store_time_never_decreases_whatever_the_clocks_do() {
    for seed in 0..rounds(30) {
        let (dir, (_, hand), mut chance) = (scratch::directory(), Clock::manual(), Chance(seed));
        let mut boot = 1;
        let mut store = open(dir.path(), boot, &hand);
        store.set_with_ttl(b"far", b"1", Ttl::After(Duration::from_secs(100_000))).unwrap();
        let mut gone = Vec::new();
        let step = |chance: &mut Chance, hand: &ManualClock| {
            hand.step_wall(Duration::from_secs(WALL_SECS - 3_600 + chance.below(7_200)));
        };
        for turn in 0..12u8 {
            let (name, ms) = ([b'n', turn], chance.below(5_000));
            store.set_with_ttl(name, b"1", Ttl::After(millis(ms + 1))).unwrap();
            step(&mut chance, &hand);
            hand.advance(millis(ms));
            step(&mut chance, &hand);
            assert!(store.contains(name), "{turn} expired too early");
            hand.advance(millis(1));
            gone.push(name);
            assert!(gone.iter().all(|name| !store.contains(name)));
            // Within a second of the last maintenance, however the store ends.
            store.maintain(10).unwrap();
            let killed = Image::take(dir.path());
            drop(store);
            if chance.percent(50) {
                killed.restore(dir.path());
            }
            step(&mut chance, &hand);
            if chance.percent(60) {
                boot += 1;
                if chance.percent(50) {
                    hand.reboot();
                }
            }
            store = open(dir.path(), boot, &hand);
            assert!(gone.iter().all(|name| !store.contains(name)), "seed {seed}, turn {turn}: a pair returned");
        }
        assert!(store.contains(b"far"), "an hour or two per turn are less than a day");
    }
}

#[test]
fn invariant_10_a_wall_clock_wrong_by_decades_makes_no_pair_permanent() {
    for wall_secs in [0, 4_000_000_000] {
        let (dir, (_, hand)) = (scratch::directory(), Clock::manual());
        drop(open(dir.path(), 1, &hand));
        hand.reboot();
        hand.step_wall(Duration::from_secs(wall_secs));
        let store = open(dir.path(), 2, &hand);
        store.set_with_ttl(b"short", b"1", Ttl::After(Duration::from_secs(10))).unwrap();
        hand.advance(millis(9_999));
        assert!(store.contains(b"short"));
        hand.advance(millis(1));
        assert!(!store.contains(b"short"));
    }
}

/// The clock is stepped after the store last saved its time, and the store is closed before it saves the time again.
#[test]
fn invariant_10_closing_a_store_saves_its_time() {
    for durability in [Durability::Os, Durability::Interval(Duration::from_secs(1)), Durability::Always] {
        let (dir, (_, hand)) = (scratch::directory(), Clock::manual());
        let store = options(1, &hand).default_ttl(DEFAULT_TTL).durability(durability).open(dir.path()).unwrap();
        set(&store, b"before");
        hand.step_wall(Duration::from_secs(WALL_SECS - 3_600));
        set(&store, b"after");
        drop(store);
        hand.reboot();
        hand.step_wall(Duration::from_secs(WALL_SECS - 3_600) + 2 * DEFAULT_TTL);
        assert!(open(dir.path(), 2, &hand).is_empty(), "{durability:?}: off for longer than the pair lived");
    }
}

fn set(store: &Store, value: &[u8]) {
    store.set(b"same", value).unwrap();
}

#[test]
fn invariant_13_an_identical_set_changes_only_the_deadline() {
    for len in [0, 700, 30_000] {
        let (dir, (_, hand)) = (scratch::directory(), Clock::manual());
        let store = options(1, &hand).default_ttl(DEFAULT_TTL).open(dir.path()).unwrap();
        let value = vec![7; len];
        set(&store, &value);
        let version = store.get(b"same").unwrap().version();
        let before = Image::take(dir.path());
        hand.advance(DEFAULT_TTL - millis(1));
        set(&store, &value);
        let after = Image::take(dir.path());
        assert_eq!((store.stats().identical_sets, store.get(b"same").unwrap().version()), (1, version));
        let changed: usize = before
            .segments()
            .iter()
            .map(|name| before.files[name].iter().zip(&after.files[name]).filter(|(a, b)| a != b).count())
            .sum();
        assert!(before.segments() == after.segments() && (1..=8).contains(&changed), "{changed} bytes of {len}");
        hand.advance(DEFAULT_TTL - millis(1));
        assert_eq!(store.get(b"same").unwrap(), value);
        hand.advance(millis(1));
        assert!(store.get(b"same").is_none());
        // An expired pair cannot be set again: it is stored as a new one.
        set(&store, &value);
        assert_eq!(store.stats().identical_sets, 1);
        assert_eq!(store.get(b"same").unwrap(), value);
    }
}

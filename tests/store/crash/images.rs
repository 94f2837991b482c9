//! A crash of the machine: the disk has an older or a newer state of each page, in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{Durability, Store, Ttl};

use crate::scratch::{self, Chance, Image, SEGMENT_LEN, stamped, version_of};
use crate::{open, options, rounds};

pub(crate) const PAGE: usize = 4096;
pub(crate) const KEYS: u32 = 300;
/// Longer than any test.
const LONG: Ttl = Ttl::After(Duration::from_secs(1_000_000));
const SHORT: Duration = Duration::from_secs(60);

/// The history of a key.
#[derive(Debug, Default, Clone)]
struct History {
    /// The last version that was written, and whether it expires before the crash.
    last: u64,
    is_short: bool,
    is_deleted: bool,
}

struct Scenario {
    dir: tempfile::TempDir,
    store: Store,
    hand: ManualClock,
    chance: Chance,
    keys: BTreeMap<u32, History>,
    version: u64,
}

impl Scenario {
    fn new(seed: u64) -> Scenario {
        Scenario::with_durability(seed, Durability::Os)
    }

    fn with_durability(seed: u64, durability: Durability) -> Scenario {
        let dir = scratch::directory();
        let (_, hand) = Clock::manual();
        let store = options(1, &hand).durability(durability).open(dir.path()).unwrap();
        let keys = (0..KEYS).map(|key| (key, History::default())).collect();
        Scenario { dir, store, hand, chance: Chance(seed), keys, version: 0 }
    }

    /// Changes one key of `part` keys, from `first` on.
    fn work(&mut self, operations: u64, first: u32, part: u32) {
        for _ in 0..operations {
            let key = first + self.chance.below(u64::from((KEYS - first) / part)) as u32 * part;
            let history = self.keys.get_mut(&key).unwrap();
            match self.chance.below(10) {
                0 | 1 => {
                    self.store.delete(key.to_be_bytes()).unwrap();
                    history.is_deleted = true;
                }
                2 => drop(self.store.touch(key.to_be_bytes(), if history.is_short { Ttl::After(SHORT) } else { LONG })),
                kind => {
                    self.version += 1;
                    let len = if self.chance.percent(2) { 20_000 } else { self.chance.below(1_500) };
                    let value = stamped(&key.to_be_bytes(), self.version, len as usize);
                    let is_short = kind == 3;
                    let ttl = if is_short { Ttl::After(SHORT) } else { LONG };
                    self.store.set_with_ttl(key.to_be_bytes(), &value, ttl).unwrap();
                    *history = History { last: self.version, is_short, is_deleted: false };
                }
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..3 {
            while self.store.maintain(100).unwrap().pending {}
            self.hand.advance(Duration::from_secs(1));
        }
    }

    fn synced(&self) -> Image {
        self.store.sync().unwrap();
        Image::take(self.dir.path())
    }
}

/// Returns an image of a disk that received `states`, older ones first: each page has one of its states. A file that is
/// not in all states may be missing. Where a page was not there yet, it is zero.
pub(crate) fn mix(states: &[Image], chance: &mut Chance) -> Image {
    let newest = states.len() - 1;
    let newest_percent = [0, 10, 50, 90, 100][chance.below(5) as usize];
    let mut mixed = Image::default();
    let names: BTreeSet<_> = states.iter().flat_map(|state| state.files.keys()).collect();
    for name in names {
        let of_states: Vec<_> = states.iter().map(|state| state.files.get(name)).collect();
        let is_everywhere = of_states.iter().all(Option::is_some);
        let Some(len) =
            of_states.iter().flatten().map(|bytes| bytes.len()).max().filter(|_| is_everywhere || chance.percent(50))
        else {
            continue;
        };
        let mut bytes = vec![0; len];
        for (page, to) in bytes.chunks_mut(PAGE).enumerate() {
            let state = if chance.percent(newest_percent) { newest } else { chance.below(newest as u64 + 1) as usize };
            // A deleted file has its last content.
            let from = of_states[state].or_else(|| of_states[..state].iter().rev().copied().flatten().next());
            if let Some(from) = from.and_then(|from| from.get(page * PAGE..)) {
                let len = to.len().min(from.len());
                to[..len].copy_from_slice(&from[..len]);
            }
        }
        mixed.files.insert(name.clone(), bytes);
    }
    mixed
}

/// Returns the versions that an image serves. Panics at a value that was never written.
pub(crate) fn served(store: &Store) -> BTreeMap<u32, u64> {
    let found = (0..KEYS).filter_map(|key| {
        let value = store.get(key.to_be_bytes())?;
        Some((key, version_of(&key.to_be_bytes(), &value).expect("a value that was never written for its key")))
    });
    found.collect()
}

/// Opens the image on another boot, twice, and returns the pairs.
pub(crate) fn recover(image: &Image, hand: &ManualClock) -> BTreeMap<u32, u64> {
    let dir = scratch::directory();
    image.restore(dir.path());
    let store = open(dir.path(), 2, hand);
    assert!(!store.recovery().same_boot);
    let found = served(&store);
    assert_eq!(store.recovery().pairs, store.len() as u64);
    assert_eq!(store.len(), found.len());
    drop(store);
    let store = open(dir.path(), 2, hand);
    assert!(store.recovery().same_boot);
    assert_eq!(served(&store), found, "reopening gives the same pairs");
    assert_eq!((store.recovery().superseded, store.recovery().dropped), (0, 0));
    check_usable(store, dir.path(), hand);
    found
}

/// Checks that the recovered store accepts new pairs, keeps them, and frees all space.
fn check_usable(store: Store, dir: &Path, hand: &ManualClock) {
    for key in 0..200u32 {
        store.set(key.to_le_bytes(), [3; 1_000]).unwrap();
    }
    drop(store);
    let store = open(dir, 2, hand);
    assert!((0..200u32).all(|key| store.get(key.to_le_bytes()).unwrap() == [3; 1_000]));
    assert_eq!(store.recovery().dropped, 0);
    store.clear().unwrap();
    for _ in 0..4 {
        store.maintain(1_000).unwrap();
        hand.advance(Duration::from_secs(1));
    }
    let stats = store.stats();
    assert_eq!((stats.live_bytes, stats.pairs), (0, 0));
    assert!(stats.file_bytes <= 3 * SEGMENT_LEN as u64, "{stats:?}");
}

#[test]
fn invariant_03_synced_pairs_are_served_and_no_other_values() {
    for seed in 0..rounds(6) {
        let mut scenario = Scenario::new(seed);
        scenario.work(1_500, 0, 1);
        scenario.settle();
        let older = scenario.synced();
        let synced = scenario.keys.clone();
        // Every third key only, and without maintenance, which would move unchanged pairs.
        scenario.work(600, 0, 3);
        let states = [older, Image::take(scenario.dir.path())];
        for _ in 0..6 {
            let image = mix(&states, &mut scenario.chance);
            scenario.hand.advance(SHORT);
            let found = recover(&image, &scenario.hand);
            for (key, before) in &synced {
                let (now, found) = (&scenario.keys[key], found.get(key).copied());
                let is_kept = !before.is_deleted && !before.is_short && before.last > 0;
                if key % 3 != 0 {
                    assert_eq!(found, is_kept.then_some(before.last), "{key} was synced: {before:?}");
                    continue;
                }
                let oldest = before.last + u64::from(before.is_deleted);
                let is_possible = |version: u64| (oldest..=now.last).contains(&version);
                assert!(found.is_none_or(is_possible), "{key}: {found:?} of {before:?} to {now:?}");
                assert!(!now.is_short || found != Some(now.last), "{key} is past its deadline");
                assert!(!before.is_short || found != Some(before.last), "{key} is past its deadline");
            }
        }
    }
}

/// Between the sync and the crash unchanged pairs are moved, and their segments are emptied.
#[test]
fn invariant_03_synced_pairs_are_served_after_compaction_moved_them() {
    let mut moved = 0;
    for seed in 0..rounds(6) {
        // The store does not sync by itself before the crash.
        let durability = Durability::Interval(Duration::from_secs(1_000_000));
        let mut scenario = Scenario::with_durability(200 + seed, durability);
        scenario.work(1_500, 0, 1);
        scenario.settle();
        let older = scenario.synced();
        let synced = scenario.keys.clone();
        let compacted = scenario.store.stats().compacted_bytes;
        for _ in 0..6 {
            scenario.work(200, 0, 3);
            scenario.settle();
        }
        moved += scenario.store.stats().compacted_bytes - compacted;
        let states = [older, Image::take(scenario.dir.path())];
        for _ in 0..6 {
            let image = mix(&states, &mut scenario.chance);
            scenario.hand.advance(SHORT);
            let found = recover(&image, &scenario.hand);
            for (key, before) in synced.iter().filter(|(key, _)| *key % 3 != 0) {
                let is_kept = !before.is_deleted && !before.is_short && before.last > 0;
                let found = found.get(key).copied();
                assert_eq!(found, is_kept.then_some(before.last), "{key} was synced: {before:?}");
            }
        }
    }
    assert!(moved > 0, "nothing was moved");
}

/// A record exists twice until its copy is safe: a delete of one deletes the other.
#[test]
fn invariant_06_a_pair_deleted_after_it_was_moved_does_not_return() {
    for durability in [Durability::Os, Durability::Interval(Duration::from_secs(1_000_000))] {
        for seed in 0..rounds(6) {
            let mut scenario = Scenario::with_durability(300 + seed, durability);
            for _ in 0..6 {
                scenario.work(300, 0, 3);
                scenario.settle();
            }
            for key in (0..KEYS).filter(|key| key % 2 == 0) {
                scenario.store.delete(key.to_be_bytes()).unwrap();
            }
            let expected = served(&scenario.store);
            let killed = Image::take(scenario.dir.path());
            scenario.store.sync().unwrap();
            let cut = Image::take(scenario.dir.path());
            for (image, boot) in [(killed, 1), (cut, 2)] {
                let dir = scratch::directory();
                image.restore(dir.path());
                assert_eq!(served(&open(dir.path(), boot, &scenario.hand)), expected);
            }
        }
    }
}

#[test]
fn invariant_14_recycled_segments_return_no_pair_whose_removal_was_synced() {
    for seed in 0..rounds(6) {
        let mut scenario = Scenario::new(100 + seed);
        scenario.work(1_500, 0, 1);
        scenario.settle();
        scenario.work(300, 0, 1);
        let older = scenario.synced();
        let synced = scenario.keys.clone();
        for _ in 0..10 {
            scenario.work(150, 0, 1);
            scenario.settle();
        }
        let states = [older, Image::take(scenario.dir.path())];
        for _ in 0..6 {
            let image = mix(&states, &mut scenario.chance);
            scenario.hand.advance(SHORT);
            for (key, found) in recover(&image, &scenario.hand) {
                let (before, now) = (&synced[&key], &scenario.keys[&key]);
                let oldest = before.last + u64::from(before.is_deleted || before.is_short);
                assert!((oldest..=now.last).contains(&found), "{key}: {found} of {before:?} to {now:?}");
                assert!(!now.is_short || found != now.last, "{key} is past its deadline");
            }
        }
    }
}

#[test]
fn a_copied_directory_is_verified_when_it_is_opened() {
    let dir = scratch::directory();
    let (_, hand) = Clock::manual();
    let store = open(dir.path(), 1, &hand);
    for key in 0..50u32 {
        store.set(key.to_be_bytes(), stamped(&key.to_be_bytes(), 1, 400)).unwrap();
    }
    drop(store);
    let mut image = Image::take(dir.path());
    let name = image.segments()[0].clone();
    // In the value of the first record.
    image.files.get_mut(&name).unwrap()[PAGE + 100] ^= 1;

    image.restore(dir.path());
    let store = open(dir.path(), 1, &hand);
    assert!(store.recovery().same_boot);
    assert_eq!((store.recovery().pairs, store.recovery().dropped), (50, 0), "not read yet");
    assert_eq!(served(&store).len(), 49);
    assert_eq!((store.stats().damaged, store.len()), (1, 49));
    drop(store);

    let copy = scratch::directory();
    image.restore(copy.path());
    let store = open(copy.path(), 1, &hand);
    assert!(!store.recovery().same_boot, "another inode");
    assert_eq!((store.recovery().pairs, store.recovery().dropped), (49, 1));
    assert_eq!(served(&store).len(), 49);
}

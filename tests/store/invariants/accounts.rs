//! The store's counters match its index, its slots and its files, with eviction too.

use std::collections::BTreeMap;
use std::time::Duration;

use sharedance_core::Version;
use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{Condition, Durability, Options, Store, StoreError, Ttl, WhenFull};

use crate::layout::{FREE, SLOT_LEN, Segment, u32_at, u64_at};
use crate::scratch::{self, Chance, Image, SEGMENT_LEN, stamped, version_of};
use crate::{open, options, rounds};

/// Returns, for each key's hash in an image, the sequence and the footprint of the latest live record.
fn latest_live(image: &mut Image) -> BTreeMap<u64, (u64, u64)> {
    let mut latest = BTreeMap::new();
    for name in image.segments() {
        let segment = Segment(image.files.get_mut(&name).unwrap());
        if segment.state() == FREE {
            continue;
        }
        for slot in segment.live() {
            let bytes = segment.slot(slot);
            let delta = i64::from(u32_at(&bytes, 8) as i32);
            let sequence = segment.base().wrapping_add_signed(delta);
            let footprint = (segment.record(slot).len().next_multiple_of(16) + SLOT_LEN) as u64;
            let entry = latest.entry(u64_at(&bytes, 0)).or_insert((sequence, footprint));
            *entry = (*entry).max((sequence, footprint));
        }
    }
    latest
}

/// The store must be idle.
fn check_accounts(store: &Store, dir: &std::path::Path) {
    let mut image = Image::take(dir);
    let (latest, stats) = (latest_live(&mut image), store.stats());
    assert_eq!(latest.len() as u64, stats.pairs, "{stats:?}");
    assert_eq!(latest.values().map(|(_, footprint)| footprint).sum::<u64>(), stats.live_bytes, "{stats:?}");
    assert_eq!(image.segment_bytes(), stats.file_bytes, "{stats:?}");
    let shared = image.segments().iter().filter(|name| name.starts_with("seg")).count();
    let big: usize =
        image.segments().iter().filter(|name| name.starts_with("big")).map(|name| image.files[name].len()).sum();
    assert_eq!(stats.file_bytes, (shared * SEGMENT_LEN + big) as u64, "{stats:?}");
}

/// Executes an operation on one of a few keys, including operations without effect that had reserved space.
fn work(store: &Store, chance: &mut Chance) {
    let key = (chance.below(150) as u32).to_be_bytes();
    let len = if chance.percent(3) { 20_000 } else { chance.below(1_500) as usize };
    let value = stamped(&key, chance.below(4), len);
    let ttl = Ttl::After(Duration::from_millis(1 + chance.below(100_000)));
    let done = match chance.below(12) {
        0 | 1 => store.delete(key).map(drop),
        2 => store.touch(key, ttl).map(drop),
        3 => store.compare_and_set(key, &value, ttl, Version::new(1).unwrap()).map(drop),
        4 => store.add(key, &value, ttl).map(drop),
        5 => store.append(key, b"and more").map(drop),
        6 => store.maintain(chance.below(200) as usize).map(drop),
        7 => store.invalidate(key, Condition::Present, None).map(drop),
        _ => store.set_with_ttl(key, &value, ttl),
    };
    assert!(matches!(done, Ok(()) | Err(StoreError::Full)), "{done:?}");
}

fn machines() -> impl Iterator<Item = (Options, ManualClock)> {
    let modes = [Durability::Os, Durability::Interval(Duration::from_secs(5)), Durability::Always];
    let when_full = [WhenFull::Refuse, WhenFull::Evict];
    modes.into_iter().flat_map(move |mode| when_full.map(|when_full| (mode, when_full))).map(|(mode, when_full)| {
        let (_, hand) = Clock::manual();
        (options(1, &hand).durability(mode).when_full(when_full).max_bytes(14 * SEGMENT_LEN as u64), hand)
    })
}

#[test]
fn invariant_04_counters_match_the_files() {
    for seed in 0..rounds(1) {
        for (options, hand) in machines() {
            let (dir, mut chance) = (scratch::directory(), Chance(seed));
            let mut store = options.clone().open(dir.path()).unwrap();
            for _ in 0..40 {
                (0..30).for_each(|_| work(&store, &mut chance));
                hand.advance(Duration::from_millis(chance.below(3_000)));
                check_accounts(&store, dir.path());
                if chance.percent(10) {
                    drop(store);
                    store = options.clone().open(dir.path()).unwrap();
                    check_accounts(&store, dir.path());
                }
            }
        }
    }
}

#[test]
fn invariant_04_counters_match_the_files_after_many_threads() {
    for (options, hand) in machines() {
        let dir = scratch::directory();
        let store = options.open(dir.path()).unwrap();
        for round in 0..4 * rounds(1) {
            std::thread::scope(|scope| {
                for seed in 0..3 {
                    let store = &store;
                    scope.spawn(move || {
                        let mut chance = Chance(round * 3 + seed);
                        (0..400).for_each(|_| work(store, &mut chance));
                    });
                }
            });
            hand.advance(Duration::from_millis(500));
            check_accounts(&store, dir.path());
        }
    }
}

/// At most as many stored pairs are missing as were evicted, and the remaining ones have their values.
#[test]
fn invariant_01_eviction_removes_whole_pairs_and_counts_them_all() {
    for seed in 0..rounds(2) {
        let (dir, (_, hand), mut chance) = (scratch::directory(), Clock::manual(), Chance(seed));
        let evicting = |boot| options(boot, &hand).max_bytes(10 * SEGMENT_LEN as u64).when_full(WhenFull::Evict);
        let mut store = evicting(1).open(dir.path()).unwrap();
        let (mut model, mut evicted): (BTreeMap<u32, u64>, u64) = (BTreeMap::new(), 0);
        for step in 0..6_000 {
            let key = chance.below(900) as u32;
            let name = key.to_be_bytes();
            match chance.below(10) {
                0 => {
                    store.delete(name).unwrap();
                    model.remove(&key);
                }
                1..5 => {
                    if let Some(value) = store.get(name) {
                        assert_eq!(version_of(&name, &value), model.get(&key).copied(), "{key}");
                    }
                }
                _ => {
                    let len = if chance.percent(1) { 40_000 } else { 200 + chance.below(1_200) as usize };
                    match store.set_with_ttl(name, stamped(&name, step, len), Ttl::Never) {
                        Ok(()) => drop(model.insert(key, step)),
                        Err(error) => assert!(matches!(error, StoreError::Full), "{error}"),
                    }
                }
            }
            if step % 50 == 0 {
                store.maintain(300).unwrap();
                hand.advance(Duration::from_millis(100));
            }
            if step % 500 == 499 {
                let missing: Vec<_> = model.keys().copied().filter(|key| !store.contains(key.to_be_bytes())).collect();
                let counted = store.stats().evicted - evicted;
                assert!(missing.len() as u64 <= counted, "{} missing, {counted} evicted", missing.len());
                model.retain(|key, _| !missing.contains(key));
                assert_eq!(store.len(), model.len());
                evicted += counted;
                if chance.percent(50) {
                    drop(store);
                    store = evicting(1).open(dir.path()).unwrap();
                    evicted = 0;
                    assert_eq!(store.len(), model.len(), "an evicted pair does not return");
                }
            }
        }
        let same = model.iter().all(|(key, version)| {
            store.get(key.to_be_bytes()).is_some_and(|value| version_of(&key.to_be_bytes(), &value) == Some(*version))
        });
        assert!(same && model.len() > 100, "{}", model.len());
        drop(store);
        assert_eq!(open(dir.path(), 2, &hand).len(), model.len(), "on another boot neither");
    }
}

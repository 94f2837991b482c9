//! Many threads: readers, writers, deletes and maintenance.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use sharedance_core::clock::Clock;
use sharedance_core::store::{Background, Options, Store, Ttl, Value};

use crate::scratch::{self, Chance, Image, SEGMENT_LEN, stamped, version_of};

#[test]
fn invariant_07_expiry_never_removes_a_pair_touched_in_time() {
    const ROUNDS: u32 = 300;
    let (clock, hand) = Clock::manual();
    let dir = scratch::directory();
    let store =
        Options::new().background(Background::Manual).segment_len(SEGMENT_LEN).clock(clock).open(dir.path()).unwrap();
    let keys: Vec<_> = (0..200u32).map(u32::to_be_bytes).collect();
    let ttl = Ttl::After(Duration::from_millis(10));
    keys.iter().for_each(|key| store.set_with_ttl(key, [9; 100], ttl).unwrap());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.maintain(64).unwrap();
            }
        });
        for round in 0..ROUNDS {
            hand.advance(Duration::from_millis(9));
            for key in &keys {
                if !store.touch(key, ttl).unwrap() {
                    done.store(true, Ordering::Relaxed);
                    panic!("{key:?} was removed in round {round}");
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(store.len(), keys.len());
    assert_eq!(store.stats().expired, 0);
}

/// Large values, so that copying them takes time.
#[test]
fn invariant_01_a_touch_or_delete_during_compaction_is_kept() {
    const ROUNDS: u64 = 25;
    let (clock, hand) = Clock::manual();
    let dir = scratch::directory();
    let store =
        Options::new().background(Background::Manual).segment_len(SEGMENT_LEN).clock(clock).open(dir.path()).unwrap();
    let minutes = |minutes: u64| Ttl::After(Duration::from_secs(60 * minutes));
    let mut chance = Chance(1);
    let keys: Vec<_> = (0..150u32).map(u32::to_be_bytes).collect();
    for round in 0..ROUNDS {
        for key in &keys {
            store.set_with_ttl(key, stamped(key, round, 15_000), minutes(10)).unwrap();
        }
        // Three of five expire at once, so that compaction gains space; one is deleted meanwhile, one is touched.
        for key in keys.chunks(5).flat_map(|five| &five[2..]) {
            assert!(store.delete(key).unwrap());
        }
        let [deleted, touched] = [0, 1].map(|which| keys.chunks(5).map(|five| five[which]).collect::<Vec<_>>());
        let mut lives_long = vec![false; touched.len()];
        let compacted = store.stats().compacted_bytes;
        thread::scope(|scope| {
            let maintenance = scope.spawn(|| while store.maintain(20).unwrap().pending {});
            while !maintenance.is_finished() {
                let i = chance.below(touched.len() as u64) as usize;
                lives_long[i] = chance.percent(50);
                let ttl = minutes(if lives_long[i] { 60 } else { 20 });
                assert!(store.touch(touched[i], ttl).unwrap());
                if chance.percent(5) {
                    store.delete(deleted[i]).unwrap();
                }
            }
            deleted.iter().for_each(|key| drop(store.delete(key)));
        });
        assert!(round < 3 || store.stats().compacted_bytes > compacted, "nothing was copied");
        hand.advance(Duration::from_secs(30 * 60));
        let find = |key: &[u8]| store.get(key).map(|value| version_of(key, &value).unwrap());
        for (key, lives) in touched.iter().zip(lives_long) {
            assert_eq!(find(key), lives.then_some(round), "its last touch counts");
        }
        assert!(keys.iter().all(|key| touched.contains(key) || find(key).is_none()));
        hand.advance(Duration::from_secs(31 * 60));
        assert!(!keys.iter().any(|key| store.contains(key)));
    }
}

/// A pair's key, and the lowest version that a reader may still find. Odd numbers are deletes.
struct Owned {
    key: Vec<u8>,
    floor: AtomicU64,
}

/// One writer per key sets increasing versions and deletes. Readers see complete values, and no replaced one.
#[test]
fn invariant_05_readers_see_complete_values_and_never_older_ones() {
    const WRITERS: usize = 2;
    const OPERATIONS: u64 = 12_000;
    let dir = scratch::directory();
    let open = || Options::new().background(Background::Manual).segment_len(SEGMENT_LEN).open(dir.path()).unwrap();
    let store = open();
    let keys: Vec<_> = (0..40u8).map(|i| Owned { key: vec![i; 3], floor: AtomicU64::new(0) }).collect();
    let done = AtomicBool::new(false);
    let last: Vec<Option<u64>> = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|own| {
                let (store, keys) = (&store, &keys);
                scope.spawn(move || write_versions(store, keys, own, WRITERS, OPERATIONS))
            })
            .collect();
        for seed in 0..2 {
            let (store, keys, done) = (&store, &keys, &done);
            scope.spawn(move || read_versions(store, keys, done, seed));
        }
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.maintain(100).unwrap();
                store.prepare(Duration::ZERO).unwrap();
            }
        });
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        let mut last = vec![None; keys.len()];
        written.into_iter().flat_map(Result::unwrap).for_each(|(i, version)| last[i] = version);
        last
    });
    let check = |store: &Store| {
        let found = keys.iter().map(|owned| store.get(&owned.key).map(|value| version_of(&owned.key, &value).unwrap()));
        assert!(found.eq(last.iter().copied()));
        assert_eq!(store.len(), last.iter().flatten().count());
    };
    check(&store);
    drop(store);
    let store = open();
    check(&store);
    assert_eq!(store.recovery().dropped, 0);
}

/// Returns the last version of each key that this writer owns, `None` if it was deleted.
fn write_versions(
    store: &Store,
    keys: &[Owned],
    own: usize,
    writers: usize,
    operations: u64,
) -> Vec<(usize, Option<u64>)> {
    let mut chance = Chance(own as u64);
    let mut last = vec![None; keys.len()];
    for version in 1..=operations {
        let i = chance.below((keys.len() / writers) as u64) as usize * writers + own;
        let Owned { key, floor } = &keys[i];
        if chance.percent(20) {
            let deleted = store.delete(key).unwrap();
            assert_eq!(deleted, last[i].is_some());
            last[i] = None;
            floor.store(version, Ordering::Release);
            assert!(store.get(key).is_none());
            continue;
        }
        let len = if chance.percent(2) { 20_000 } else { 16 + chance.below(1_500) as usize };
        store.set(key, stamped(key, version, len)).unwrap();
        last[i] = Some(version);
        floor.store(version, Ordering::Release);
        if chance.percent(30) {
            store.set(key, stamped(key, version, len)).unwrap();
            assert!(store.touch(key, Ttl::Default).unwrap());
        }
    }
    last.into_iter().enumerate().filter(|(i, _)| i % writers == own).collect()
}

fn read_versions(store: &Store, keys: &[Owned], done: &AtomicBool, seed: u64) {
    let mut chance = Chance(100 + seed);
    let mut held: Vec<(usize, Value)> = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let i = chance.below(keys.len() as u64) as usize;
        let Owned { key, floor } = &keys[i];
        let floor = floor.load(Ordering::Acquire);
        if let Some(value) = store.get(key) {
            let version = version_of(key, &value).expect("a torn value");
            assert!(version >= floor, "version {version} of {i} is back after {floor}");
            if chance.percent(5) {
                held.push((i, value));
            }
        }
        if held.len() > 50 {
            for (i, value) in held.drain(..) {
                assert!(version_of(&keys[i].key, &value).is_some(), "the bytes of a held value changed");
            }
        }
    }
}

/// All threads set the same few values of the same keys, and delete them.
#[test]
fn invariant_06_one_live_entry_per_key_with_concurrent_sets() {
    const THREADS: u64 = 3;
    let dir = scratch::directory();
    let open = || Options::new().background(Background::Manual).segment_len(SEGMENT_LEN).open(dir.path()).unwrap();
    let store = open();
    let keys: Vec<_> = (0..30u32).map(u32::to_be_bytes).collect();
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (store, keys) = (&store, &keys);
            scope.spawn(move || {
                let mut chance = Chance(seed);
                for _ in 0..6_000 {
                    let key = &keys[chance.below(keys.len() as u64) as usize];
                    match chance.below(10) {
                        0..6 => store.set(key, stamped(key, chance.below(2), 400)).unwrap(),
                        6..9 => drop(store.delete(key).unwrap()),
                        _ => drop(store.maintain(40).unwrap()),
                    }
                    if let Some(value) = store.get(key) {
                        assert!(version_of(key, &value).is_some_and(|version| version < 2));
                    }
                }
            });
        }
    });
    let present = |store: &Store| keys.iter().filter(|key| store.contains(*key)).count();
    assert_eq!(store.len(), present(&store));
    let (half, rest) = keys.split_at(keys.len() / 2);
    for key in half {
        store.delete(key).unwrap();
        assert!(!store.contains(key));
    }
    let left = present(&store);
    let image = Image::take(dir.path());
    drop(store);
    image.restore(dir.path());
    let store = open();
    assert_eq!((store.len(), present(&store)), (left, left));
    assert!(half.iter().all(|key| !store.contains(key)), "a deleted pair returned");
    assert_eq!((store.recovery().superseded, store.recovery().dropped), (0, 0));
    for key in rest {
        store.delete(key).unwrap();
    }
    store.maintain(1_000).unwrap();
    assert_eq!((store.len(), store.stats().live_bytes), (0, 0));
}

//! Recovery of arbitrary file contents.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sharedance_core::clock::Clock;
use sharedance_core::store::{OpenError, Options, Store, Ttl};

use crate::layout::{RECORDS, SLOT_LEN, Segment};
use crate::scratch::{self, Chance, Image, SEGMENT_LEN, stamped, version_of};
use crate::{open, options, rounds};

const KEYS: u32 = 200;

fn key(i: u32) -> [u8; 4] {
    i.to_be_bytes()
}

/// Returns the files of a store with pairs of all kinds: live, dead and big.
fn seed() -> Image {
    let (dir, (_, hand)) = (scratch::directory(), Clock::manual());
    let store = open(dir.path(), 1, &hand);
    for i in 0..KEYS {
        let len = if i % 50 == 9 { 20_000 } else { 16 + i as usize * 5 };
        let ttl = if i % 7 == 0 { Ttl::After(Duration::from_secs(u64::from(i) + 1)) } else { Ttl::Never };
        store.set_with_ttl(key(i), stamped(&key(i), 1, len), ttl).unwrap();
        if i % 5 == 0 {
            store.set(key(i), stamped(&key(i), 2, 300)).unwrap();
        }
        if i % 11 == 0 {
            store.delete(key(i)).unwrap();
        }
    }
    drop(store);
    Image::take(dir.path())
}

/// Returns the pairs that are served, verified by the store's checks and by the values' own.
fn served(store: &Store) -> BTreeMap<u32, u64> {
    let found = (0..KEYS).filter_map(|i| {
        let value = store.get(key(i))?;
        Some((i, version_of(&key(i), &value).expect("a value that was never written for its key")))
    });
    found.collect()
}

/// Overwrites parts of the segments with noise, zeros, or bytes from elsewhere.
fn mutilate(image: &mut Image, chance: &mut Chance) {
    let names = image.segments();
    for _ in 0..1 + chance.below(30) {
        let name = &names[chance.below(names.len() as u64) as usize];
        let from = &image.files[&names[chance.below(names.len() as u64) as usize]];
        let start = chance.below(from.len() as u64) as usize;
        let piece = from[start..from.len().min(start + 1 + chance.below(4_096) as usize)].to_vec();
        let bytes = image.files.get_mut(name).unwrap();
        // In the header, in the slots, or anywhere.
        let at = match chance.below(3) {
            0 => chance.below(96) as usize,
            1 => bytes.len() - 1 - chance.below(8_192) as usize,
            _ => chance.below(bytes.len() as u64) as usize,
        };
        let len = piece.len().min(bytes.len() - at);
        match chance.below(3) {
            0 => bytes[at..at + len].copy_from_slice(&piece[..len]),
            1 => bytes[at..at + len].fill(0),
            _ => bytes[at..at + len].iter_mut().for_each(|byte| *byte = chance.next_u64() as u8),
        }
    }
}

#[test]
fn invariant_11_recovery_of_arbitrary_bytes_stays_in_bounds_and_is_repeatable() {
    let whole = seed();
    for case in 0..rounds(60) {
        let mut chance = Chance(case);
        let mut image = whole.clone();
        mutilate(&mut image, &mut chance);
        let (dir, (_, hand)) = (scratch::directory(), Clock::manual());
        image.restore(dir.path());
        let boot = 2 + chance.below(2) as u8;
        let store = open(dir.path(), boot, &hand);
        assert_eq!((store.recovery().pairs, store.recovery().same_boot), (store.len() as u64, false));
        let found = served(&store);
        drop(store);
        let store = open(dir.path(), boot, &hand);
        let report = store.recovery();
        assert_eq!((report.pairs, report.dropped, report.superseded), (found.len() as u64, 0, 0), "{report:?}");
        assert_eq!(served(&store), found, "reopening gives the same pairs");
        store.set(b"new", [1; 1_000]).unwrap();
        assert_eq!(store.get(b"new").unwrap(), [1; 1_000]);
    }
}

/// A file in which every slot refers to the same long record, with the correct checksum or with another one.
#[test]
fn invariant_11_recovery_takes_time_in_proportion_to_the_files() {
    const LEN: usize = 64 * SEGMENT_LEN;
    const VALUE_LEN: usize = LEN / 4 - 1_000;
    let opener = |boot| options(boot, &Clock::manual().1).segment_len(LEN);
    let time_to_open = |options: Options, image: &Image| {
        let dir = scratch::directory();
        image.restore(dir.path());
        let started = Instant::now();
        let store = options.open(dir.path()).unwrap();
        (started.elapsed(), store.len())
    };
    let dir = scratch::directory();
    let store = opener(1).open(dir.path()).unwrap();
    for i in 0..3 {
        store.set_with_ttl(key(i), stamped(&key(i), 1, VALUE_LEN), Ttl::Never).unwrap();
    }
    drop(store);
    let whole = Image::take(dir.path());
    let (ordinary, pairs) = time_to_open(opener(2), &whole);
    assert_eq!(pairs, 3);
    for is_sealed in [true, false] {
        let mut image = whole.clone();
        let name = image.segments()[0].clone();
        let mut segment = Segment(image.files.get_mut(&name).unwrap());
        let mut slot = segment.slot(2);
        if !is_sealed {
            slot[20] ^= 1;
        }
        let slots = ((LEN - RECORDS - segment.record(2).end) / SLOT_LEN) as u32;
        (2..slots).for_each(|at| segment.put_slot(at, &slot));
        let (hostile, pairs) = time_to_open(opener(2), &image);
        assert!((2..=3).contains(&pairs), "{pairs}");
        // Reading the record again for each slot would take thousands of times as long.
        let bound = 100 * ordinary + Duration::from_secs(1);
        assert!(hostile < bound, "{hostile:?} for {slots} slots, {ordinary:?} for three");
    }
}

#[test]
fn invariant_11_files_of_noise_are_set_aside_or_empty() {
    let whole = seed();
    for case in 0..rounds(20) {
        let mut chance = Chance(case);
        let mut image = whole.clone();
        for id in 0..4 {
            let len = [0, 100, SEGMENT_LEN, SEGMENT_LEN + 1][chance.below(4) as usize];
            let noise = (0..len).map(|_| chance.next_u64() as u8).collect();
            image.files.insert(format!("{}-{:08x}.shd", ["seg", "big"][id % 2], 0x1000 + id), noise);
        }
        let (dir, (_, hand)) = (scratch::directory(), Clock::manual());
        image.restore(dir.path());
        let store = open(dir.path(), 2, &hand);
        assert_eq!(store.recovery().set_aside.len(), 4);
        assert_eq!(served(&store).len(), store.len());
        drop(store);
        let opened = options(2, &hand).open(dir.path());
        assert!(!matches!(opened, Err(OpenError::Damaged { .. })) && opened.unwrap().recovery().set_aside.is_empty());
    }
}

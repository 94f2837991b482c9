//! Damaged files: flipped bits, truncated, deleted, duplicated and foreign files.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{OpenError, Options, Store, Ttl};
use tempfile::TempDir;

use crate::layout::{RESERVATION, Segment, put_u64};
use crate::scratch::{self, Chance, Image, SEGMENT_LEN, stamped, version_of};
use crate::{open, options, rounds};

const HEADER_LEN: usize = 80;

fn key(i: u32) -> [u8; 4] {
    i.to_be_bytes()
}

/// A closed directory with pairs that never expire.
fn filled(pairs: u32, len: usize) -> (TempDir, ManualClock, Image) {
    let dir = scratch::directory();
    let (_, hand) = Clock::manual();
    let store = open(dir.path(), 1, &hand);
    for i in 0..pairs {
        store.set_with_ttl(key(i), stamped(&key(i), 1, len), Ttl::Never).unwrap();
    }
    drop(store);
    let image = Image::take(dir.path());
    (dir, hand, image)
}

/// Returns how many of the first `pairs` keys are served. Panics at a value that was never written.
fn served(store: &Store, pairs: u32) -> u64 {
    let whole = |i: &u32| {
        let found = store.get(key(*i));
        found.is_some_and(|value| version_of(&key(*i), &value).expect("a wrong value") == 1)
    };
    (0..pairs).filter(whole).count() as u64
}

/// Returns how many pairs a flipped bit at `at` can cost: one record, or all of the file if it is in the header.
fn at_stake(live_by_file: &BTreeMap<String, u64>, name: &str, at: usize) -> u64 {
    match live_by_file.get(name) {
        Some(live) if at < HEADER_LEN => *live,
        Some(_) => 1,
        None => 0,
    }
}

#[test]
fn two_hundred_flipped_bits_serve_no_wrong_value() {
    const PAIRS: u32 = 2_500;
    const DELETED: u32 = 500;
    let (dir, hand, _) = filled(PAIRS, 500);
    let store = open(dir.path(), 1, &hand);
    (0..DELETED).for_each(|i| assert!(store.delete(key(i)).unwrap()));
    drop(store);
    let mut whole = Image::take(dir.path());
    let live_by_file: BTreeMap<_, _> = whole
        .segments()
        .into_iter()
        .map(|name| {
            let live = Segment(whole.files.get_mut(&name).unwrap()).live().len() as u64;
            (name, live)
        })
        .collect();
    for seed in 0..rounds(8) {
        for boot in [1, 2] {
            let mut chance = Chance(seed);
            let mut image = whole.clone();
            let mut stake = 0;
            let names: Vec<_> = image.files.keys().cloned().collect();
            for _ in 0..200 {
                let name = &names[chance.below(names.len() as u64) as usize];
                let bytes = image.files.get_mut(name).unwrap();
                let at = chance.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << chance.below(8);
                stake += at_stake(&live_by_file, name, at);
            }
            image.restore(dir.path());
            let store = open(dir.path(), boot, &hand);
            let kept = served(&store, PAIRS);
            assert_eq!(served(&store, DELETED), 0, "a deleted pair is back");
            let lost = u64::from(PAIRS - DELETED) - kept;
            assert!(lost <= stake, "{lost} of {stake} lost with seed {seed} on boot {boot}");
            // The store continues to work, with the remaining pairs and with new ones.
            for i in 0..DELETED {
                store.set(key(i), stamped(&key(i), 1, 600)).unwrap();
            }
            for _ in 0..3 {
                store.maintain(1_000).unwrap();
            }
            drop(store);
            let store = open(dir.path(), boot, &hand);
            assert_eq!(served(&store, PAIRS), kept + u64::from(DELETED));
        }
    }
}

/// Checks the pairs that remain of 300 after a file was damaged: opened on both boots, twice.
fn check_set_aside(change: impl Fn(&mut Image, &str), expect_bad: bool, expected_pairs: impl Fn(u64, u64) -> u64) {
    let (dir, hand, whole) = filled(300, 500);
    let mut read = whole.clone();
    let victim = whole.segments()[1].clone();
    let of_victim = Segment(read.files.get_mut(&victim).unwrap()).live().len() as u64;
    for boot in [1, 2] {
        let mut image = whole.clone();
        change(&mut image, &victim);
        image.restore(dir.path());
        let bad: Vec<_> =
            image.segments().into_iter().filter(|name| whole.files.get(name) != image.files.get(name)).collect();
        let bad = if expect_bad { bad } else { Vec::new() };
        let store = open(dir.path(), boot, &hand);
        assert_eq!(store.recovery().set_aside, bad);
        let pairs = expected_pairs(300, of_victim);
        assert_eq!((store.recovery().pairs, served(&store, 300)), (pairs, pairs));
        for name in &bad {
            let kept = fs::read(dir.path().join(format!("{name}.bad"))).unwrap();
            assert_eq!(kept, image.files[name], "set aside as it was");
        }
        drop(store);
        let store = open(dir.path(), boot, &hand);
        assert_eq!((store.recovery().pairs, served(&store, 300)), (pairs, pairs), "reopening gives the same pairs");
        assert!(store.recovery().set_aside.is_empty());
        assert_eq!(store.recovery().foreign.len(), bad.len());
    }
}

#[test]
fn unreadable_files_are_set_aside() {
    for len in [0, 10, 4096, SEGMENT_LEN - 1, SEGMENT_LEN + 4096] {
        let resize = |image: &mut Image, victim: &str| image.files.get_mut(victim).unwrap().resize(len, 0);
        check_set_aside(resize, true, |all, of_victim| all - of_victim);
    }
    for at in [0, 9, 20, 25, 28, 35, 60] {
        let flip = |image: &mut Image, victim: &str| image.files.get_mut(victim).unwrap()[at] ^= 4;
        check_set_aside(flip, true, |all, of_victim| all - of_victim);
    }
    let garbage = |image: &mut Image, victim: &str| image.files.get_mut(victim).unwrap().fill(0xa7);
    check_set_aside(garbage, true, |all, of_victim| all - of_victim);
}

#[test]
fn a_big_file_of_another_length_is_set_aside() {
    let (dir, hand, _) = filled(10, 500);
    let store = open(dir.path(), 1, &hand);
    store.set(b"big", [1; 50_000]).unwrap();
    drop(store);
    let whole = Image::take(dir.path());
    let name = whole.segments().into_iter().find(|name| name.starts_with("big")).unwrap();
    let len = whole.files[&name].len();
    for (boot, len) in [1, 2].into_iter().flat_map(|boot| [0, 4096, len - 4096, len + 4096].map(|len| (boot, len))) {
        let mut image = whole.clone();
        image.files.get_mut(&name).unwrap().resize(len, 0);
        image.restore(dir.path());
        let store = open(dir.path(), boot, &hand);
        assert_eq!((store.recovery().pairs, &store.recovery().set_aside), (10, &vec![name.clone()]), "{len}");
        assert!(store.get(b"big").is_none());
    }
}

#[test]
fn a_missing_or_duplicated_segment_costs_no_other_pair() {
    check_set_aside(|image, victim| drop(image.files.remove(victim)), false, |all, of_victim| all - of_victim);
    for double in ["seg-00000077.shd", "big-00000077.shd", "seg-ffffffff.shd"] {
        let copy = |image: &mut Image, victim: &str| {
            let bytes = image.files[victim].clone();
            image.files.insert(double.to_owned(), bytes);
        };
        check_set_aside(copy, true, |all, _| all);
    }
    let from_elsewhere = filled(10, 500).2;
    let foreign = |image: &mut Image, _: &str| {
        let name = &from_elsewhere.segments()[0];
        image.files.insert("seg-00000077.shd".to_owned(), from_elsewhere.files[name].clone());
    };
    check_set_aside(foreign, true, |all, _| all);
}

#[test]
fn an_invalid_state_or_reservation_costs_no_pair() {
    for (at, word) in [(64, 0x1234), (64, u64::MAX), (RESERVATION, 0), (RESERVATION, u64::MAX), (RESERVATION, 5 << 60)]
    {
        let change = |image: &mut Image, victim: &str| put_u64(image.files.get_mut(victim).unwrap(), at, word);
        check_set_aside(change, false, |all, _| all);
    }
}

#[test]
fn the_reservation_word_of_a_big_segment_is_ignored() {
    let (dir, hand, _) = filled(0, 0);
    let store = open(dir.path(), 1, &hand);
    store.set(b"big", [1; 50_000]).unwrap();
    drop(store);
    let whole = Image::take(dir.path());
    for (boot, word) in [1, 2].into_iter().flat_map(|boot| [0, 4096, u64::MAX].map(|word| (boot, word))) {
        let mut image = whole.clone();
        let name = image.segments()[0].clone();
        put_u64(image.files.get_mut(&name).unwrap(), RESERVATION, word);
        image.restore(dir.path());
        let store = open(dir.path(), boot, &hand);
        assert_eq!(store.get(b"big").unwrap(), [1; 50_000]);
        store.touch(b"big", Ttl::After(Duration::from_secs(1))).unwrap();
        for _ in 0..3 {
            hand.advance(Duration::from_secs(10));
            store.maintain(10).unwrap();
        }
        let stats = store.stats();
        assert_eq!((stats.pairs, stats.live_bytes, stats.file_bytes), (0, 0, 0), "{word:x} on boot {boot}: {stats:?}");
    }
}

#[test]
fn foreign_files_are_left_alone_and_do_no_harm() {
    let (dir, hand, _) = filled(10, 500);
    let path = |name: &str| dir.path().join(name);
    fs::write(path("notes.txt"), b"mine").unwrap();
    fs::write(path("seg-1.shd"), b"mine too").unwrap();
    // Names that the store would use for its next files.
    let taken: Vec<_> = (0..64).map(|id| format!("seg-{id:08x}.shd")).filter(|name| !path(name).exists()).collect();
    taken.iter().for_each(|name| fs::create_dir(path(name)).unwrap());
    std::os::unix::fs::symlink("notes.txt", path("big-00000002.shd")).unwrap();
    let store = open(dir.path(), 1, &hand);
    assert_eq!(store.recovery().foreign.len(), 3 + taken.len());
    for i in 10..300 {
        store.set(key(i), stamped(&key(i), 1, 500)).unwrap();
    }
    store.set(b"big", [1; 50_000]).unwrap();
    drop(store);
    let store = open(dir.path(), 1, &hand);
    assert_eq!((store.recovery().pairs, served(&store, 300)), (301, 300));
    assert_eq!(fs::read(path("notes.txt")).unwrap(), b"mine");
    assert_eq!(fs::read(path("seg-1.shd")).unwrap(), b"mine too");
    assert!(taken.iter().all(|name| path(name).is_dir()));
    assert!(fs::symlink_metadata(path("big-00000002.shd")).unwrap().is_symlink());
}

/// Opens the store, expects a refusal, and checks that nothing was changed.
fn check_refused(dir: &TempDir, image: &Image, options: Options, is_expected: impl Fn(&OpenError) -> bool) {
    image.restore(dir.path());
    let error = options.open(dir.path()).unwrap_err();
    assert!(is_expected(&error), "{error:?}");
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    assert_eq!(Image::take(dir.path()), *image, "nothing is changed or deleted");
}

#[test]
fn a_store_of_another_version_or_unreadable_is_refused_and_not_changed() {
    let (dir, hand, mut whole) = filled(300, 500);
    whole.files.insert("seg-00000099.shd.tmp".to_owned(), vec![1; 100]);
    let mut newer = whole.clone();
    let meta = newer.files.get_mut("store.meta").unwrap();
    for copy in [0, 512] {
        meta[copy + 8] = 2;
        let crc = crc32c::crc32c(&meta[copy..copy + 40]);
        meta[copy + 40..copy + 44].copy_from_slice(&crc.to_le_bytes());
    }
    check_refused(&dir, &newer, options(1, &hand), |error| {
        matches!(error, OpenError::FormatVersion { found: 2, known: 1, .. })
    });
    let other_len = options(1, &hand).segment_len(2 * SEGMENT_LEN);
    check_refused(
        &dir,
        &whole,
        other_len,
        |error| matches!(error, OpenError::SegmentLen { found, asked, .. } if (*found, *asked) == (SEGMENT_LEN, 2 * SEGMENT_LEN)),
    );
    for len in [0, 20, 500] {
        let mut damaged = whole.clone();
        let meta = damaged.files.get_mut("store.meta").unwrap();
        meta[0] ^= 1;
        meta.truncate(len);
        check_refused(&dir, &damaged, options(1, &hand), |error| matches!(error, OpenError::Damaged { .. }));
    }
}

#[test]
fn one_intact_copy_of_the_metadata_is_enough() {
    for copy in [0, 512] {
        let (dir, hand, mut image) = filled(300, 500);
        image.files.get_mut("store.meta").unwrap()[copy..copy + 512].fill(0xa5);
        image.restore(dir.path());
        let store = open(dir.path(), 1, &hand);
        assert_eq!(served(&store, 300), 300);
        assert!(store.recovery().same_boot);
    }
}

#[test]
fn without_metadata_a_store_starts_empty_and_deletes_nothing() {
    let (dir, hand, image) = filled(300, 500);
    fs::remove_file(dir.path().join("store.meta")).unwrap();
    let store = open(dir.path(), 1, &hand);
    assert_eq!((store.len(), store.recovery().same_boot), (0, false));
    for name in &store.recovery().set_aside {
        assert_eq!(fs::read(dir.path().join(format!("{name}.bad"))).unwrap(), image.files[name]);
    }
    assert!(store.recovery().set_aside.len() >= 2);
    store.set(key(0), b"new").unwrap();
}

#[test]
fn a_second_process_is_refused_until_the_first_has_closed_the_store() {
    let (dir, hand, _) = filled(1, 500);
    let first = open(dir.path(), 1, &hand);
    let clone = first.clone();
    drop(first);
    assert!(matches!(options(1, &hand).open(dir.path()), Err(OpenError::InUse { .. })));
    drop(clone);
    open(dir.path(), 1, &hand);
}

#[test]
fn restarts_without_writes_change_no_file() {
    let (dir, hand, _) = filled(300, 500);
    for boot in [1, 2] {
        drop(open(dir.path(), boot, &hand));
        let before = Image::take(dir.path());
        for _ in 0..20 {
            drop(open(dir.path(), boot, &hand));
        }
        let after = Image::take(dir.path());
        assert!(before.segments().iter().all(|name| before.files[name] == after.files[name]));
        assert_eq!(before.segments(), after.segments());
    }
}

#[test]
fn an_unwritable_directory_is_refused_with_its_name() {
    // Not even root can create files there.
    for unwritable in ["/proc/self", "/proc/self/store"] {
        let error = Store::open(unwritable).unwrap_err();
        assert!(matches!(error, OpenError::Io { .. }) && error.to_string().contains(unwritable), "{error}");
    }
}

#[test]
fn without_new_files_everything_else_continues() {
    let (dir, hand, _) = filled(50, 500);
    let store = open(dir.path(), 1, &hand);
    let aside = dir.path().with_extension("aside");
    fs::rename(dir.path(), &aside).unwrap();
    let refused = (50..1_000).find(|i| store.set(key(*i), stamped(&key(*i), 1, 500)).is_err());
    let refused = refused.expect("a segment holds less than that");
    assert!(store.get(key(refused)).is_none());
    assert_eq!(served(&store, refused), u64::from(refused), "acknowledged writes are there");
    assert!(store.touch(key(0), Ttl::Never).unwrap() && store.delete(key(1)).unwrap());
    fs::rename(&aside, dir.path()).unwrap();
    store.set(key(refused), stamped(&key(refused), 1, 500)).expect("it recovers by itself");
    drop(store);
    let store = open(dir.path(), 1, &hand);
    assert_eq!(served(&store, refused + 1), u64::from(refused));
}

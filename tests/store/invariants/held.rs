//! Values that are held while their pairs change, and pairs that must not return.

use std::time::Duration;

use sharedance_core::clock::Clock;
use sharedance_core::store::{Store, Ttl, Value, WhenFull};

use crate::layout::{LIVE, Segment};
use crate::scratch::{self, Chance, Image, SEGMENT_LEN, stamped};
use crate::{open, options, rounds};

/// A value, and its bytes when it was read.
struct Held {
    value: Value,
    copy: Vec<u8>,
}

fn hold(store: &Store, key: u32, held: &mut Vec<Held>) {
    if let Some(value) = store.get(key.to_be_bytes()) {
        held.push(Held { copy: value.to_vec(), value });
    }
}

fn check(held: &[Held]) {
    assert!(held.iter().all(|held| held.value == held.copy), "the bytes of a held value changed");
}

/// Overwritten, deleted, expired, compacted and evicted pairs; recycled segments; a closed store; deleted files.
#[test]
fn invariant_05_bytes_of_a_held_value_never_change() {
    for seed in 0..rounds(2) {
        let (dir, (_, hand), mut chance) = (scratch::directory(), Clock::manual(), Chance(seed));
        let options = options(1, &hand).max_bytes(24 * SEGMENT_LEN as u64).when_full(WhenFull::Evict);
        let store = options.open(dir.path()).unwrap();
        let mut held = Vec::new();
        for step in 0..8_000 {
            let key = chance.below(300) as u32;
            let name = key.to_be_bytes();
            let len = if chance.percent(2) { 20_000 } else { chance.below(1_500) as usize };
            match chance.below(20) {
                0 => drop(store.delete(name)),
                1 => drop(store.append(name, stamped(&name, step, 100))),
                2 => drop(store.touch(name, Ttl::After(Duration::from_secs(1)))),
                3 => {
                    store.maintain(500).unwrap();
                    hand.advance(Duration::from_millis(100));
                }
                _ => drop(store.set(name, stamped(&name, step, len))),
            }
            if chance.percent(3) {
                hold(&store, key, &mut held);
            }
            if step % 1_000 == 999 {
                check(&held);
                // Half of them, so that some segments can be recycled and others cannot.
                held.retain(|held| held.copy.len() % 2 == 0);
            }
        }
        let stats = store.stats();
        assert!(stats.evicted > 0 && stats.compacted_bytes > 0 && stats.expired > 0, "{stats:?}");
        store.clear().unwrap();
        while store.maintain(10_000).unwrap().pending {}
        check(&held);
        drop(store);
        for name in Image::take(dir.path()).segments() {
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
        assert!(held.len() > 10);
        check(&held);
    }
}

/// A value with a shorter TTL replaces one with a longer TTL, the process is killed before the old one is marked dead,
/// and the new one expires. The old one must not return.
#[test]
fn invariant_06_an_expired_value_does_not_return_its_predecessor() {
    for (boot, is_swept_before) in [(1, false), (1, true), (2, false), (2, true)] {
        let (dir, (_, hand)) = (scratch::directory(), Clock::manual());
        let store = open(dir.path(), 1, &hand);
        store.set_with_ttl(b"key", b"long", Ttl::Never).unwrap();
        let before = Image::take(dir.path());
        store.set_with_ttl(b"key", b"short", Ttl::After(Duration::from_secs(10))).unwrap();
        let mut killed = Image::take(dir.path());
        if is_swept_before {
            // Both are live on the disk when the store is opened, and the short-lived one has not expired yet.
            restore_live(&mut killed, &before);
            drop(store);
            killed.restore(dir.path());
            let store = open(dir.path(), boot, &hand);
            assert_eq!(store.get(b"key").unwrap(), b"short");
            hand.advance(Duration::from_secs(20));
            while store.maintain(100).unwrap().pending {}
            assert!(store.is_empty());
            killed = Image::take(dir.path());
        } else {
            restore_live(&mut killed, &before);
            drop(store);
            hand.advance(Duration::from_secs(20));
        }
        for _ in 0..2 {
            killed.restore(dir.path());
            let store = open(dir.path(), boot, &hand);
            assert!(store.get(b"key").is_none() && store.is_empty(), "boot {boot}, swept before: {is_swept_before}");
            drop(store);
            killed = Image::take(dir.path());
        }
    }
}

/// Makes records live that were live before, as if the process had been killed before it marked them dead.
fn restore_live(killed: &mut Image, before: &Image) {
    for name in before.segments() {
        let Some(bytes) = killed.files.get_mut(&name) else { continue };
        let mut earlier = before.files[&name].clone();
        for slot in Segment(&mut earlier).live() {
            Segment(bytes).set_record_state(slot, LIVE);
        }
    }
}

/// With each TTL, also decreasing ones, over kills and restarts.
#[test]
fn invariant_06_deleted_pairs_stay_deleted_over_restarts() {
    for seed in 0..rounds(3) {
        let (dir, (_, hand), mut chance) = (scratch::directory(), Clock::manual(), Chance(seed));
        let mut store = open(dir.path(), 1, &hand);
        let mut is_there = vec![false; 100];
        for life in 0..25 {
            for _ in 0..100 {
                let key = chance.below(100) as usize;
                let name = (key as u32).to_be_bytes();
                is_there[key] = chance.percent(60);
                if is_there[key] {
                    // All of them longer than the test; later ones are shorter.
                    let ttl = Ttl::After(Duration::from_secs(1_000_000 >> (life / 2)));
                    store.set_with_ttl(name, stamped(&name, life, chance.below(1_500) as usize), ttl).unwrap();
                } else {
                    store.delete(name).unwrap();
                }
                if chance.percent(10) {
                    store.maintain(chance.below(60) as usize).unwrap();
                    hand.advance(Duration::from_millis(10));
                }
            }
            let killed = Image::take(dir.path());
            drop(store);
            if chance.percent(70) {
                killed.restore(dir.path());
            }
            store = open(dir.path(), 1 + u8::from(chance.percent(30)), &hand);
            let found: Vec<_> = (0..100u32).map(|key| store.contains(key.to_be_bytes())).collect();
            assert_eq!(found, is_there, "life {life}");
            assert_eq!(store.len(), is_there.iter().filter(|is_there| **is_there).count());
        }
    }
}

//! A power cut, in each durability mode: whatever the disk had written by then, the store keeps its promise.
//!
//! Between two syncs the disk may write any page in any of its states, or not at all. Each cut therefore mixes the
//! states since the last sync, one state per page, after every call.

use std::collections::BTreeMap;
use std::time::Duration;

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{Durability, Store, Ttl, UncleanBoot};
use tempfile::TempDir;

use crate::images::{KEYS, mix, recover, served};
use crate::scratch::{self, Chance, Image, stamped};
use crate::{open, options, rounds};

const LONG: Ttl = Ttl::After(Duration::from_secs(100_000_000));
const INTERVAL: Duration = Duration::from_secs(1);
/// A part of the keys, so that they are overwritten often enough for segments to be emptied.
const BUSY_KEYS: u32 = KEYS / 3;
/// Keys that are used around a sync, so that each of them changes often.
const HOT_KEYS: u32 = 12;
/// The number of calls at the beginning, and before each cut.
const CALLS: [usize; 2] = [800, 60];
const CUTS: usize = 8;
/// Different images of one cut.
const IMAGES: usize = 3;

/// The possible states of a key after a cut: its version, or `None`. The first one was synced, the others came later.
type States = Vec<Option<u64>>;

struct Machine {
    dir: TempDir,
    hand: ManualClock,
    store: Store,
    chance: Chance,
    durability: Durability,
    version: u64,
    /// The number of keys that are changed.
    among: u32,
    keys: BTreeMap<u32, States>,
    /// Since the last sync, which is the first state.
    images: Vec<Image>,
}

impl Machine {
    fn new(seed: u64, durability: Durability) -> Machine {
        let dir = scratch::directory();
        let (_, hand) = Clock::manual();
        let store = options(1, &hand).durability(durability).open(dir.path()).unwrap();
        let keys = (0..KEYS).map(|key| (key, vec![None])).collect();
        let (chance, version, among, images) = (Chance(seed), 0, BUSY_KEYS, Vec::new());
        let mut machine = Machine { dir, hand, store, chance, durability, version, among, keys, images };
        (0..CALLS[0]).for_each(|_| machine.call());
        machine
    }

    /// Executes one write, delete or touch.
    fn change_a_key(&mut self) {
        let key = self.chance.below(u64::from(self.among)) as u32;
        let name = key.to_be_bytes();
        let states = self.keys.get_mut(&key).unwrap();
        match self.chance.below(10) {
            0 | 1 => {
                self.store.delete(name).unwrap();
                states.push(None);
            }
            2 => drop(self.store.get_and_touch(name, LONG).unwrap()),
            _ => {
                self.version += 1;
                let len = if self.chance.percent(2) { 20_000 } else { self.chance.below(1_500) };
                self.store.set_with_ttl(name, stamped(&name, self.version, len as usize), LONG).unwrap();
                states.push(Some(self.version));
            }
        }
    }

    /// Runs background work: compaction, recycling, spare segments.
    fn tidy(&mut self) {
        match self.chance.below(4) {
            0 => self.store.prepare(Duration::ZERO).unwrap(),
            _ => drop(self.store.maintain(self.chance.below(100) as usize).unwrap()),
        }
    }

    /// Executes the calls before a sync.
    fn call_often(&mut self) {
        self.among = BUSY_KEYS;
        (0..CALLS[1]).for_each(|_| self.call());
        self.among = HOT_KEYS;
        (0..HOT_KEYS).for_each(|_| self.call());
    }

    fn call(&mut self) {
        match self.chance.percent(80) {
            true => self.change_a_key(),
            false => self.tidy(),
        }
    }

    fn note_image(&mut self) {
        self.images.push(Image::take(self.dir.path()));
    }

    /// Syncs. Everything done by now is promised from now on, and the disk has its current state. Records marked dead
    /// after the sync, which the disk may know or not, are allowed in both states.
    fn sync(&mut self) {
        self.images.clear();
        self.note_image();
        self.store.sync().unwrap();
        self.note_image();
        for states in self.keys.values_mut() {
            states.drain(..states.len() - 1);
        }
    }

    /// Cuts the power and checks that each key is in an allowed state.
    fn cut(&mut self, is_allowed: impl Fn(&States, Option<u64>) -> bool) {
        for _ in 0..IMAGES {
            let image = mix(&self.images, &mut self.chance);
            let found = recover(&image, &self.hand);
            for (key, states) in &self.keys {
                let found = found.get(key).copied();
                assert!(is_allowed(states, found), "key {key}: found {found:?} of {states:?}, {:?}", self.durability);
            }
            self.discard(&image);
        }
    }

    /// Checks a store that starts empty after a cut, and keeps later writes.
    fn discard(&self, image: &Image) {
        let dir = scratch::directory();
        image.restore(dir.path());
        let discarding = || options(2, &self.hand).unclean_boot(UncleanBoot::Discard);
        let store = discarding().open(dir.path()).unwrap();
        assert!(store.is_empty() && served(&store).is_empty(), "{:?}", store.recovery());
        store.set(b"new", b"value").unwrap();
        drop(store);
        let store = discarding().open(dir.path()).unwrap();
        assert_eq!((store.len(), store.get(b"new").unwrap().as_ref()), (1, &b"value"[..]));
    }
}

fn one_of(states: &States, found: Option<u64>) -> bool {
    states.contains(&found)
}

/// Nothing is acknowledged before it is on the disk. `outage.rs` tests operations in flight: a write syncs in its
/// middle, and the states before and after that must not be mixed.
#[test]
fn invariant_03_under_always_a_power_cut_costs_no_acknowledged_write() {
    let mut moved = 0;
    for seed in 0..rounds(3) {
        let mut machine = Machine::new(seed, Durability::Always);
        for _ in 0..CUTS {
            machine.call_often();
            machine.change_a_key();
            machine.sync();
            for _ in 0..machine.chance.below(6) {
                machine.tidy();
                machine.note_image();
            }
            machine.cut(one_of);
        }
        moved += machine.store.stats().compacted_bytes;
    }
    assert!(moved > 0, "nothing was moved");
}

#[test]
fn invariant_03_under_interval_a_power_cut_costs_at_most_the_last_interval() {
    let mut moved = 0;
    for seed in 0..rounds(3) {
        let mut machine = Machine::new(100 + seed, Durability::Interval(INTERVAL));
        for _ in 0..CUTS {
            machine.call_often();
            machine.sync();
            for _ in 0..machine.chance.below(30) {
                machine.call();
                machine.note_image();
            }
            machine.cut(one_of);
        }
        moved += machine.store.stats().compacted_bytes;
    }
    assert!(moved > 0, "nothing was moved");
}

/// Nothing is promised except for the death of the process. Still no pair is lost that the system had written and that
/// was not changed afterwards. If a pair is overwritten, the old value is marked dead at once, and the new one may not
/// be on the disk yet.
#[test]
fn invariant_03_under_os_a_power_cut_costs_only_pages_not_written_back() {
    for seed in 0..rounds(3) {
        let mut machine = Machine::new(200 + seed, Durability::Os);
        for _ in 0..CUTS {
            machine.call_often();
            machine.sync();
            for _ in 0..machine.chance.below(30) {
                machine.change_a_key();
                machine.note_image();
            }
            machine.cut(|states, found| one_of(states, found) || states.len() > 1 && found.is_none());
        }
    }
}

#[test]
fn discard_after_a_system_crash_keeps_the_pairs_after_a_process_crash() {
    let mut machine = Machine::new(300, Durability::Os);
    (0..200).for_each(|_| machine.call());
    let before = served(&machine.store);
    let image = Image::take(machine.dir.path());
    drop(machine.store);
    image.restore(machine.dir.path());
    let store = options(1, &machine.hand).unclean_boot(UncleanBoot::Discard).open(machine.dir.path()).unwrap();
    assert_eq!(served(&store), before);
    drop(store);
    assert_eq!(served(&open(machine.dir.path(), 1, &machine.hand)), before);
}

/// The three values of a key are in separate segments. The disk may know, in any order, that the second replaced the
/// first, that the third was written, and that it was deleted.
#[test]
fn invariant_06_no_value_older_than_the_synced_one_returns_whichever_files_were_written() {
    let (dir, (_, hand)) = (scratch::directory(), Clock::manual());
    let store = options(1, &hand).durability(Durability::Interval(INTERVAL)).open(dir.path()).unwrap();
    let key = 0u32.to_be_bytes();
    let mut filler = 1..KEYS;
    let mut set = |version| {
        store.set_with_ttl(key, stamped(&key, version, 500), LONG).unwrap();
        for other in filler.by_ref().take(5) {
            store.set_with_ttl(other.to_be_bytes(), stamped(&other.to_be_bytes(), 1, 15_000), LONG).unwrap();
        }
    };
    set(1);
    store.sync().unwrap();
    set(2);
    let synced = Image::take(dir.path());
    store.sync().unwrap();
    set(3);
    assert!(store.delete(key).unwrap());
    let last = Image::take(dir.path());
    let names = last.segments();
    assert!((3..8).contains(&names.len()), "{}", names.len());
    for written in 0..1u32 << names.len() {
        let mut image = synced.clone();
        for (_, name) in names.iter().enumerate().filter(|(i, _)| written >> i & 1 == 1) {
            image.files.insert(name.clone(), last.files[name].clone());
        }
        let found = recover(&image, &hand).get(&0).copied();
        assert!(found != Some(1), "with files {written:b} of {names:?} as they were last");
    }
}

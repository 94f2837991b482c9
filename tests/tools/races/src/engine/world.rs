//! A store, the operations on it, and its files at the moment of a kill.

// Shuttle does not switch threads while an event is recorded.
#[cfg(shuttle)]
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::checker::{Event, check};
use crate::clock::{Clock, ManualClock};
use crate::pair::{Answer, Op, Pair};
use crate::scratch::{self, Chance, Image, SEGMENT_LEN};
#[cfg(not(shuttle))]
use crate::store::primitives::Mutex;
use crate::store::primitives::{before_access, thread};
use crate::store::upkeep::compaction::{Compaction, Need};
use crate::store::{Background, BootId, Options, Store};

/// The store of a scenario.
pub(crate) struct World {
    dir: TempDir,
    options: Options,
    pub(crate) hand: ManualClock,
    pub(crate) store: Store,
    keys: usize,
    /// Whether pairs may disappear by eviction.
    may_vanish: bool,
    stamps: AtomicU64,
    noted: Mutex<Vec<(usize, Event)>>,
}

/// The files that a killed process leaves, and the time of the kill.
pub(crate) struct Killed {
    image: Image,
    at: u64,
}

/// Random numbers that the checker repeats when it repeats an order.
pub(crate) fn chance() -> Chance {
    #[cfg(shuttle)]
    let seed = shuttle::rand::Rng::r#gen(&mut shuttle::rand::thread_rng());
    #[cfg(not(shuttle))]
    let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), ());
    Chance(seed)
}

pub(crate) fn key(i: usize) -> [u8; 2] {
    [b'k', i as u8]
}

impl World {
    pub(crate) fn new(keys: usize, options: Options, may_vanish: bool) -> World {
        let dir = scratch::directory();
        let (clock, hand) = Clock::manual();
        let options = options.background(Background::Manual).segment_len(SEGMENT_LEN).clock(clock);
        let options = options.boot_id(Some(BootId::from_bytes([1; 16])));
        let store = options.clone().open(dir.path()).unwrap();
        let noted = Mutex::default();
        World { dir, options, hand, store, keys, may_vanish, stamps: AtomicU64::new(1), noted }
    }

    fn stamp(&self) -> u64 {
        self.stamps.fetch_add(1, Ordering::Relaxed)
    }

    /// Executes `op` and records its result.
    pub(crate) fn run(&self, i: usize, op: Op) -> Option<Answer> {
        let called = self.stamp();
        let answer = op.run(&self.store, &key(i))?;
        let returned = self.stamp();
        let event = Event { op: op.clone(), answer: answer.clone(), called, returned };
        let mut noted = self.noted.lock().unwrap();
        match op {
            Op::Clear => noted.extend((0..self.keys).map(|i| (i, event.clone()))),
            _ => noted.push((i, event)),
        }
        Some(answer)
    }

    /// Holds the value of a key for some time, in which its bytes must not change.
    pub(crate) fn hold(&self, i: usize, steps: u64) {
        if let Some(value) = self.store.get(&key(i)) {
            let copy = value.to_vec();
            for _ in 0..steps {
                if cfg!(shuttle) {
                    before_access()
                } else {
                    thread::yield_now()
                }
                assert!(value == copy[..], "the bytes of a held value changed");
            }
        }
    }

    /// Empties one segment, or a part of it, whether or not space is needed.
    pub(crate) fn compact(&self, budget: usize) {
        let engine = &self.store.shared.engine;
        let now_ms = engine.timeline.now_ms();
        Compaction::default().run(&engine.log, &engine.index, now_ms, Need::Full, budget).unwrap();
    }

    /// Returns the files that a process killed after `steps` steps leaves, or `None` if the checker cannot stop the
    /// other threads meanwhile.
    pub(crate) fn kill_after(&self, steps: u64) -> Option<Killed> {
        if cfg!(not(shuttle)) {
            return None;
        }
        (0..steps).for_each(|_| before_access());
        Some(Killed { image: Image::take(self.dir.path()), at: self.stamp() })
    }

    /// Checks that the recorded operations and the current pairs are linearizable, and that the pairs are there after
    /// reopening and after the kill.
    pub(crate) fn examine(mut self, killed: Option<Killed>) {
        self.read_all();
        self.check_accounts();
        self.reopen(None);
        self.read_all();
        self.check_accounts();
        self.check_history(&self.noted.lock().unwrap());
        if let Some(Killed { image, at }) = killed {
            self.reopen(Some(image));
            let before = std::mem::take(&mut *self.noted.lock().unwrap());
            self.read_all();
            self.check_accounts();
            self.check_killed(before, at);
        }
        self.check_that_room_comes_back();
    }

    fn read_all(&self) {
        (0..self.keys).for_each(|i| drop(self.run(i, Op::Get)));
    }

    fn reopen(&mut self, image: Option<Image>) {
        // Replaces the handle, so that the old one is closed before the files change.
        let elsewhere = scratch::directory();
        drop(std::mem::replace(&mut self.store, self.options.clone().open(elsewhere.path()).unwrap()));
        if let Some(image) = image {
            image.restore(self.dir.path());
        }
        self.store = self.options.clone().open(self.dir.path()).unwrap();
        let report = self.store.recovery();
        assert!(report.same_boot && report.dropped == 0, "{report}");
        assert!(report.set_aside.is_empty() && report.foreign.is_empty(), "{report}");
    }

    fn check_history(&self, noted: &[(usize, Event)]) {
        for i in 0..self.keys {
            let events = noted.iter().filter(|(key, _)| *key == i).map(|(_, event)| event.clone());
            if let Err(why) = check(events.collect(), Pair::default(), self.may_vanish) {
                panic!("key {i}: {why}");
            }
        }
    }

    /// Operations that had returned at the kill count. Operations that had been called and not returned may count.
    fn check_killed(&self, before: Vec<(usize, Event)>, at: u64) {
        let found = self.noted.lock().unwrap();
        for i in 0..self.keys {
            let events = || before.iter().filter(|(key, _)| *key == i).map(|(_, event)| event.clone());
            let returned: Vec<_> = events().filter(|event| event.returned < at).collect();
            let called: Vec<_> = events().filter(|event| event.called < at && at < event.returned).collect();
            let explains = |counted: usize| {
                let in_flight = (0..called.len()).filter(|bit| counted >> bit & 1 == 1);
                let in_flight = in_flight.map(|bit| Event { returned: at, ..called[bit].clone() });
                let after = found.iter().filter(|(key, _)| *key == i).map(|(_, event)| event.clone());
                let history = returned.iter().cloned().chain(in_flight).chain(after).collect();
                check(history, Pair::default(), self.may_vanish)
            };
            let mut tried = (0..1 << called.len()).map(explains);
            if let Err(why) = tried.find(Result::is_ok).unwrap_or_else(|| explains(0)) {
                panic!("key {i}, killed at {at}: {why}; in flight: {called:?}");
            }
        }
    }

    /// Checks that the live bytes are those of the records in the index, that entries and records correspond one to
    /// one, and that the counted space is that of the files.
    fn check_accounts(&self) {
        let engine = &self.store.shared.engine;
        let mut named = 0;
        for segment in engine.log.segments() {
            let mut live_bytes = 0;
            for slot in 0..segment.reserved().slots {
                if let Some(record) = segment.record(slot)
                    && engine.index.read(record.hash()).names(record.hash(), &segment, slot)
                {
                    live_bytes += record.footprint() as u64;
                    named += 1;
                }
            }
            assert_eq!(segment.live_bytes(), live_bytes, "live bytes of segment {}", segment.number);
        }
        assert_eq!(self.store.len(), named, "entries of the index, and live records");
        assert_eq!(engine.log.files.space.used(), Image::take(self.dir.path()).segment_bytes(), "room");
    }

    /// Checks that nothing remains of removed pairs: no record, no open reservation, no pin.
    fn check_that_room_comes_back(&self) {
        self.store.clear().unwrap();
        for _ in 0..4 {
            self.hand.advance(Duration::from_secs(60));
            while self.store.maintain(10_000).unwrap().pending {}
        }
        // A segment that was reused just before the kill stays open for the next write.
        let left = self.store.shared.engine.log.segments_where(|segment| segment.reserved().slots > 0);
        assert!(self.store.is_empty() && left.is_empty(), "{left:?}");
    }
}

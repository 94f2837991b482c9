//! The store and its model: every operation is executed on both, and the results are compared.

use std::time::Duration;

use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{
    Attributes, Background, BootId, Condition, DeleteResult, Durability, GetOptions, OpenError, Options, Store,
    StoreError, Ttl, Value,
};
use sharedance_core::{Version, WriteResult};
use tempfile::TempDir;

use crate::naive::Naive;
use crate::ops::{KEYS, Op, Restart, key};
use crate::scratch::{self, Image, SEGMENT_LEN};

const DEFAULT_TTL_MS: u64 = 60_000;
/// Segments that may remain when no pair is live: spare ones, and ones about to be deleted.
const SEGMENTS_AT_REST: u64 = 3;

/// The store and its model.
pub(crate) struct Pair {
    dir: TempDir,
    hand: ManualClock,
    /// `None` while the store is being opened again.
    store: Option<Store>,
    naive: Naive,
    held: Vec<(Value, Vec<u8>)>,
    boot: u8,
    wall_ms: u64,
    durability: Durability,
}

impl Pair {
    pub(crate) fn promising(durability: Durability) -> Pair {
        let (_, hand) = Clock::manual();
        let mut pair = Pair {
            dir: scratch::directory(),
            hand,
            store: None,
            naive: Naive::default(),
            held: Vec::new(),
            boot: 1,
            wall_ms: 1_000_000_000_000,
            durability,
        };
        pair.store = Some(pair.open().unwrap());
        pair
    }

    fn open(&self) -> Result<Store, OpenError> {
        Options::new()
            .background(Background::Manual)
            .segment_len(SEGMENT_LEN)
            .default_ttl(Duration::from_millis(DEFAULT_TTL_MS))
            .clock(self.hand.clock())
            .boot_id(Some(BootId::from_bytes([self.boot; 16])))
            .durability(self.durability)
            .open(self.dir.path())
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub(crate) fn apply(&mut self, op: Op) {
        match op {
            Op::Set { key: i, value, ttl, client_flags } => {
                let attributes = Attributes::new(ttl).client_flags(client_flags);
                assert!(self.store().write(key(i), &value, attributes, Condition::Always).unwrap().is_stored());
                self.naive.set(&key(i), &value, ttl_ms(ttl), client_flags);
                self.check_key(i);
            }
            Op::Add { key: i, value, ttl } => {
                let is_absent = self.naive.get(&key(i)).is_none();
                assert_eq!(self.store().add(key(i), &value, ttl).unwrap(), is_absent, "add {i}");
                self.record_set(i, &value, ttl, is_absent);
            }
            Op::Replace { key: i, value, ttl } => {
                let is_present = self.naive.get(&key(i)).is_some();
                assert_eq!(self.store().replace(key(i), &value, ttl).unwrap(), is_present, "replace {i}");
                self.record_set(i, &value, ttl, is_present);
            }
            Op::CompareAndSet { key: i, value, ttl, is_right } => {
                let version = self.version(i, is_right);
                let result = self.store().compare_and_set(key(i), &value, ttl, version).unwrap();
                self.check_result(i, result, is_right);
                self.record_set(i, &value, ttl, result.is_stored());
            }
            Op::Append { key: i, tail } => {
                self.rewrite(i, |store| store.append(key(i), &tail), |value| [value, &tail].concat());
            }
            Op::Prepend { key: i, head } => {
                self.rewrite(i, |store| store.prepend(key(i), &head), |value| [&head, value].concat());
            }
            Op::Update(i) => {
                let update = |value: &Value| Ok::<_, StoreError>(value.to_ascii_uppercase().into());
                self.rewrite(i, |store| store.update(key(i), update), <[u8]>::to_ascii_uppercase);
            }
            Op::Count { key: i, by, is_up } => self.count(i, by, is_up),
            Op::DeleteVersion { key: i, is_right } => {
                let condition = Condition::Version(self.version(i, is_right));
                let result = self.store().delete_if(key(i), condition).unwrap();
                match self.naive.get(&key(i)) {
                    None => assert_eq!(result, DeleteResult::NotFound, "{i}"),
                    Some(_) if is_right => assert!(result.is_deleted(), "{i}: {result:?}"),
                    Some(_) => assert_eq!(result, DeleteResult::Conflict, "{i}"),
                }
                if result.is_deleted() {
                    self.naive.delete(&key(i));
                }
                self.check_key(i);
            }
            Op::Delete(i) => {
                let deleted = self.store().delete(key(i)).unwrap();
                assert_eq!(deleted, self.naive.delete(&key(i)), "delete {i}");
                self.check_key(i);
            }
            Op::Touch { key: i, ttl } => {
                let touched = self.store().touch(key(i), ttl).unwrap();
                assert_eq!(touched, self.naive.touch(&key(i), ttl_ms(ttl)), "touch {i}");
                self.check_key(i);
            }
            Op::GetAndTouch { key: i, ttl } => {
                let expected = self.naive.get(&key(i)).map(<[u8]>::to_vec);
                assert_eq!(self.store().get_and_touch(key(i), ttl).unwrap().as_deref(), expected.as_deref(), "{i}");
                self.naive.touch(&key(i), ttl_ms(ttl));
                self.check_key(i);
            }
            Op::Invalidate(i) => {
                let result = self.store().invalidate(key(i), Condition::Present, None).unwrap();
                self.check_result(i, result, true);
                self.naive.mark_stale(&key(i));
                self.check_key(i);
            }
            Op::GetWith(i) => {
                let entry = self.store().get_with(key(i), GetOptions::new()).unwrap();
                assert_eq!(entry.map(|entry| entry.is_stale), self.naive.is_stale(&key(i)), "{i}");
            }
            Op::Hold(i) => {
                if let Some(value) = self.store().get(key(i)) {
                    let copy = value.to_vec();
                    self.held.push((value, copy));
                }
            }
            Op::LetGo => self.let_go(),
            Op::Clear => {
                self.store().clear().unwrap();
                self.naive.clear();
                assert!(self.store().is_empty());
            }
            Op::Maintain(budget) => {
                let progress = self.store().maintain(budget).unwrap();
                assert!(progress.examined <= budget);
            }
            Op::Prepare => self.store().prepare(Duration::ZERO).unwrap(),
            Op::Sync => self.store().sync().unwrap(),
            Op::Advance(ms) => self.advance(ms),
            Op::StepWall(secs) => self.step_wall(secs),
            Op::Reopen(restart) => {
                self.restart(restart);
                self.check_recovery();
            }
        }
    }

    /// Returns the version of the current value, or one that no value has.
    fn version(&self, i: usize, is_right: bool) -> Version {
        let version = self.store().get(key(i)).map_or(1, |value| value.version().get());
        Version::new(if is_right { version } else { version + 1 }).unwrap()
    }

    fn check_result(&self, i: usize, result: WriteResult, is_right: bool) {
        match self.naive.get(&key(i)) {
            None => assert_eq!(result, WriteResult::NotFound, "{i}"),
            Some(_) if is_right => assert!(result.is_stored(), "{i}: {result:?}"),
            Some(_) => assert_eq!(result, WriteResult::Conflict, "{i}"),
        }
    }

    fn record_set(&mut self, i: usize, value: &[u8], ttl: Ttl, was_done: bool) {
        if was_done {
            self.naive.set(&key(i), value, ttl_ms(ttl), 0);
        }
        self.check_key(i);
    }

    fn rewrite(
        &mut self,
        i: usize,
        rewrite: impl Fn(&Store) -> Result<WriteResult, StoreError>,
        change: impl Fn(&[u8]) -> Vec<u8>,
    ) {
        let result = rewrite(self.store()).unwrap();
        self.check_result(i, result, true);
        if let Some(value) = self.naive.get(&key(i)).map(change) {
            self.naive.rewrite(&key(i), value);
        }
        self.check_key(i);
    }

    fn count(&mut self, i: usize, by: u64, is_up: bool) {
        let store = self.store();
        let counted = if is_up { store.incr(key(i), by) } else { store.decr(key(i), by) };
        let number = |value: &[u8]| {
            let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            digits.and_then(|digits| digits.parse().ok())
        };
        match self.naive.get(&key(i)).map(number) {
            None => assert_eq!(counted.unwrap(), None, "{i}"),
            Some(None) => assert!(matches!(counted, Err(StoreError::NotANumber)), "{i}: {counted:?}"),
            Some(Some(number)) => {
                let sum: u64 = if is_up { u64::wrapping_add(number, by) } else { u64::saturating_sub(number, by) };
                assert_eq!(counted.unwrap(), Some(sum), "{i}");
                self.naive.rewrite(&key(i), sum.to_string().into_bytes());
            }
        }
        self.check_key(i);
    }

    fn advance(&mut self, ms: u64) {
        self.hand.advance(Duration::from_millis(ms));
        self.wall_ms += ms;
        self.naive.now_ms += ms;
    }

    fn step_wall(&mut self, secs: u64) {
        self.hand.step_wall(Duration::from_secs(secs));
        self.wall_ms = secs * 1_000;
    }

    fn let_go(&mut self) {
        for (value, copy) in self.held.drain(..) {
            assert_eq!(value, copy, "the bytes of a held value changed");
        }
    }

    fn restart(&mut self, restart: Restart) {
        let left = Image::take(self.dir.path());
        self.store = None;
        if !self.held.is_empty() {
            assert!(matches!(self.open(), Err(OpenError::InUse { .. })), "held values keep the directory locked");
            self.let_go();
        }
        match restart {
            Restart::Orderly { off_ms } => self.advance(off_ms),
            Restart::Killed { off_ms } => {
                left.restore(self.dir.path());
                self.advance(off_ms);
            }
            Restart::Rebooted { wall_secs, boot_time_anew } => {
                let closed_at_ms = self.wall_ms;
                self.step_wall(wall_secs);
                self.naive.now_ms += self.wall_ms.saturating_sub(closed_at_ms).max(1_000);
                self.boot += 1;
                if boot_time_anew {
                    self.hand.reboot();
                }
            }
        }
        self.store = Some(self.open().unwrap());
    }

    fn check_recovery(&mut self) {
        self.naive.sweep();
        let report = self.store().recovery();
        assert_eq!(report.dropped, 0, "{report:?}");
        // A store that survives power cuts keeps overwritten values until a sync. A killed one had no sync.
        assert!(report.superseded == 0 || self.durability != Durability::Os, "{report:?}");
        assert_eq!((&report.set_aside, &report.foreign), (&vec![], &vec![]));
        assert_eq!(report.pairs, self.naive.sizes()[0].0, "{report:?}");
        self.check();
    }

    fn check_key(&self, i: usize) {
        let found = self.store().get(key(i));
        let expected = self.naive.get(&key(i));
        assert_eq!(found.as_ref().map(|value| value.len()), expected.map(<[u8]>::len), "key {i}");
        assert!(found.as_deref() == expected, "key {i}: other bytes");
        assert_eq!(found.map(|value| value.client_flags()), self.naive.client_flags(&key(i)), "key {i}");
        assert_eq!(self.store().contains(key(i)), expected.is_some());
    }

    /// Compares all keys and the counters. The store may have removed any part of the expired pairs.
    pub(crate) fn check(&self) {
        (0..KEYS).for_each(|i| self.check_key(i));
        let stats = self.store().stats();
        let [(live_pairs, live_bytes), (all_pairs, all_bytes)] = self.naive.sizes();
        assert!((live_pairs..=all_pairs).contains(&stats.pairs), "{live_pairs}..={all_pairs}: {stats:?}");
        assert!((live_bytes..=all_bytes).contains(&stats.live_bytes), "{live_bytes}..={all_bytes}: {stats:?}");
        assert_eq!(stats.pairs, self.store().len() as u64);
        assert_eq!(stats.file_bytes, Image::take(self.dir.path()).segment_bytes());
        assert_eq!((stats.damaged, stats.refused_full), (0, 0));
        for (value, copy) in &self.held {
            assert!(*value == copy, "the bytes of a held value changed");
        }
    }

    /// Lets all pairs with a TTL expire, deletes the others, and checks that all space is freed.
    pub(crate) fn wind_up(&mut self) {
        for i in 0..KEYS {
            self.apply(Op::Touch { key: i, ttl: Ttl::After(Duration::from_millis(1 + i as u64)) });
        }
        for _ in 0..4 {
            self.advance(5_000);
            while self.store().maintain(50).unwrap().pending {}
        }
        self.naive.sweep();
        self.check();
        let stats = self.store().stats();
        assert_eq!((stats.pairs, stats.live_bytes), (0, 0), "{stats:?}");
        self.let_go();
        for _ in 0..3 {
            self.advance(5_000);
            while self.store().maintain(50).unwrap().pending {}
        }
        let stats = self.store().stats();
        assert!(stats.file_bytes <= SEGMENTS_AT_REST * SEGMENT_LEN as u64, "{stats:?}");
        assert_eq!(stats.segments, 0, "{stats:?}");
    }
}

fn ttl_ms(ttl: Ttl) -> Option<u64> {
    match ttl {
        Ttl::Default => Some(DEFAULT_TTL_MS),
        Ttl::After(ttl) => Some(ttl.as_millis() as u64),
        Ttl::Never => None,
        other => unreachable!("{other:?} is not drawn"),
    }
}

//! The store against a naive map: random operations, turned clocks, restarts; and many threads at once.
//!
//! Segments are as short as they can be, so that everything rotates, is carried forward and is recycled.
//! `PROPTEST_CASES` makes it run longer. The names of these tests, and of those in `crash.rs`, end in the numbers of the
//! invariants that they hold the store to:
//!
//! 1. Any order of operations, expiry, compaction and reopening equals the model.
//! 2. After `kill -9` at any instant every key is at its last acknowledged operation, or at the one in flight.
//! 3. After a crash of the system nothing is served that was never written for its key or is past its deadline, and
//!    what was synced is as it was.
//! 5. The bytes of a held value never change.
//! 6. One live entry a key; after a delete it is gone, after any restart too.
//! 7. Expiry takes nothing that has not expired, and soon gives all room back that has.
//! 8. Without room, sets fail as such and nothing else; what was acknowledged stays, and service resumes.
//! 9. Space is bounded, however often the store is restarted.
//! 10. Store time never goes back, whatever the clocks do.
//! 12. What was reserved and never committed is invisible, and its room comes back.
//! 13. An identical set moves only the deadline.
//! 14. A slot of an earlier incarnation of its file is never believed.
//!
//! 4, the accounts, is checked wherever a store is; 11, recovery over arbitrary bytes, by the fuzz target `recovery`.

// A test that cannot use its own store is to fail at once.
#![allow(clippy::unwrap_used)]

#[path = "support/naive.rs"]
mod naive;
#[path = "support/scratch.rs"]
mod scratch;
#[path = "model/threads.rs"]
mod threads;

use std::time::Duration;

use naive::Naive;
use proptest::prelude::*;
use scratch::{Image, SEGMENT_LEN};
use sharedance_core::clock::{Clock, ManualClock};
use sharedance_core::store::{
    BootId, Condition, Durability, MAX_KEY_LEN, OpenError, Options, Outcome, Store, StoreError, Ttl, Value,
};
use tempfile::TempDir;

const DEFAULT_TTL_MS: u64 = 60_000;
const KEYS: usize = 24;
/// Segments that may be left when nothing lives: what stands ready, and what is about to be deleted.
const SEGMENTS_AT_REST: u64 = 3;

#[derive(Debug, Clone)]
enum Op {
    Set {
        key: usize,
        value: Vec<u8>,
        ttl: Ttl,
    },
    Add {
        key: usize,
        value: Vec<u8>,
        ttl: Ttl,
    },
    Replace {
        key: usize,
        value: Vec<u8>,
        ttl: Ttl,
    },
    /// With the version that is there, or another one.
    CompareAndSet {
        key: usize,
        value: Vec<u8>,
        ttl: Ttl,
        is_right: bool,
    },
    Append {
        key: usize,
        tail: Vec<u8>,
    },
    Prepend {
        key: usize,
        head: Vec<u8>,
    },
    Delete(usize),
    DeleteVersion {
        key: usize,
        is_right: bool,
    },
    Touch {
        key: usize,
        ttl: Ttl,
    },
    Hold(usize),
    LetGo,
    Clear,
    Maintain(usize),
    Prepare,
    Sync,
    Advance(u64),
    StepWall(u64),
    Reopen(Restart),
}

/// How a store comes to be opened again, and what the clocks do meanwhile.
#[derive(Debug, Clone)]
enum Restart {
    /// Closed and opened.
    Orderly { off_ms: u64 },
    /// The process was killed.
    Killed { off_ms: u64 },
    /// Another boot; the wall clock shows so much then, and boot time may start anew.
    Rebooted { wall_secs: u64, boot_time_anew: bool },
}

fn key(i: usize) -> Vec<u8> {
    let len = match i {
        0 => MAX_KEY_LEN,
        1..4 => 250,
        _ => 2 + i % 7,
    };
    (0..len).map(|at| if at == 0 { i as u8 } else { b'k' }).collect()
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![
        2 => Just(0usize),
        30 => 1..3_000usize,
        4 => 3_000..16_000usize,
        2 => 16_000..20_000usize,
        1 => Just(60_000usize),
    ];
    // Few fillings, so that the same value often comes again.
    (len, 0..3u8).prop_map(|(len, filling)| vec![filling; len])
}

fn ttls() -> impl Strategy<Value = Ttl> {
    let after = |ms: std::ops::Range<u64>| ms.prop_map(|ms| Ttl::After(Duration::from_millis(ms)));
    prop_oneof![
        5 => Just(Ttl::Default),
        1 => Just(Ttl::Never),
        1 => Just(Ttl::After(Duration::ZERO)),
        6 => after(1..5_000),
        3 => after(5_000..4_000_000),
    ]
}

fn restarts() -> impl Strategy<Value = Restart> {
    let off_ms = || prop_oneof![Just(0u64), 1..100_000u64];
    prop_oneof![
        off_ms().prop_map(|off_ms| Restart::Orderly { off_ms }),
        off_ms().prop_map(|off_ms| Restart::Killed { off_ms }),
        (wall_secs(), any::<bool>())
            .prop_map(|(wall_secs, boot_time_anew)| Restart::Rebooted { wall_secs, boot_time_anew }),
    ]
}

fn durabilities() -> impl Strategy<Value = Durability> {
    let interval = Durability::Interval(Duration::from_secs(1));
    prop_oneof![3 => Just(Durability::Os), 1 => Just(interval), 1 => Just(Durability::Always)]
}

/// Around where the manual clock starts, an hour to either side.
fn wall_secs() -> impl Strategy<Value = u64> {
    1_000_000_000 - 3_600..1_000_000_000 + 3_600u64
}

fn ops() -> impl Strategy<Value = Op> {
    let key = || 0..KEYS;
    prop_oneof![
        60 => (key(), values(), ttls()).prop_map(|(key, value, ttl)| Op::Set { key, value, ttl }),
        5 => (key(), values(), ttls()).prop_map(|(key, value, ttl)| Op::Add { key, value, ttl }),
        5 => (key(), values(), ttls()).prop_map(|(key, value, ttl)| Op::Replace { key, value, ttl }),
        5 => (key(), values(), ttls(), any::<bool>())
            .prop_map(|(key, value, ttl, is_right)| Op::CompareAndSet { key, value, ttl, is_right }),
        4 => (key(), values()).prop_map(|(key, tail)| Op::Append { key, tail }),
        4 => (key(), values()).prop_map(|(key, head)| Op::Prepend { key, head }),
        10 => key().prop_map(Op::Delete),
        3 => (key(), any::<bool>()).prop_map(|(key, is_right)| Op::DeleteVersion { key, is_right }),
        10 => (key(), ttls()).prop_map(|(key, ttl)| Op::Touch { key, ttl }),
        5 => key().prop_map(Op::Hold),
        1 => Just(Op::LetGo),
        1 => Just(Op::Clear),
        12 => (0..60usize).prop_map(Op::Maintain),
        1 => Just(Op::Maintain(usize::MAX)),
        2 => Just(Op::Prepare),
        1 => Just(Op::Sync),
        8 => prop_oneof![3 => 1..2_000u64, 1 => 2_000..100_000u64].prop_map(Op::Advance),
        2 => wall_secs().prop_map(Op::StepWall),
        3 => restarts().prop_map(Op::Reopen),
    ]
}

/// The store and its model, side by side.
struct Pair {
    dir: TempDir,
    hand: ManualClock,
    /// None while it is being opened anew.
    store: Option<Store>,
    naive: Naive,
    held: Vec<(Value, Vec<u8>)>,
    boot: u8,
    wall_ms: u64,
    durability: Durability,
}

impl Pair {
    fn new() -> Pair {
        Pair::promising(Durability::Os)
    }

    fn promising(durability: Durability) -> Pair {
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

    fn apply(&mut self, op: Op) {
        match op {
            Op::Set { key: i, value, ttl } => {
                self.store().set_with_ttl(&key(i), &value, ttl).unwrap();
                self.naive.set(&key(i), &value, ttl_ms(ttl));
                self.check_key(i);
            }
            Op::Add { key: i, value, ttl } => {
                let is_absent = self.naive.get(&key(i)).is_none();
                assert_eq!(self.store().add(&key(i), &value, ttl).unwrap(), is_absent, "add {i}");
                self.note_set(i, &value, ttl, is_absent);
            }
            Op::Replace { key: i, value, ttl } => {
                let is_present = self.naive.get(&key(i)).is_some();
                assert_eq!(self.store().replace(&key(i), &value, ttl).unwrap(), is_present, "replace {i}");
                self.note_set(i, &value, ttl, is_present);
            }
            Op::CompareAndSet { key: i, value, ttl, is_right } => {
                let version = self.version(i, is_right);
                let outcome = self.store().compare_and_set(&key(i), &value, ttl, version).unwrap();
                self.check_outcome(i, outcome, is_right);
                self.note_set(i, &value, ttl, outcome.is_done());
            }
            Op::Append { key: i, tail } => self.rewrite(i, &tail, |store| store.append(&key(i), &tail), true),
            Op::Prepend { key: i, head } => self.rewrite(i, &head, |store| store.prepend(&key(i), &head), false),
            Op::DeleteVersion { key: i, is_right } => {
                let condition = Condition::Version(self.version(i, is_right));
                let outcome = self.store().delete_if(&key(i), condition).unwrap();
                self.check_outcome(i, outcome, is_right);
                if outcome.is_done() {
                    self.naive.delete(&key(i));
                }
                self.check_key(i);
            }
            Op::Delete(i) => {
                let deleted = self.store().delete(&key(i)).unwrap();
                assert_eq!(deleted, self.naive.delete(&key(i)), "delete {i}");
                self.check_key(i);
            }
            Op::Touch { key: i, ttl } => {
                let touched = self.store().touch(&key(i), ttl).unwrap();
                assert_eq!(touched, self.naive.touch(&key(i), ttl_ms(ttl)), "touch {i}");
                self.check_key(i);
            }
            Op::Hold(i) => {
                if let Some(value) = self.store().get(&key(i)) {
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

    /// The version of what is there, or one that nothing has.
    fn version(&self, i: usize, is_right: bool) -> u64 {
        let version = self.store().get(&key(i)).map_or(0, |value| value.version());
        if is_right { version } else { version + 1 }
    }

    fn check_outcome(&self, i: usize, outcome: Outcome, is_right: bool) {
        match self.naive.get(&key(i)) {
            None => assert_eq!(outcome, Outcome::Missing, "{i}"),
            Some(_) if is_right => assert!(outcome.is_done(), "{i}: {outcome:?}"),
            Some(_) => assert_eq!(outcome, Outcome::Exists, "{i}"),
        }
    }

    fn note_set(&mut self, i: usize, value: &[u8], ttl: Ttl, was_done: bool) {
        if was_done {
            self.naive.set(&key(i), value, ttl_ms(ttl));
        }
        self.check_key(i);
    }

    fn rewrite(
        &mut self,
        i: usize,
        part: &[u8],
        rewrite: impl Fn(&Store) -> Result<Outcome, StoreError>,
        is_tail: bool,
    ) {
        let outcome = rewrite(self.store()).unwrap();
        self.check_outcome(i, outcome, true);
        if let Some(value) = self.naive.get(&key(i)).map(<[u8]>::to_vec) {
            let parts = if is_tail { [&value, part] } else { [part, &value[..]] };
            self.naive.rewrite(&key(i), parts.concat());
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
        // A store that promises to survive power cuts keeps overwritten values until a sync; one that was killed had none.
        assert!(report.superseded == 0 || self.durability != Durability::Os, "{report:?}");
        assert_eq!((&report.set_aside, &report.foreign), (&vec![], &vec![]));
        assert_eq!(report.pairs, self.naive.sizes()[0].0, "{report:?}");
        self.check();
    }

    fn check_key(&self, i: usize) {
        let found = self.store().get(&key(i));
        let expected = self.naive.get(&key(i));
        assert_eq!(found.as_ref().map(|value| value.len()), expected.map(<[u8]>::len), "key {i}");
        assert!(found.as_deref() == expected, "key {i}: other bytes");
        assert_eq!(self.store().contains(&key(i)), expected.is_some());
    }

    /// All keys, and the accounts. The store may have forgotten any part of what has expired.
    fn check(&self) {
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

    /// Lets everything expire that can, deletes the rest, and sees all room come back.
    fn wind_up(&mut self) {
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
    }
}

fn cases(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(cases), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(60))]

    /// 1, 5, 7, 9 and 12 as well: every check is made at every restart, and all room comes back at the end.
    #[test]
    fn any_order_of_operations_equals_the_model_1(
        ops in prop::collection::vec(ops(), 1..160),
        durability in durabilities(),
    ) {
        let mut pair = Pair::promising(durability);
        for (i, op) in ops.into_iter().enumerate() {
            pair.apply(op);
            if i % 8 == 0 {
                pair.check();
            }
        }
        pair.check();
        pair.wind_up();
    }

    #[test]
    fn store_time_never_goes_back_10(turns in prop::collection::vec((wall_secs(), any::<bool>(), 0..5_000u64), 1..12)) {
        let mut pair = Pair::new();
        let far = Duration::from_secs(100_000);
        pair.store().set_with_ttl(b"far", b"1", Ttl::After(far)).unwrap();
        let mut gone = Vec::new();
        for (i, (wall_secs, boot_time_anew, ms)) in turns.into_iter().enumerate() {
            let name = [b'n', i as u8];
            pair.store().set_with_ttl(&name, b"1", Ttl::After(Duration::from_millis(ms + 1))).unwrap();
            pair.advance(ms);
            prop_assert!(pair.store().contains(&name), "{i} went before its time");
            pair.advance(1);
            gone.push(name);
            prop_assert!(gone.iter().all(|name| !pair.store().contains(name)));
            pair.restart(Restart::Rebooted { wall_secs, boot_time_anew });
            prop_assert!(gone.iter().all(|name| !pair.store().contains(name)), "{i} is back");
        }
        prop_assert!(pair.store().contains(b"far"), "an hour or two a turn are no day");
    }
}

#[test]
fn a_wall_clock_out_by_decades_makes_nothing_immortal_10() {
    let mut pair = Pair::new();
    pair.restart(Restart::Rebooted { wall_secs: 4_000_000_000, boot_time_anew: true });
    pair.store().set_with_ttl(b"short", b"1", Ttl::After(Duration::from_secs(10))).unwrap();
    pair.advance(9_999);
    assert!(pair.store().contains(b"short"));
    pair.advance(1);
    assert!(!pair.store().contains(b"short"));
}

#[test]
fn an_identical_set_moves_only_the_deadline_13() {
    for len in [0, 700, 30_000] {
        let mut pair = Pair::new();
        let value = vec![7; len];
        pair.store().set(b"same", &value).unwrap();
        let before = Image::take(pair.dir.path());
        pair.advance(DEFAULT_TTL_MS - 1);
        pair.store().set(b"same", &value).unwrap();
        let after = Image::take(pair.dir.path());
        assert_eq!(pair.store().stats().identical_sets, 1);
        let changed: usize = before
            .segments()
            .iter()
            .map(|name| before.files[name].iter().zip(&after.files[name]).filter(|(a, b)| a != b).count())
            .sum();
        assert!(before.segments() == after.segments() && (1..=8).contains(&changed), "{changed} bytes of {len}");
        pair.advance(DEFAULT_TTL_MS - 1);
        assert_eq!(pair.store().get(b"same").unwrap(), value);
        pair.advance(1);
        assert!(pair.store().get(b"same").is_none());
        // What has expired is not there to be set again: it is stored anew.
        pair.store().set(b"same", &value).unwrap();
        assert_eq!(pair.store().stats().identical_sets, 1);
        assert_eq!(pair.store().get(b"same").unwrap(), value);
    }
}

/// What a writer that finds no room does is in `crash.rs`; here the walk that it finds half done is a small budget's.
#[test]
fn however_small_the_budgets_two_ticks_after_the_deadline_no_room_is_held_7() {
    let mut pair = Pair::new();
    for i in 0..2_000u32 {
        let ttl = Ttl::After(Duration::from_millis(100 + u64::from(i % 50) * 7));
        pair.store().set_with_ttl(&i.to_be_bytes(), &[1; 300], ttl).unwrap();
    }
    pair.store().set_with_ttl(b"stays", b"1", Ttl::Never).unwrap();
    pair.advance(200);
    for _ in 0..5 {
        pair.store().maintain(3).unwrap();
    }
    for _ in 0..2 {
        pair.advance(1_000);
        while pair.store().maintain(7).unwrap().pending {}
    }
    let stats = pair.store().stats();
    assert_eq!((stats.pairs, stats.live_bytes), (1, 32 + 16), "{stats:?}");
    assert!(stats.file_bytes <= (1 + SEGMENTS_AT_REST) * SEGMENT_LEN as u64, "{stats:?}");
    assert!(pair.store().contains(b"stays"));
}

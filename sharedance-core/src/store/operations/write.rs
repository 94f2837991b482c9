//! Writes of one pair.
//!
//! A write is prepared without a lock: its record is in its segment before other threads must wait. Then, under the
//! write lock of the key's shard, the condition is checked and the record committed. So operations on a key are
//! linearizable. A write that depends on the old value (append, increment) is prepared from it, committed only if that
//! value is still current, and otherwise prepared again.

use std::num::NonZeroU64;

use crate::store::api::request::{Attributes, Condition, DeleteResult, Refusal, Ttl};
use crate::store::disk::format::{self, FLAG_REFRESHER, FLAG_STALE, RecordState, Word};
use crate::store::durability::syncs::Syncs;
use crate::store::engine::Engine;
use crate::store::error::StoreError;
use crate::store::index::Location;
use crate::store::operations::draft::{Draft, Marks, Prefix};
use crate::store::operations::read::live_version;
use crate::store::segment::accesses::{self, Access};
use crate::store::segment::payload::Payload;
use crate::store::segment::record::{Pinned, RecordRef};
use crate::store::segment::reservation::Reservation;
use crate::store::segment::ttl_class::TtlClass;
use crate::{Version, WriteResult};

/// The parts of a store that a write changes.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'s> {
    pub(crate) engine: &'s Engine,
    pub(crate) syncs: &'s Syncs,
}

/// Why a write failed.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// There is no space. The caller may make some and try once more.
    NoRoom {
        /// The length of the record's own file, if it needs one.
        file_len: Option<u64>,
    },
    Store(StoreError),
}

impl WriteError {
    fn of(error: StoreError, file_len: Option<u64>) -> WriteError {
        match error {
            StoreError::Full => WriteError::NoRoom { file_len },
            error => WriteError::Store(error),
        }
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> WriteError {
        WriteError::Store(error)
    }
}

impl From<WriteError> for StoreError {
    fn from(error: WriteError) -> StoreError {
        match error {
            WriteError::NoRoom { .. } => StoreError::Full,
            WriteError::Store(error) => error,
        }
    }
}

/// Decision on a prepared record, made under the shard lock.
pub(crate) enum Decision {
    Commit(Word),
    GiveUp(Refusal),
}

impl Writer<'_> {
    /// Stores a value if `condition` holds.
    pub(crate) fn write(
        &self,
        key: &[u8],
        value: &[u8],
        attributes: Attributes,
        condition: Condition,
    ) -> Result<WriteResult, WriteError> {
        self.engine.check_lengths(key, value.len())?;
        let now = self.engine.timeline.now();
        let (now_ms, lifetime) = (now.ms, self.engine.lifetime(attributes.ttl, now));
        let hash = self.engine.hash(key);
        if lifetime.deadline.has_passed(now_ms) {
            match condition {
                // A stale value gets the remaining TTL of the value that it replaces.
                Condition::VersionOrStale(oldest) => {
                    match self.write_for_no_time(hash, key, Condition::Version(oldest), attributes.version, now_ms) {
                        WriteResult::Conflict => {}
                        result => return Ok(result),
                    }
                }
                _ => return Ok(self.write_for_no_time(hash, key, condition, attributes.version, now_ms)),
            }
        }
        let current = self.engine.peek(hash, key, value.len(), condition);
        if let Some(current) = &current
            && let Some(refused) = condition.refuses(live_version(&current.record(), now_ms))
        {
            return Ok(refused.into());
        }
        let prefix = Prefix::new(attributes.client_flags, attributes.version);
        let draft = Draft { prefix, marks: Marks::default(), key, value: &[value] };
        let payload = draft.payload();
        if let Some(current) = current.filter(|current| condition.allows_identical() && draft.is(current, &payload))
            && self.engine.touch_again(hash, key, &current, lifetime.deadline, now_ms)
        {
            self.engine.counters.identical_sets.add(1);
            return Ok(WriteResult::Stored(current.version()));
        }
        let reservation = self.prepare_record(lifetime.class, &payload, now_ms)?;
        let word = Word { flags: draft.flags(), ..Word::live(key.len(), lifetime.deadline) };
        let version = attributes.version;
        Ok(self.publish(hash, key, reservation, version, now_ms, |current| {
            match condition.refuses(current.and_then(|found| live_version(found, now_ms))) {
                Some(refused) => Decision::GiveUp(refused),
                None => Decision::Commit(current.map_or(word, |found| word_in_place_of(word, found, condition))),
            }
        }))
    }

    /// Stores an empty value, with the mark that a reader was chosen to compute a new one, and returns it; `None` if
    /// there is a value. The returned record is the committed one, even if it has been removed meanwhile: this caller
    /// created it.
    pub(crate) fn create_empty(
        &self,
        key: &[u8],
        ttl: Ttl,
        version: Option<Version>,
    ) -> Result<Option<Pinned>, WriteError> {
        self.engine.check_lengths(key, 0)?;
        let now = self.engine.timeline.now();
        let (now_ms, lifetime) = (now.ms, self.engine.lifetime(ttl, now));
        let marks = Marks { is_stale: false, has_refresher: true };
        let draft = Draft { prefix: Prefix::new(0, version), marks, key, value: &[] };
        let reservation = self.prepare_record(lifetime.class, &draft.payload(), now_ms)?;
        let (segment, slot) = (reservation.segment().clone(), reservation.slot());
        let word = Word { flags: draft.flags(), ..Word::live(key.len(), lifetime.deadline) };
        let result = self.publish(self.engine.hash(key), key, reservation, version, now_ms, |current| {
            let version = current.and_then(|found| live_version(found, now_ms));
            Condition::Absent.refuses(version).map_or(Decision::Commit(word), Decision::GiveUp)
        });
        let record = result.is_stored().then(|| segment.committed(slot)).flatten();
        Ok(record.map(|record| record.pin()))
    }

    /// A write with a TTL of zero: deletes the old value, and stores none.
    fn write_for_no_time(
        &self,
        hash: u64,
        key: &[u8],
        condition: Condition,
        version: Option<Version>,
        now_ms: u64,
    ) -> WriteResult {
        let version = version.unwrap_or_else(|| version_of(self.engine.log.next_sequence()));
        match self.engine.remove(hash, key, condition, now_ms) {
            DeleteResult::Deleted(_) => WriteResult::Stored(version),
            DeleteResult::NotFound if condition.refuses(None).is_none() => WriteResult::Stored(version),
            DeleteResult::NotFound => WriteResult::NotFound,
            DeleteResult::Conflict => WriteResult::Conflict,
        }
    }

    /// Writes the record's bytes into a segment, where readers do not find them yet.
    pub(crate) fn prepare_record(
        &self,
        class: TtlClass,
        payload: &Payload<'_>,
        now_ms: u64,
    ) -> Result<Reservation, WriteError> {
        let log = &self.engine.log;
        if payload.len() > log.max_shared_payload() {
            let file_len = format::big_file_len(payload.len()) as u64;
            return log.create_big(class, payload, now_ms).map_err(|error| WriteError::of(error, Some(file_len)));
        }
        let mut reservation = log.reserve(class, payload, now_ms).map_err(|error| WriteError::of(error, None))?;
        reservation.fill(payload);
        Ok(reservation)
    }

    /// Calls `decide` with the current record, and commits the new one instead of it or drops it. `version` is the one
    /// in the record, if the caller chose one.
    pub(crate) fn publish(
        &self,
        hash: u64,
        key: &[u8],
        reservation: Reservation,
        version: Option<Version>,
        now_ms: u64,
        decide: impl FnOnce(Option<&RecordRef<'_>>) -> Decision,
    ) -> WriteResult {
        let segment = reservation.segment().clone();
        let (slot, record_offset) = (reservation.slot(), reservation.record_offset());
        let mut shard = self.engine.index.write(hash);
        let found = shard.find(hash, key);
        let word = match decide(found.as_ref()) {
            Decision::Commit(word) => Word { state: RecordState::Live, ..word },
            Decision::GiveUp(refusal) => return refusal.into(),
        };
        let old = found.map(|found| found.pin());
        let sequence = self.engine.log.next_sequence();
        reservation.commit(hash, sequence, word);
        if let Some(accesses) = &segment.accesses {
            accesses.note(slot, Access { at_secs: accesses::seconds(now_ms), was_read: false });
        }
        let replaced = old.as_ref().map(|old| Location::of(&old.record()));
        shard.insert(hash, &segment, slot, record_offset, replaced);
        match old {
            Some(old) => {
                segment.inherit_reads(slot, old.segment().take_reads(old.slot()));
                self.syncs.superseded.supersede(&self.syncs.group_commit, &segment, slot, &old);
            }
            None if self.engine.log.queues.as_ref().is_some_and(|queues| queues.welcome(hash)) => {
                segment.note_read(slot)
            }
            None => {}
        }
        WriteResult::Stored(version.unwrap_or_else(|| version_of(sequence)))
    }
}

impl Engine {
    /// The record of `key`, if the write needs it: its value may equal the new one, or the condition may not hold.
    fn peek(&self, hash: u64, key: &[u8], value_len: usize, condition: Condition) -> Option<Pinned> {
        let shard = self.index.read(hash);
        let found = shard.find(hash, key)?;
        let worth_it = condition != Condition::Always || found.value_len() == value_len;
        worth_it.then(|| found.pin())
    }
}

/// The version of a record if the caller has chosen none. Sequences start at one.
fn version_of(sequence: u64) -> Version {
    Version::from(NonZeroU64::new(sequence).unwrap_or(NonZeroU64::MIN))
}

/// The word to commit instead of `found`. It makes the new value stale if the version of `found` is newer than the
/// expected one.
fn word_in_place_of(word: Word, found: &RecordRef<'_>, condition: Condition) -> Word {
    let before = found.word();
    match condition {
        Condition::VersionOrStale(oldest) if found.version() > oldest => {
            let flags = word.flags | FLAG_STALE | before.flags & FLAG_REFRESHER;
            Word { flags, deadline: before.deadline, ..word }
        }
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use crate::store::primitives::thread;
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::operations::rewrite::decimal;
    use crate::store::{Options, Store, Update, Value};

    const TTL: Ttl = Ttl::After(Duration::from_secs(10));

    fn open() -> (tempfile::TempDir, Store, ManualClock) {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual();
        let store = Options::manual().segment_len(65_536).clock(clock).open(dir.path()).unwrap();
        (dir, store, hand)
    }

    fn number(version: u64) -> Version {
        Version::new(version).unwrap()
    }

    fn version(store: &Store, key: &[u8]) -> Version {
        store.get(key).unwrap().version()
    }

    #[test]
    fn add_and_replace_depend_on_the_current_value() {
        let (_dir, store, hand) = open();
        assert!(!store.replace(b"k", b"one", TTL).unwrap());
        assert!(store.add(b"k", b"one", TTL).unwrap());
        assert!(!store.add(b"k", b"two", TTL).unwrap());
        assert_eq!(store.get(b"k").unwrap(), b"one");
        assert!(store.replace(b"k", b"two", TTL).unwrap());
        hand.advance(Duration::from_secs(10));
        assert!(!store.replace(b"k", b"three", TTL).unwrap(), "it has expired");
        assert!(store.add(b"k", b"three", TTL).unwrap());
    }

    #[test]
    fn each_write_has_its_own_version() {
        let (_dir, store, _) = open();
        assert_eq!(store.compare_and_set(b"k", b"x", TTL, number(1)).unwrap(), WriteResult::NotFound);
        store.set(b"k", b"one").unwrap();
        let first = version(&store, b"k");
        store.touch(b"k", TTL).unwrap();
        assert_eq!(version(&store, b"k"), first, "a touch is not a write");
        let WriteResult::Stored(second) = store.compare_and_set(b"k", b"one", TTL, first).unwrap() else {
            panic!("there was no other write");
        };
        assert!(second > first, "a comparing write gets a new version even for the same value");
        assert_eq!(version(&store, b"k"), second);
        assert_eq!(store.compare_and_set(b"k", b"two", TTL, first).unwrap(), WriteResult::Conflict);
        assert_eq!(store.delete_if(b"k", Condition::Version(first)).unwrap(), DeleteResult::Conflict);
        assert!(store.delete_if(b"k", Condition::Version(second)).unwrap().is_deleted());
        assert_eq!(store.delete_if(b"k", Condition::Version(second)).unwrap(), DeleteResult::NotFound);
    }

    #[test]
    fn a_version_may_be_chosen() {
        let (dir, store, hand) = open();
        let attributes = |version| Attributes::new(Ttl::Never).client_flags(7).version(number(version));
        let written = |version| Ok::<_, ()>(WriteResult::Stored(number(version)));
        let write =
            |value: &[u8], version, condition| store.write(b"k", value, attributes(version), condition).map_err(|_| ());
        let if_version = |version| Condition::Version(number(version));
        assert_eq!(write(b"one", 1 << 40, Condition::Absent), written(1 << 40));
        assert_eq!(write(b"two", 3, if_version(1 << 40)), written(3), "the caller is responsible for the order");
        assert_eq!(write(b"three", 4, if_version(2)), Ok(WriteResult::Conflict));
        let value = store.get(b"k").unwrap();
        assert_eq!((&*value, value.version(), value.client_flags()), (&b"two"[..], number(3), 7));
        drop((value, store));
        let store = Options::manual().segment_len(65_536).clock(hand.clock()).open(dir.path()).unwrap();
        assert_eq!(store.get(b"k").unwrap().version(), number(3));
        assert!(store.append(b"k", b"!").unwrap().is_stored());
        assert!(version(&store, b"k") > number(3), "the store continues with its own");
    }

    #[test]
    fn an_update_notices_a_write_of_the_same_version() {
        let (_dir, store, _) = open();
        let attributes = Attributes::new(TTL).version(number(5));
        assert!(store.write(b"k", b"a", attributes, Condition::Always).unwrap().is_stored());
        let mut calls = 0;
        let change = |value: &Value| -> Result<Update, StoreError> {
            calls += 1;
            if calls == 1 {
                assert!(store.write(b"k", b"b", attributes, Condition::Always)?.is_stored());
            }
            Ok([value, &b"!"[..]].concat().into())
        };
        assert!(store.update(b"k", change).unwrap().is_stored());
        assert_eq!((calls, store.get(b"k").unwrap().to_vec()), (2, b"b!".to_vec()));
    }

    #[test]
    fn client_flags_stay_with_the_value() {
        let (_dir, store, _) = open();
        let attributes = Attributes::new(TTL).client_flags(u32::MAX);
        assert!(store.write(b"k", b"value", attributes, Condition::Always).unwrap().is_stored());
        let flags = |value: Option<Value>| value.unwrap().client_flags();
        assert_eq!(flags(store.get(b"k")), u32::MAX);
        assert!(store.append(b"k", b"!").unwrap().is_stored());
        assert_eq!(flags(store.get(b"k")), u32::MAX);
        assert_eq!(store.get(b"k").unwrap(), b"value!");
        store.set(b"k", b"value!").unwrap();
        assert_eq!(flags(store.get(b"k")), 0, "the same bytes under other flags are another value");
        let big = vec![3; 40_000];
        assert!(store.write(b"big", &big, attributes, Condition::Always).unwrap().is_stored());
        assert_eq!((flags(store.get(b"big")), store.get(b"big").unwrap()), (u32::MAX, store.get(b"big").unwrap()));
        assert_eq!(store.get(b"big").unwrap(), big);
    }

    #[test]
    fn append_and_prepend_keep_the_deadline() {
        let (_dir, store, hand) = open();
        assert_eq!(store.append(b"k", b"x").unwrap(), WriteResult::NotFound);
        store.set_with_ttl(b"k", b"b", TTL).unwrap();
        hand.advance(Duration::from_secs(5));
        assert!(store.append(b"k", b"c").unwrap().is_stored());
        assert!(store.prepend(b"k", b"a").unwrap().is_stored());
        assert_eq!(store.get(b"k").unwrap(), b"abc");
        hand.advance(Duration::from_secs(5));
        assert!(store.get(b"k").is_none());
    }

    #[test]
    fn counting_wraps_upwards_and_stops_at_zero_downwards() {
        let (_dir, store, _) = open();
        assert_eq!(store.incr(b"n", 1).unwrap(), None);
        store.set(b"n", b"9").unwrap();
        assert_eq!(store.incr(b"n", 1).unwrap(), Some(10));
        assert_eq!(store.decr(b"n", 20).unwrap(), Some(0));
        store.set(b"n", u64::MAX.to_string().as_bytes()).unwrap();
        assert_eq!(store.incr(b"n", 2).unwrap(), Some(1));
        for not_a_number in [&b""[..], b"-1", b"+1", b" 1", b"1x", b"18446744073709551616"] {
            store.set(b"n", not_a_number).unwrap();
            assert!(matches!(store.incr(b"n", 1), Err(StoreError::NotANumber)));
        }
    }

    #[test]
    fn an_append_beyond_the_limit_leaves_the_value() {
        let dir = tempfile::tempdir().unwrap();
        let store = Options::manual().max_value_len(10).open(dir.path()).unwrap();
        store.set(b"k", b"12345678").unwrap();
        assert!(matches!(store.append(b"k", b"90x"), Err(StoreError::ValueLen { len: 11, max: 10 })));
        assert_eq!(store.get(b"k").unwrap(), b"12345678");
    }

    #[test]
    fn a_write_with_a_ttl_of_zero_deletes_the_old_value() {
        let (_dir, store, _) = open();
        let no_time = Ttl::After(Duration::ZERO);
        assert!(store.add(b"k", b"x", no_time).unwrap());
        assert!(store.get(b"k").is_none());
        store.set(b"k", b"one").unwrap();
        assert!(!store.add(b"k", b"x", no_time).unwrap());
        assert!(store.contains(b"k"));
        assert!(store.replace(b"k", b"x", no_time).unwrap());
        assert!(!store.contains(b"k"));
        assert!(!store.replace(b"k", b"x", no_time).unwrap());
    }

    #[test]
    fn concurrent_counting_loses_nothing() {
        const THREADS: u64 = 4;
        const EACH: u64 = 2_000;
        let (_dir, store, _) = open();
        store.set(b"sum", b"0").unwrap();
        store.set(b"cas", b"0").unwrap();
        store.set(b"log", b"").unwrap();
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for i in 0..EACH {
                        store.incr(b"sum", 1).unwrap();
                        add_one_by_comparing(&store);
                        if i % 50 == 0 {
                            assert!(store.append(b"log", b".").unwrap().is_stored());
                            store.maintain(100).unwrap();
                        }
                    }
                });
            }
        });
        assert_eq!(store.get(b"sum").unwrap(), (THREADS * EACH).to_string());
        assert_eq!(store.get(b"cas").unwrap(), (THREADS * EACH).to_string());
        assert_eq!(store.get(b"log").unwrap().len() as u64, THREADS * EACH / 50);
    }

    fn add_one_by_comparing(store: &Store) {
        loop {
            let current = store.get(b"cas").unwrap();
            let next = decimal(&current).unwrap() + 1;
            let result = store.compare_and_set(b"cas", next.to_string().as_bytes(), TTL, current.version()).unwrap();
            if result.is_stored() {
                return;
            }
        }
    }

    #[test]
    fn of_concurrent_adds_one_wins() {
        let (_dir, store, _) = open();
        for round in 0..200u32 {
            let key = round.to_be_bytes();
            let added: usize = thread::scope(|scope| {
                let adds: Vec<_> = (0..3)
                    .map(|i| {
                        scope.spawn({
                            let store = &store;
                            move || store.add(key, [i], TTL).unwrap()
                        })
                    })
                    .collect();
                adds.into_iter().map(|add| usize::from(add.join().unwrap())).sum()
            });
            assert_eq!(added, 1);
        }
        assert_eq!(store.len(), 200);
    }
}

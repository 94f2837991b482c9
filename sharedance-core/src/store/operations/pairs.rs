//! What an operation does to one pair: read, write under a condition, touch, remove.
//!
//! A write is prepared without any lock: its record is in its segment before anybody else is kept waiting. The
//! condition is decided, and the record committed, under the write lock of the key's shard; so operations on a key are
//! linearizable. What depends on the value that was there (appending, counting) is prepared from it, committed only if
//! it is still there, and otherwise prepared anew.

use std::cell::Cell;
use std::num::NonZeroU64;

use crate::store::disk::format::{
    self, CLIENT_FLAGS_LEN, Deadline, FLAG_CLIENT_FLAGS, FLAG_REFRESHER, FLAG_STALE, FLAG_VERSION, RecordState,
    VERSION_LEN, Word,
};
use crate::store::error::StoreError;
use crate::store::index::{Found, Location};
use crate::store::log::segment_log::Log;
use crate::store::primitives::Arc;
use crate::store::segment::accesses::{self, Access};
use crate::store::segment::payload::Payload;
use crate::store::segment::reservation::Reservation;
use crate::store::segment::sealed::{Record, Segment};
use crate::store::timeline::Moment;
use crate::store::upkeep::expiry::TtlClass;
use crate::store::upkeep::maintain;
use crate::store::{Attributes, Condition, Inner, MAX_KEY_LEN, Outcome, Ttl, Update};

/// A moment from which on a record is gone, and the records it will share a segment with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetime {
    pub(crate) deadline: Deadline,
    pub(crate) class: TtlClass,
}

/// A record, pinned: it may be looked at without any lock.
#[derive(Debug, Clone)]
pub(crate) struct Pinned {
    pub(crate) segment: Arc<Segment>,
    pub(crate) slot: u32,
    pub(crate) record: Record,
}

impl Found<'_> {
    pub(crate) fn pin(&self) -> Pinned {
        Pinned { segment: self.segment.clone(), slot: self.slot, record: self.record }
    }
}

impl Pinned {
    pub(crate) fn key(&self) -> &[u8] {
        self.segment.key(&self.record)
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.segment.value(&self.record)
    }

    pub(crate) fn version(&self) -> u64 {
        self.segment.version(&self.record)
    }

    /// The sequence of the write: other than a version that a caller chose, no other write of the key has it.
    fn sequence(&self) -> u64 {
        self.segment.sequence(&self.record)
    }

    pub(crate) fn client_flags(&self) -> u32 {
        self.segment.client_flags(&self.record)
    }

    /// Takes note that it was read, wherever anybody asks for that.
    pub(crate) fn note_read(&self, now_ms: u64) {
        self.segment.note_read(self.slot);
        if let Some(accesses) = &self.segment.accesses {
            accesses.note(self.slot, Access { at_secs: accesses::seconds(now_ms), was_read: true });
        }
    }

    /// Whether `found` is this very record. A pinned slot is not used anew, so the place is enough.
    fn is(&self, found: &Found<'_>) -> bool {
        Arc::ptr_eq(found.segment, &self.segment) && found.slot == self.slot
    }
}

/// What is noted on a record beside its life: see [`Seen`](crate::store::Seen).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks {
    pub(crate) is_stale: bool,
    pub(crate) has_refresher: bool,
}

impl Marks {
    fn flags(self) -> u8 {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        flag(self.is_stale, FLAG_STALE) | flag(self.has_refresher, FLAG_REFRESHER)
    }
}

/// What is written in the place of a value that is there, besides the new value. What is `None` stays as it is, except
/// that the version is a new one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rewrite {
    pub(crate) ttl: Option<Ttl>,
    pub(crate) marks: Marks,
    pub(crate) client_flags: Option<u32>,
    pub(crate) version: Option<NonZeroU64>,
}

/// What stands before the key: client flags where they are not zero, and a version where the caller has chosen one.
#[derive(Debug, Clone, Copy, Default)]
struct Prefix {
    bytes: [u8; CLIENT_FLAGS_LEN + VERSION_LEN],
    len: usize,
    flags: u8,
}

impl Prefix {
    fn new(client_flags: u32, version: Option<NonZeroU64>) -> Prefix {
        let mut prefix = Prefix::default();
        if client_flags != 0 {
            prefix.push(&client_flags.to_le_bytes(), FLAG_CLIENT_FLAGS);
        }
        if let Some(version) = version {
            prefix.push(&version.get().to_le_bytes(), FLAG_VERSION);
        }
        prefix
    }

    fn push(&mut self, bytes: &[u8], flag: u8) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        self.flags |= flag;
    }
}

/// What a record to be written has in it.
struct Draft<'a> {
    prefix: Prefix,
    marks: Marks,
    key: &'a [u8],
    /// In parts.
    value: &'a [&'a [u8]],
}

impl Draft<'_> {
    fn flags(&self) -> u8 {
        self.marks.flags() | self.prefix.flags
    }

    fn value_len(&self) -> usize {
        self.value.iter().map(|part| part.len()).sum()
    }

    /// Whether what is to be written is there already. It may take long to tell: no lock should be held meanwhile.
    fn is(&self, current: &Pinned, payload: &Payload<'_>) -> bool {
        current.record.word.flags == self.flags() && current.segment.has_payload(&current.record, payload)
    }

    fn payload(&self) -> Payload<'_> {
        let prefix = &self.prefix.bytes[..self.prefix.len];
        Payload::of([prefix, self.key].into_iter().chain(self.value.iter().copied()))
    }
}

/// What is to become of a prepared record, decided under the lock.
enum Verdict {
    Commit(Word),
    GiveUp(Outcome),
}

impl Inner {
    /// The live record of `key`, verified, for somebody who reads it.
    pub(crate) fn read(&self, hash: u64, key: &[u8], now_ms: u64) -> Option<Pinned> {
        let pinned = self.find(hash, key, now_ms)?;
        pinned.note_read(now_ms);
        Some(pinned)
    }

    /// The live record of `key`, verified.
    fn find(&self, hash: u64, key: &[u8], now_ms: u64) -> Option<Pinned> {
        let pinned = {
            let shard = self.index.read(hash);
            let found = shard.find(hash, key)?;
            if found.record.word.deadline.has_passed(now_ms) {
                self.counters.expired_reads.add(1);
                return None;
            }
            found.pin()
        };
        self.is_sound(&pinned).then_some(pinned)
    }

    /// Whether the record's bytes are the ones that were written; it is dropped where they are not.
    pub(crate) fn is_sound(&self, pinned: &Pinned) -> bool {
        let is_sound = pinned.segment.verify(pinned.slot, &pinned.record);
        if !is_sound {
            self.drop_damaged(pinned);
        }
        is_sound
    }

    /// Drops a record whose bytes are not the ones that were written; false where it is gone already.
    pub(crate) fn drop_damaged(&self, damaged: &Pinned) -> bool {
        self.index.remove_damaged(&damaged.segment, damaged.slot, &damaged.record)
    }

    /// Stores a value if `condition` holds.
    pub(crate) fn write(
        &self,
        key: &[u8],
        value: &[u8],
        attributes: Attributes,
        condition: Condition,
    ) -> Result<Outcome, StoreError> {
        self.check_lengths(key, value.len())?;
        let now = self.timeline.now();
        let (now_ms, lifetime) = (now.ms, self.lifetime(attributes.ttl, now));
        let hash = self.hash(key);
        if lifetime.deadline.has_passed(now_ms) {
            match condition {
                // What is written as stale lives as long as the value in its place would have.
                Condition::VersionOrStale(oldest) => {
                    match self.write_for_no_time(hash, key, Condition::Version(oldest), attributes.version, now_ms) {
                        Outcome::Exists => {}
                        outcome => return Ok(outcome),
                    }
                }
                _ => return Ok(self.write_for_no_time(hash, key, condition, attributes.version, now_ms)),
            }
        }
        let current = self.peek(hash, key, value.len(), condition);
        if let Some(current) = &current
            && let Some(refused) = condition.refuses(live_version(&current.segment, &current.record, now_ms))
        {
            return Ok(refused);
        }
        let prefix = Prefix::new(attributes.client_flags, attributes.version);
        let draft = Draft { prefix, marks: Marks::default(), key, value: &[value] };
        let payload = draft.payload();
        if let Some(current) = current.filter(|current| condition.allows_identical() && draft.is(current, &payload))
            && self.touch_again(hash, key, &current, lifetime.deadline, now_ms)
        {
            self.counters.identical_sets.add(1);
            return Ok(Outcome::Done { version: current.version() });
        }
        let reservation = self.prepare_record(lifetime.class, &payload, now_ms)?;
        let word = Word { flags: draft.flags(), ..Word::live(key.len(), lifetime.deadline) };
        let version = attributes.version;
        Ok(self.publish(hash, key, reservation, version, now_ms, |current| {
            match condition.refuses(current.and_then(|found| live_version(found.segment, &found.record, now_ms))) {
                Some(refused) => Verdict::GiveUp(refused),
                None => Verdict::Commit(current.map_or(word, |found| word_in_place_of(word, found, condition))),
            }
        }))
    }

    /// Stores an empty value, marked as one that somebody was chosen to replace; answers it, or `None` where there is a
    /// value. It is the record that was committed even if it is gone already: whoever made it was the one.
    pub(crate) fn create_empty(
        &self,
        key: &[u8],
        ttl: Ttl,
        version: Option<NonZeroU64>,
    ) -> Result<Option<Pinned>, StoreError> {
        self.check_lengths(key, 0)?;
        let now = self.timeline.now();
        let (now_ms, lifetime) = (now.ms, self.lifetime(ttl, now));
        let marks = Marks { is_stale: false, has_refresher: true };
        let draft = Draft { prefix: Prefix::new(0, version), marks, key, value: &[] };
        let reservation = self.prepare_record(lifetime.class, &draft.payload(), now_ms)?;
        let (segment, slot) = (reservation.segment().clone(), reservation.slot());
        let word = Word { flags: draft.flags(), ..Word::live(key.len(), lifetime.deadline) };
        let outcome = self.publish(self.hash(key), key, reservation, version, now_ms, |current| {
            let version = current.and_then(|found| live_version(found.segment, &found.record, now_ms));
            Condition::Absent.refuses(version).map_or(Verdict::Commit(word), Verdict::GiveUp)
        });
        let record = outcome.is_done().then(|| segment.committed(slot)).flatten();
        Ok(record.map(|record| Pinned { segment, slot, record }))
    }

    /// Does `attempt` with the record of `key`, and again as long as another write comes in between.
    pub(crate) fn rewrite<E>(&self, key: &[u8], attempt: impl Fn(&Pinned) -> Result<Outcome, E>) -> Result<Outcome, E> {
        let hash = self.hash(key);
        loop {
            let Some(current) = self.find(hash, key, self.timeline.now_ms()) else {
                return Ok(Outcome::Missing);
            };
            match attempt(&current)? {
                Outcome::Exists => {}
                outcome => return Ok(outcome),
            }
        }
    }

    /// Stores a value in place of `current`, if that is still there; [`Outcome::Exists`] where it is not.
    pub(crate) fn write_after(
        &self,
        key: &[u8],
        current: &Pinned,
        parts: &[&[u8]],
        rewrite: Rewrite,
    ) -> Result<Outcome, StoreError> {
        let Rewrite { ttl, marks, client_flags, version } = rewrite;
        let now = self.timeline.now();
        let now_ms = now.ms;
        let hash = current.record.slot.hash;
        let prefix = Prefix::new(client_flags.unwrap_or_else(|| current.client_flags()), version);
        let draft = Draft { prefix, marks, key, value: parts };
        self.check_lengths(key, draft.value_len())?;
        let lifetime = ttl.map(|ttl| self.lifetime(ttl, now));
        let class = lifetime.map_or(TtlClass(current.segment.header.ttl_class), |lifetime| lifetime.class);
        let reservation = self.prepare_record(class, &draft.payload(), now_ms)?;
        let sequence = current.sequence();
        let is_current = |found: &Found<'_>| {
            found.segment.sequence(&found.record) == sequence && !found.record.word.deadline.has_passed(now_ms)
        };
        Ok(self.publish(hash, key, reservation, version, now_ms, |found| match found {
            Some(found) if is_current(found) => {
                let before = found.record.word;
                let deadline = lifetime.map_or(before.deadline, |lifetime| lifetime.deadline);
                Verdict::Commit(Word { flags: draft.flags(), deadline, ..before })
            }
            _ => Verdict::GiveUp(Outcome::Exists),
        }))
    }

    /// Puts what `update` makes of it in the place of `current`, if that is still there.
    pub(crate) fn write_update(&self, key: &[u8], current: &Pinned, update: &Update) -> Result<Outcome, StoreError> {
        let Update { ref value, ttl, client_flags, is_stale, version } = *update;
        let marks = Marks { is_stale, has_refresher: false };
        self.write_after(key, current, &[value], Rewrite { ttl, marks, client_flags, version })
    }

    /// Marks the value of `key` as stale, if `condition` holds. That is a new version of it.
    pub(crate) fn invalidate(&self, key: &[u8], condition: Condition, ttl: Option<Ttl>) -> Result<Outcome, StoreError> {
        let marks = Marks { is_stale: true, has_refresher: false };
        let refused = Cell::new(None);
        let outcome = self.rewrite(key, |current| match condition.refuses(Some(current.version())) {
            // For `rewrite` one that exists is one to try again.
            Some(outcome) => {
                refused.set(Some(outcome));
                Ok(Outcome::Missing)
            }
            None => self.write_after(key, current, &[current.value()], Rewrite { ttl, marks, ..Rewrite::default() }),
        })?;
        Ok(refused.take().unwrap_or(outcome))
    }

    /// Replaces the number that is the value of `key`; answers the new one, or `None` where there is no value.
    pub(crate) fn count(&self, key: &[u8], change: impl Fn(u64) -> u64) -> Result<Option<u64>, StoreError> {
        let counted = Cell::new(0);
        let outcome = self.rewrite(key, |current| {
            counted.set(change(decimal(current.value()).ok_or(StoreError::NotANumber)?));
            self.write_after(key, current, &[counted.get().to_string().as_bytes()], Rewrite::default())
        })?;
        Ok(outcome.is_done().then_some(counted.get()))
    }

    /// Moves the deadline of `key`; answers its record, if there is one.
    pub(crate) fn touch(&self, hash: u64, key: &[u8], ttl: Ttl, now: Moment) -> Option<Pinned> {
        let deadline = self.lifetime(ttl, now).deadline;
        let (pinned, touched) = {
            let shard = self.index.read(hash);
            let found = shard.find(hash, key).filter(|found| !found.record.word.deadline.has_passed(now.ms))?;
            (found.pin(), found.segment.touch(found.slot, &found.record, deadline))
        };
        if touched.is_none() {
            self.drop_damaged(&pinned);
            return None;
        }
        self.is_sound(&pinned).then_some(pinned)
    }

    /// Takes `key` out of the index and marks its record dead, if `condition` holds; tells what was there.
    pub(crate) fn remove(&self, hash: u64, key: &[u8], condition: Condition, now_ms: u64) -> Outcome {
        let mut shard = self.index.write(hash);
        let Some(found) = shard.find(hash, key) else {
            return condition.refuses(None).unwrap_or(Outcome::Missing);
        };
        let version = live_version(found.segment, &found.record, now_ms);
        if let Some(refused) = condition.refuses(version) {
            return refused;
        }
        let location = found.location();
        found.segment.mark_gone(found.slot, &found.record);
        shard.remove(hash, location);
        version.map_or(Outcome::Missing, |version| Outcome::Done { version })
    }

    /// Deletes every pair, shard by shard.
    pub(crate) fn clear(&self) {
        for shard in 0..self.index.shards() {
            // Under the lock until the last is marked: a deletion that finds no pair must not leave one on disk.
            let mut emptied = self.index.write_shard(shard);
            for (segment, slot, offset) in emptied.take_all() {
                match segment.record(slot) {
                    Some(record) => segment.mark_gone(slot, &record),
                    None => {
                        segment.write_off(slot, offset);
                        self.index.damaged.add(1);
                    }
                }
            }
        }
    }

    /// A value that is gone at once: what was there goes, and nothing comes in its place.
    fn write_for_no_time(
        &self,
        hash: u64,
        key: &[u8],
        condition: Condition,
        version: Option<NonZeroU64>,
        now_ms: u64,
    ) -> Outcome {
        let version = version.map_or_else(|| self.log.next_sequence(), NonZeroU64::get);
        match self.remove(hash, key, condition, now_ms) {
            Outcome::Missing if condition.refuses(None).is_none() => Outcome::Done { version },
            Outcome::Done { .. } => Outcome::Done { version },
            refused => refused,
        }
    }

    /// The record of `key`, if there is reason to look at it before a write: its value may be the one to be written, or
    /// the condition may turn out not to hold.
    fn peek(&self, hash: u64, key: &[u8], value_len: usize, condition: Condition) -> Option<Pinned> {
        let shard = self.index.read(hash);
        let found = shard.find(hash, key)?;
        let worth_it = condition != Condition::Always || found.record.slot.value_len as usize == value_len;
        worth_it.then(|| found.pin())
    }

    /// Moves the deadline of the record if it is still there; answers whether it was.
    fn touch_again(&self, hash: u64, key: &[u8], current: &Pinned, deadline: Deadline, now_ms: u64) -> bool {
        let touched = {
            let shard = self.index.read(hash);
            match shard.find(hash, key) {
                Some(found) if current.is(&found) && !found.record.word.deadline.has_passed(now_ms) => {
                    found.segment.touch(found.slot, &found.record, deadline)
                }
                _ => return false,
            }
        };
        if touched.is_none() {
            self.drop_damaged(current);
        }
        touched.is_some()
    }

    /// Puts the record's bytes into a segment, where nobody sees them yet.
    fn prepare_record(&self, class: TtlClass, payload: &Payload<'_>, now_ms: u64) -> Result<Reservation, StoreError> {
        if payload.len() > self.log.max_shared_payload() {
            let file_len = format::big_file_len(payload.len()) as u64;
            return self.with_room(Some(file_len), |log| log.create_big(class, payload, now_ms));
        }
        let reservation = self.with_room(None, |log| log.reserve(class, payload, now_ms))?;
        reservation.fill(payload);
        Ok(reservation)
    }

    /// Does what needs room; where there is none, makes some and tries once more.
    fn with_room<T>(
        &self,
        big_len: Option<u64>,
        take: impl Fn(&Log) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match take(&self.log) {
            Err(StoreError::Full) => {
                maintain::reclaim(self, big_len)?;
                take(&self.log).inspect_err(|_| self.counters.refused_full.add(1))
            }
            taken => taken,
        }
    }

    /// Asks `decide` about what is there, and accordingly commits the record in its place or gives it up. `version` is
    /// the one that stands in the record, if one does.
    fn publish(
        &self,
        hash: u64,
        key: &[u8],
        reservation: Reservation,
        version: Option<NonZeroU64>,
        now_ms: u64,
        decide: impl FnOnce(Option<&Found<'_>>) -> Verdict,
    ) -> Outcome {
        let segment = reservation.segment().clone();
        let (slot, record_offset) = (reservation.slot(), reservation.record_offset());
        let mut shard = self.index.write(hash);
        let found = shard.find(hash, key);
        let word = match decide(found.as_ref()) {
            Verdict::Commit(word) => Word { state: RecordState::Live, ..word },
            Verdict::GiveUp(outcome) => return outcome,
        };
        let old = found.map(|found| (found.segment.clone(), found.slot, found.record));
        let sequence = self.log.next_sequence();
        reservation.commit(hash, sequence, word);
        if let Some(accesses) = &segment.accesses {
            accesses.note(slot, Access { at_secs: accesses::seconds(now_ms), was_read: false });
        }
        let replaced = old.as_ref().map(|(segment, slot, _)| Location { segment: segment.number, slot: *slot });
        shard.insert(hash, &segment, slot, record_offset, replaced);
        match old {
            Some(old) => {
                segment.inherit_reads(slot, old.0.take_reads(old.1));
                self.supersede(&segment, slot, old);
            }
            None if self.eviction.as_ref().is_some_and(|eviction| eviction.welcome(hash)) => segment.note_read(slot),
            None => {}
        }
        Outcome::Done { version: version.map_or(sequence, NonZeroU64::get) }
    }

    fn check_lengths(&self, key: &[u8], value_len: usize) -> Result<(), StoreError> {
        if key.is_empty() || key.len() > MAX_KEY_LEN {
            return Err(StoreError::KeyLen { len: key.len(), max: MAX_KEY_LEN });
        }
        if value_len > self.max_value_len {
            return Err(StoreError::ValueLen { len: value_len, max: self.max_value_len });
        }
        Ok(())
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.log.description().hash(key)
    }

    pub(crate) fn lifetime(&self, ttl: Ttl, now: Moment) -> Lifetime {
        let ttl = match ttl {
            Ttl::Default => self.default_ttl,
            Ttl::After(ttl) => ttl,
            Ttl::Never => return Lifetime { deadline: Deadline::NEVER, class: TtlClass::of_ms(None) },
        };
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        // Counted from the end of the current millisecond: nothing lives for less than was asked.
        let start_ms = if ttl_ms == 0 { now.ms } else { now.rounded_up_ms };
        Lifetime { deadline: Deadline::at_ms(start_ms.saturating_add(ttl_ms)), class: TtlClass::of_ms(Some(ttl_ms)) }
    }
}

/// The version of the record, unless it has expired.
fn live_version(segment: &Segment, record: &Record, now_ms: u64) -> Option<u64> {
    (!record.word.deadline.has_passed(now_ms)).then(|| segment.version(record))
}

/// The word to commit in the place of what is there: a newer one than was asked for makes it stale.
fn word_in_place_of(word: Word, found: &Found<'_>, condition: Condition) -> Word {
    let before = found.record.word;
    match condition {
        Condition::VersionOrStale(oldest) if found.segment.version(&found.record) > oldest => {
            let flags = word.flags | FLAG_STALE | before.flags & FLAG_REFRESHER;
            Word { flags, deadline: before.deadline, ..word }
        }
        _ => word,
    }
}

/// The number below 2⁶⁴ that `digits` are, and nothing but digits.
fn decimal(digits: &[u8]) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| all_digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use crate::store::primitives::thread;
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::{Options, Store, Value};

    const TTL: Ttl = Ttl::After(Duration::from_secs(10));

    fn open() -> (tempfile::TempDir, Store, ManualClock) {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual();
        let store = Options::new().segment_len(65_536).clock(clock).open(dir.path()).unwrap();
        (dir, store, hand)
    }

    fn version(store: &Store, key: &[u8]) -> u64 {
        store.get(key).unwrap().version()
    }

    #[test]
    fn add_and_replace_look_at_what_is_there() {
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
    fn a_version_is_of_one_write() {
        let (_dir, store, _) = open();
        assert_eq!(store.compare_and_set(b"k", b"x", TTL, 1).unwrap(), Outcome::Missing);
        store.set(b"k", b"one").unwrap();
        let first = version(&store, b"k");
        store.touch(b"k", TTL).unwrap();
        assert_eq!(version(&store, b"k"), first, "a touch is no write");
        let Outcome::Done { version: second } = store.compare_and_set(b"k", b"one", TTL, first).unwrap() else {
            panic!("nobody wrote in between");
        };
        assert!(second > first, "whoever compares versions gets a new one, be the value the same");
        assert_eq!(version(&store, b"k"), second);
        assert_eq!(store.compare_and_set(b"k", b"two", TTL, first).unwrap(), Outcome::Exists);
        assert_eq!(store.delete_if(b"k", Condition::Version(first)).unwrap(), Outcome::Exists);
        assert!(store.delete_if(b"k", Condition::Version(second)).unwrap().is_done());
        assert_eq!(store.delete_if(b"k", Condition::Version(second)).unwrap(), Outcome::Missing);
    }

    #[test]
    fn a_version_may_be_chosen() {
        let (dir, store, hand) = open();
        let attributes = |version| Attributes { ttl: Ttl::Never, version: NonZeroU64::new(version), client_flags: 7 };
        let written = |version| Ok::<_, ()>(Outcome::Done { version });
        let write =
            |value: &[u8], version, condition| store.write(b"k", value, attributes(version), condition).map_err(|_| ());
        assert_eq!(write(b"one", 1 << 40, Condition::Absent), written(1 << 40));
        assert_eq!(write(b"two", 3, Condition::Version(1 << 40)), written(3), "the order is the caller's business");
        assert_eq!(write(b"three", 4, Condition::Version(2)), Ok(Outcome::Exists));
        let value = store.get(b"k").unwrap();
        assert_eq!((&*value, value.version(), value.client_flags()), (&b"two"[..], 3, 7));
        drop((value, store));
        let store = Options::new().segment_len(65_536).clock(hand.clock()).open(dir.path()).unwrap();
        assert_eq!(store.get(b"k").unwrap().version(), 3);
        store.append(b"k", b"!").unwrap();
        assert!(version(&store, b"k") > 3, "the store goes on with its own");
    }

    #[test]
    fn an_update_notices_a_write_of_the_same_version() {
        let (_dir, store, _) = open();
        let attributes = Attributes { ttl: TTL, version: NonZeroU64::new(5), ..Attributes::default() };
        store.write(b"k", b"a", attributes, Condition::Always).unwrap();
        let is_first = Cell::new(true);
        let change = |value: &Value| -> Result<Update, StoreError> {
            if is_first.replace(false) {
                store.write(b"k", b"b", attributes, Condition::Always)?;
            }
            Ok([value, &b"!"[..]].concat().into())
        };
        assert!(store.update(b"k", change).unwrap().is_done());
        assert_eq!(store.get(b"k").unwrap(), b"b!");
    }

    #[test]
    fn client_flags_stay_with_the_value() {
        let (_dir, store, _) = open();
        let attributes = Attributes { ttl: TTL, client_flags: u32::MAX, ..Attributes::default() };
        store.write(b"k", b"value", attributes, Condition::Always).unwrap();
        let flags = |value: Option<Value>| value.unwrap().client_flags();
        assert_eq!(flags(store.get(b"k")), u32::MAX);
        store.append(b"k", b"!").unwrap();
        assert_eq!(flags(store.get(b"k")), u32::MAX);
        assert_eq!(store.get(b"k").unwrap(), b"value!");
        store.set(b"k", b"value!").unwrap();
        assert_eq!(flags(store.get(b"k")), 0, "the same bytes under other flags are another value");
        let big = vec![3; 40_000];
        store.write(b"big", &big, attributes, Condition::Always).unwrap();
        assert_eq!((flags(store.get(b"big")), store.get(b"big").unwrap()), (u32::MAX, store.get(b"big").unwrap()));
        assert_eq!(store.get(b"big").unwrap(), big);
    }

    #[test]
    fn append_and_prepend_keep_the_deadline() {
        let (_dir, store, hand) = open();
        assert_eq!(store.append(b"k", b"x").unwrap(), Outcome::Missing);
        store.set_with_ttl(b"k", b"b", TTL).unwrap();
        hand.advance(Duration::from_secs(5));
        assert!(store.append(b"k", b"c").unwrap().is_done());
        assert!(store.prepend(b"k", b"a").unwrap().is_done());
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
        let store = Options::new().max_value_len(10).open(dir.path()).unwrap();
        store.set(b"k", b"12345678").unwrap();
        assert!(matches!(store.append(b"k", b"90x"), Err(StoreError::ValueLen { len: 11, max: 10 })));
        assert_eq!(store.get(b"k").unwrap(), b"12345678");
    }

    #[test]
    fn nothing_lives_for_no_time_and_what_was_there_goes() {
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
                            store.append(b"log", b".").unwrap();
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
            let outcome = store.compare_and_set(b"cas", next.to_string().as_bytes(), TTL, current.version()).unwrap();
            if outcome.is_done() {
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
                            move || store.add(&key, &[i], TTL).unwrap()
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

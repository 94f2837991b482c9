//! An embedded, file-backed, expiring key/value store.
//!
//! Values of 100 bytes to tens of megabytes live in memory-mapped segment files; an index in memory says where. What
//! was acknowledged survives the death of the process at any instant (`kill -9` included), and what has expired is
//! never served. [`on_disk`] describes the files.
//!
//! ```
//! use std::time::Duration;
//! use sharedance_core::store::{Store, Ttl};
//!
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let store = Store::open(dir)?;
//! store.set(b"greeting", b"hello")?;
//! store.set_with_ttl(b"code", b"1234", Ttl::After(Duration::from_secs(300)))?;
//!
//! let value = store.get(b"greeting").expect("it was just stored");
//! assert_eq!(&value[..], b"hello");
//! assert!(store.delete(b"greeting")?);
//! assert!(store.get(b"greeting").is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Store`] is a cheap handle: clone it, share it between threads. Nothing runs in the background by itself: call
//! [`Store::maintain`] now and then, from a thread of low priority for example, so that expired pairs give back their
//! memory and their room; and [`Store::prepare`] in a loop of its own where writers must never wait for a file to be
//! created. Without either the store is right all the same, only larger and less even.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

mod compaction;
mod error;
mod expiry;
mod files;
mod format;
mod index;
mod log;
mod mapping;
mod meta;
mod options;
mod recovery;
mod segment;
mod stats;
mod timeline;
mod upkeep;
mod value;

#[doc = include_str!("../../FORMAT.md")]
pub mod on_disk {}

pub use error::{OpenError, StoreError};
pub use meta::BootId;
pub use options::Options;
pub use recovery::RecoveryReport;
pub use stats::Stats;
pub use upkeep::Progress;
pub use value::Value;

use expiry::TtlClass;
use format::{Deadline, Word};
use index::{Found, Index};
use log::Log;
use meta::Meta;
use segment::{Record, Reservation, Segment};
use stats::Counters;
use timeline::Timeline;
use upkeep::Upkeep;

/// The longest key, in bytes.
pub const MAX_KEY_LEN: usize = format::MAX_KEY_LEN;

/// How long a pair lives, from the moment it is set or touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// As long as the store was told: [`Options::default_ttl`].
    Default,
    /// This long, in whole milliseconds. Nothing that has lived for no time is ever seen, and 34 years are for ever.
    After(Duration),
    /// For ever.
    Never,
}

/// A handle to an open store. Clones share it; it is closed when the last of them is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    default_ttl: Duration,
    max_value_len: usize,
    hash_key: [u8; 16],
    timeline: Timeline,
    index: Index,
    log: Log,
    counters: Counters,
    recovery: RecoveryReport,
    meta: Mutex<Meta>,
    upkeep: Mutex<Upkeep>,
}

/// A moment from which on a record is gone, and the records it will share a segment with.
#[derive(Debug, Clone, Copy)]
struct Lifetime {
    deadline: Deadline,
    class: TtlClass,
}

impl Store {
    /// Opens the store in `dir` with the default [`Options`], creating both where they are missing.
    ///
    /// # Errors
    /// [`OpenError`], of which [`OpenError::InUse`] means that another store has the directory open.
    pub fn open(dir: impl AsRef<Path>) -> Result<Store, OpenError> {
        Options::new().open(dir)
    }

    fn with_options(options: Options, dir: &Path) -> Result<Store, OpenError> {
        let inner = recovery::open(options, dir)?;
        Ok(Store { inner: Arc::new(inner) })
    }

    /// The value of `key`, unless there is none or it has expired. It is not copied: see [`Value`].
    pub fn get(&self, key: &[u8]) -> Option<Value> {
        let hash = self.inner.hash(key);
        let now_ms = self.inner.timeline.now_ms();
        let (segment, slot, record) = {
            let shard = self.inner.index.read(hash);
            let found = shard.find(hash, key)?;
            if found.record.word.deadline.has_passed(now_ms) {
                return None;
            }
            (found.segment.clone(), found.slot, found.record)
        };
        if !segment.verify(slot, &record) {
            self.inner.drop_damaged(hash, &segment, slot);
            return None;
        }
        Some(Value::new(segment, record))
    }

    /// Whether `key` has a value that has not expired.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Stores `value` under `key` for the default TTL, in place of what was there.
    ///
    /// When this returns, the value is safe from the death of the process; of the machine, once the system has written
    /// it back, or after [`Store::sync`]. Setting the value that is there only moves its deadline.
    ///
    /// # Errors
    /// [`StoreError::KeyLen`] and [`StoreError::ValueLen`] for what can never be stored, [`StoreError::Full`] where
    /// there is no room now. The old value stays in all these cases.
    pub fn set(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.set_with_ttl(key, value, Ttl::Default)
    }

    /// Stores `value` under `key` for `ttl`: otherwise as [`Store::set`].
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn set_with_ttl(&self, key: &[u8], value: &[u8], ttl: Ttl) -> Result<(), StoreError> {
        let inner = &*self.inner;
        inner.check_lengths(key, value)?;
        let now_ms = inner.timeline.now_ms();
        let lifetime = inner.lifetime(ttl, now_ms);
        let hash = inner.hash(key);
        if lifetime.deadline.has_passed(now_ms) {
            inner.remove(hash, key);
            return Ok(());
        }
        if inner.touch_identical(hash, key, value, lifetime.deadline, now_ms) {
            inner.counters.identical_sets.add(1);
            return Ok(());
        }
        let reservation = inner.write_record(lifetime.class, key, value, now_ms)?;
        inner.publish(hash, key, lifetime.deadline, reservation);
        Ok(())
    }

    /// Deletes `key`; answers whether it had a value that had not expired. When this returns, the pair does not come
    /// back, whatever happens to the process.
    ///
    /// # Errors
    /// None at present: deleting needs no room.
    pub fn delete(&self, key: &[u8]) -> Result<bool, StoreError> {
        let now_ms = self.inner.timeline.now_ms();
        let removed = self.inner.remove(self.inner.hash(key), key);
        Ok(removed.is_some_and(|record| !record.word.deadline.has_passed(now_ms)))
    }

    /// Lets `key` live for `ttl` from now on; answers whether it has a value that has not expired. Costs no room.
    ///
    /// # Errors
    /// None at present: touching needs no room.
    pub fn touch(&self, key: &[u8], ttl: Ttl) -> Result<bool, StoreError> {
        let inner = &*self.inner;
        let now_ms = inner.timeline.now_ms();
        let hash = inner.hash(key);
        let deadline = inner.lifetime(ttl, now_ms).deadline;
        let shard = inner.index.read(hash);
        Ok(match shard.find(hash, key) {
            Some(found) if !found.record.word.deadline.has_passed(now_ms) => {
                found.segment.touch(found.slot, &found.record, deadline);
                true
            }
            _ => false,
        })
    }

    /// How many pairs there are, those included that have expired since [`Store::maintain`] last looked.
    pub fn len(&self) -> usize {
        self.inner.index.len()
    }

    /// Whether [`Store::len`] is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Deletes every pair that was stored before the call. Pairs that other threads store meanwhile may stay.
    ///
    /// # Errors
    /// None at present: deleting needs no room.
    pub fn clear(&self) -> Result<(), StoreError> {
        for shard in 0..self.inner.index.shards() {
            // Under the lock until the last is marked: a deletion that finds no pair must not leave one on disk.
            let mut emptied = self.inner.index.write_shard(shard);
            for (segment, slot) in emptied.take_all() {
                if let Some(record) = segment.record(slot) {
                    segment.mark_dead(slot, &record);
                }
            }
        }
        Ok(())
    }

    /// Does a piece of the work that keeps the store small: removes expired pairs, recycles segments with nothing live
    /// in them, saves the store's clock. `budget` bounds the records looked at; no lock that a request needs is held
    /// for longer than one of them takes. Ten calls a second are plenty, and the next one is due at once while
    /// [`Progress::pending`].
    ///
    /// # Errors
    /// [`StoreError::Io`] where a file can be neither written nor deleted. The next call tries again.
    pub fn maintain(&self, budget: usize) -> Result<Progress, StoreError> {
        upkeep::maintain(&self.inner, budget)
    }

    /// Keeps empty segments ready, so that writers do not wait for files to be created: waits up to `wait` for one to
    /// be taken, and makes another. To be called in a loop by a thread of ordinary priority.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Io`] where none can be made, after waiting for `wait`.
    pub fn prepare(&self, wait: Duration) -> Result<(), StoreError> {
        self.inner.log.prepare(wait)
    }

    /// Waits until everything stored, and everything deleted, is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the disk did not take it.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.inner.log.sync().map_err(StoreError::io("sync the segments"))?;
        self.inner.save_clock()?;
        self.inner.lock_meta().sync().map_err(StoreError::io("sync the store's description"))
    }

    /// What the store holds and has done.
    pub fn stats(&self) -> Stats {
        let inner = &*self.inner;
        let segments = inner.log.segments();
        Stats {
            pairs: inner.index.len() as u64,
            live_bytes: segments.iter().map(|segment| segment.live_bytes()).sum(),
            file_bytes: inner.log.file_bytes(),
            segments: segments.len() as u64,
            index_bytes: inner.index.memory() as u64,
            expired: inner.counters.expired.count(),
            identical_sets: inner.counters.identical_sets.count(),
            damaged: inner.counters.damaged.count(),
            compacted_bytes: inner.counters.compacted_bytes.count(),
            refused_full: inner.counters.refused_full.count(),
        }
    }

    /// What was found when the store was opened.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.inner.recovery
    }
}

impl Inner {
    fn check_lengths(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if key.is_empty() || key.len() > MAX_KEY_LEN {
            return Err(StoreError::KeyLen { len: key.len(), max: MAX_KEY_LEN });
        }
        if value.len() > self.max_value_len {
            return Err(StoreError::ValueLen { len: value.len(), max: self.max_value_len });
        }
        Ok(())
    }

    fn hash(&self, key: &[u8]) -> u64 {
        siphasher::sip::SipHasher13::new_with_key(&self.hash_key).hash(key)
    }

    fn lifetime(&self, ttl: Ttl, now_ms: u64) -> Lifetime {
        let ttl = match ttl {
            Ttl::Default => self.default_ttl,
            Ttl::After(ttl) => ttl,
            Ttl::Never => return Lifetime { deadline: Deadline::NEVER, class: TtlClass::of_ms(None) },
        };
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Lifetime { deadline: Deadline::at_ms(now_ms.saturating_add(ttl_ms)), class: TtlClass::of_ms(Some(ttl_ms)) }
    }

    /// Moves the deadline of `key` if `value` is what is stored there; answers whether it was.
    fn touch_identical(&self, hash: u64, key: &[u8], value: &[u8], deadline: Deadline, now_ms: u64) -> bool {
        let same_place = |found: &Found<'_>, segment: &Arc<Segment>, slot: u32| {
            Arc::ptr_eq(found.segment, segment) && found.slot == slot
        };
        let (segment, slot, record) = {
            let shard = self.index.read(hash);
            match shard.find(hash, key) {
                Some(found) if found.record.slot.value_len as usize == value.len() => {
                    (found.segment.clone(), found.slot, found.record)
                }
                _ => return false,
            }
        };
        // The comparison may take long: no lock is held over it. A pinned slot is not used anew, so a location that is
        // still the key's afterwards holds what was compared.
        if segment.value(&record) != value || !segment.verify(slot, &record) {
            return false;
        }
        let shard = self.index.read(hash);
        match shard.find(hash, key) {
            Some(found) if same_place(&found, &segment, slot) && !found.record.word.deadline.has_passed(now_ms) => {
                segment.touch(slot, &found.record, deadline);
                true
            }
            _ => false,
        }
    }

    /// Puts the record's bytes into a segment, where nobody sees them yet.
    fn write_record(&self, class: TtlClass, key: &[u8], value: &[u8], now_ms: u64) -> Result<Reservation, StoreError> {
        let payload_len = key.len() + value.len();
        if payload_len > self.log.max_shared_payload() {
            let payload_crc = crc32c::crc32c_append(crc32c::crc32c(key), value);
            return self.with_room(|log| log.create_big(class, key, value, payload_crc, now_ms));
        }
        let mut reservation = self.with_room(|log| log.reserve(class, payload_len, now_ms))?;
        reservation.fill(&[key, value]);
        Ok(reservation)
    }

    /// Does what needs room; where there is none, makes some and tries once more.
    fn with_room<T>(&self, take: impl Fn(&Log) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match take(&self.log) {
            Err(StoreError::Full) => {
                upkeep::reclaim(self)?;
                take(&self.log).inspect_err(|_| self.counters.refused_full.add(1))
            }
            taken => taken,
        }
    }

    /// Commits a written record and makes it the key's, in place of what was.
    fn publish(&self, hash: u64, key: &[u8], deadline: Deadline, reservation: Reservation) {
        let segment = reservation.segment().clone();
        let slot = reservation.slot();
        let mut shard = self.index.write(hash);
        let old =
            shard.find(hash, key).map(|found| (found.segment.clone(), found.slot, found.record, found.location()));
        reservation.commit(hash, self.log.next_sequence(), Word::live(key.len(), deadline));
        shard.insert(hash, &segment, slot, old.as_ref().map(|(.., location)| *location));
        if let Some((old_segment, old_slot, old_record, _)) = old {
            old_segment.mark_dead(old_slot, &old_record);
        }
    }

    /// Takes `key` out of the index and marks its record dead; answers the record, expired or not.
    fn remove(&self, hash: u64, key: &[u8]) -> Option<Record> {
        let mut shard = self.index.write(hash);
        let found = shard.find(hash, key)?;
        let (location, record) = (found.location(), found.record);
        found.segment.mark_dead(found.slot, &record);
        shard.remove(hash, location);
        Some(record)
    }

    /// Drops a record whose bytes are not the ones that were written.
    fn drop_damaged(&self, hash: u64, segment: &Arc<Segment>, slot: u32) {
        let mut shard = self.index.write(hash);
        // Live is asked first: the number of a segment that was retired meanwhile may be another's.
        if let Some(record) = segment.record(slot)
            && shard.remove(hash, index::Location { segment: segment.number, slot })
        {
            segment.mark_dead(slot, &record);
            self.counters.damaged.add(1);
        }
    }

    fn lock_meta(&self) -> std::sync::MutexGuard<'_, Meta> {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save_clock(&self) -> Result<(), StoreError> {
        let sequence = self.log.peek_sequence();
        self.lock_meta().save(self.timeline.times(), sequence).map_err(StoreError::io("save the store's clock"))
    }
}

/// The time is written down; nothing else is left to do: what was acknowledged is in the files already.
impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.save_clock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn open(options: Options) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = options.segment_len(65_536).clock(Clock::manual().0).open(dir.path()).unwrap();
        (dir, store)
    }

    #[test]
    fn what_can_never_be_stored_is_refused_and_the_old_value_stays() {
        let (_dir, store) = open(Options::new().max_value_len(30_000));
        let longest = [b'k'; MAX_KEY_LEN];
        store.set(&longest, &[1; 30_000]).unwrap();
        let too_large = store.set(&longest, &[2; 30_001]).unwrap_err();
        assert!(matches!(too_large, StoreError::ValueLen { len: 30_001, max: 30_000 }));
        assert_eq!(store.get(&longest).unwrap(), [1; 30_000]);
        for len in [0, MAX_KEY_LEN + 1] {
            let key = vec![b'k'; len];
            assert!(matches!(store.set(&key, b""), Err(StoreError::KeyLen { max: MAX_KEY_LEN, .. })));
            assert!(store.get(&key).is_none() && !store.delete(&key).unwrap());
        }
    }

    #[test]
    fn no_time_to_live_is_a_deletion() {
        let (_dir, store) = open(Options::new());
        store.set(b"key", b"value").unwrap();
        store.set_with_ttl(b"key", b"other", Ttl::After(Duration::from_micros(999))).unwrap();
        assert!(store.get(b"key").is_none());
        assert_eq!(store.stats().live_bytes, 0);
    }

    #[test]
    fn options_that_cannot_be_are_refused_before_anything_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        for options in [
            Options::new().segment_len(65_535),
            Options::new().segment_len(32_768),
            Options::new().segment_len(1 << 29),
            Options::new().default_ttl(Duration::ZERO),
            Options::new().max_value_len((1 << 31) + 1),
        ] {
            assert!(matches!(options.open(&path), Err(OpenError::Options { .. })));
        }
        assert!(!path.exists());
    }

    #[test]
    fn a_store_can_be_handed_from_thread_to_thread() {
        fn is_shared<T: Send + Sync + Clone + 'static>() {}
        is_shared::<Store>();
        is_shared::<Value>();
    }
}

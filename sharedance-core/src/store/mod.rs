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
//! A [`Store`] is a cheap handle: clone it, share it between threads. Nothing runs in the background by itself: start the
//! threads that keep the store tidy with [`Store::start_maintenance`], or call [`Store::maintain`] now and then (so that
//! expired pairs give back their memory and their room), and [`Store::prepare`] in a loop of its own (so that writers
//! never wait for a file to be created). Without either the store is right all the same, only larger and less even.

use std::path::Path;
use std::time::Duration;

mod accesses;
mod carried;
mod compaction;
mod durability;
mod error;
mod eviction;
mod expiry;
mod files;
mod format;
mod index;
mod log;
mod looking;
mod maintenance;
mod mapping;
mod meta;
mod options;
mod overwriting;
mod pairs;
mod quarantine;
mod reads;
mod recovery;
mod segment;
mod space;
mod stats;
mod sync;
mod timeline;
mod unsynced;
mod upkeep;
mod value;
mod walk;
mod writing;

#[doc = include_str!("../../FORMAT.md")]
pub mod on_disk {}

pub use durability::{Durability, UncleanBoot};
pub use error::{OpenError, StoreError};
pub use looking::{Look, Refresh, Seen};
pub use maintenance::Maintenance;
pub use meta::BootId;
pub use options::{Options, WhenFull};
pub use recovery::RecoveryReport;
pub use stats::Stats;
pub use upkeep::Progress;
pub use value::Value;
pub use walk::{Pair, Pairs, Verification};
pub use writing::{Attributes, Condition, Outcome, Ttl, Update};

use durability::GroupCommit;
use index::Index;
use log::Log;
use meta::Meta;
use overwriting::Overwrites;
use pairs::Marks;
use stats::Counters;
use sync::atomic::{AtomicU64, Ordering};
use sync::{Arc, Mutex, MutexGuard, PoisonError};
use timeline::Timeline;
use upkeep::Upkeep;

/// The longest key, in bytes.
pub const MAX_KEY_LEN: usize = format::MAX_KEY_LEN;

/// A handle to an open store. Clones share it; it is closed when the last of them is dropped, and synced before where
/// [`Durability`] promises more than to survive the process.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    default_ttl: Duration,
    durability: Durability,
    when_full: WhenFull,
    group_commit: GroupCommit,
    overwrites: Overwrites,
    /// When the last sync that ended well began, in store milliseconds.
    synced_at_ms: AtomicU64,
    max_value_len: usize,
    timeline: Timeline,
    index: Index,
    log: Log,
    counters: Counters,
    recovery: RecoveryReport,
    meta: Mutex<Meta>,
    upkeep: Mutex<Upkeep>,
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
        self.inner.read(hash, key, self.inner.timeline.now_ms()).map(Value::new)
    }

    /// The values of several keys, in their order. They are looked up one after the other: together they are no
    /// snapshot.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Vec<Option<Value>> {
        keys.into_iter().map(|key| self.get(key.as_ref())).collect()
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
        self.write(key, value, ttl.into(), Condition::Always).map(drop)
    }

    /// Stores `value` under `key` with these attributes, if `condition` holds. All writes of a key happen in one order,
    /// which its versions follow.
    ///
    /// ```
    /// # use sharedance_core::store::{Attributes, Condition, Outcome, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let attributes = Attributes { client_flags: 7, ..Attributes::default() };
    /// let Outcome::Done { version } = store.write(b"k", b"one", attributes, Condition::Absent)? else {
    ///     panic!("it was not there");
    /// };
    /// store.set(b"k", b"another")?;
    /// assert_eq!(store.write(b"k", b"two", attributes, Condition::Version(version))?, Outcome::Exists);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn write(
        &self,
        key: &[u8],
        value: &[u8],
        attributes: Attributes,
        condition: Condition,
    ) -> Result<Outcome, StoreError> {
        self.inner.change(|inner| inner.write(key, value, attributes, condition))
    }

    /// Stores `value` if `key` has none; answers whether it was stored.
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn add(&self, key: &[u8], value: &[u8], ttl: Ttl) -> Result<bool, StoreError> {
        self.write(key, value, ttl.into(), Condition::Absent).map(Outcome::is_done)
    }

    /// Stores `value` if `key` has one already; answers whether it was stored.
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn replace(&self, key: &[u8], value: &[u8], ttl: Ttl) -> Result<bool, StoreError> {
        self.write(key, value, ttl.into(), Condition::Present).map(Outcome::is_done)
    }

    /// Stores `value` if `key` still has the value of this [version](Value::version).
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn compare_and_set(&self, key: &[u8], value: &[u8], ttl: Ttl, version: u64) -> Result<Outcome, StoreError> {
        self.write(key, value, ttl.into(), Condition::Version(version))
    }

    /// Puts `tail` behind the value of `key`, whose deadline and client flags stay. [`Outcome::Missing`] where there is
    /// no value.
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn append(&self, key: &[u8], tail: &[u8]) -> Result<Outcome, StoreError> {
        self.inner.change(|inner| {
            inner.rewrite(key, |current| {
                inner.write_after(key, current, &[current.value(), tail], None, Marks::default())
            })
        })
    }

    /// Puts `head` in front of the value of `key`: otherwise as [`Store::append`].
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn prepend(&self, key: &[u8], head: &[u8]) -> Result<Outcome, StoreError> {
        self.inner.change(|inner| {
            inner.rewrite(key, |current| {
                inner.write_after(key, current, &[head, current.value()], None, Marks::default())
            })
        })
    }

    /// Replaces the value of `key` by what `change` makes of it, as one step: no other write comes in between. The client
    /// flags stay, and the deadline unless the [`Update`] has another. `change` may be called more than once; the last call counts, and an error of its ends the
    /// update. [`Outcome::Missing`] where there is no value.
    ///
    /// ```
    /// # use sharedance_core::store::{Store, StoreError};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set(b"name", b"ada")?;
    /// store.update(b"name", |name| Ok::<_, StoreError>(name.to_ascii_uppercase().into()))?;
    /// assert_eq!(store.get(b"name").expect("it is there"), b"ADA");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of `change`; otherwise as for [`Store::set`].
    pub fn update<E: From<StoreError>>(
        &self,
        key: &[u8],
        change: impl Fn(&Value) -> Result<Update, E>,
    ) -> Result<Outcome, E> {
        self.inner.change(|inner| {
            inner.rewrite(key, |current| {
                let update = change(&Value::new(current.clone()))?;
                Ok(inner.write_update(key, current, &update)?)
            })
        })
    }

    /// Adds `delta` to the number in decimal digits that is the value of `key`, wrapping at 2⁶⁴; answers the sum, or
    /// `None` where there is no value.
    ///
    /// # Errors
    /// [`StoreError::NotANumber`] where the value is none; otherwise as for [`Store::set`].
    pub fn incr(&self, key: &[u8], delta: u64) -> Result<Option<u64>, StoreError> {
        self.inner.change(|inner| inner.count(key, |number| number.wrapping_add(delta)))
    }

    /// Takes `delta` from the number in decimal digits that is the value of `key`, stopping at zero: otherwise as
    /// [`Store::incr`].
    ///
    /// # Errors
    /// As for [`Store::incr`].
    pub fn decr(&self, key: &[u8], delta: u64) -> Result<Option<u64>, StoreError> {
        self.inner.change(|inner| inner.count(key, |number| number.saturating_sub(delta)))
    }

    /// Deletes `key`; answers whether it had a value that had not expired. When this returns, the pair does not come
    /// back, whatever happens to the process.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn delete(&self, key: &[u8]) -> Result<bool, StoreError> {
        self.delete_if(key, Condition::Always).map(Outcome::is_done)
    }

    /// Deletes `key` if `condition` holds. [`Outcome::Missing`] where there was nothing to delete.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn delete_if(&self, key: &[u8], condition: Condition) -> Result<Outcome, StoreError> {
        self.inner.change(|inner| Ok(inner.remove(inner.hash(key), key, condition, inner.timeline.now_ms())))
    }

    /// Lets `key` live for `ttl` from now on; answers whether it has a value that has not expired. Costs no room, and
    /// leaves the version as it is.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn touch(&self, key: &[u8], ttl: Ttl) -> Result<bool, StoreError> {
        self.get_and_touch(key, ttl).map(|value| value.is_some())
    }

    /// The value of `key`, which lives for `ttl` from now on.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn get_and_touch(&self, key: &[u8], ttl: Ttl) -> Result<Option<Value>, StoreError> {
        self.inner.change(|inner| Ok(inner.touch(inner.hash(key), key, ttl).map(Value::new)))
    }

    /// The value of `key`, with what is known about it, and with the word on who is to make a new one. A value that is
    /// costly to make is so made anew by one of its readers before it is gone, and not by all of them afterwards.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::store::{Look, Refresh, Store, Ttl};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let minute = Ttl::After(Duration::from_secs(60));
    /// let look = Look { create: Some(minute), refresh_below: Some(Duration::from_secs(5)), ..Look::default() };
    /// let seen = store.look(b"front page", &look)?.expect("it was created");
    /// assert!(seen.is_new && seen.refresh == Refresh::You);
    /// // Whoever looks before the page is there waits, or does without.
    /// let seen = store.look(b"front page", &look)?.expect("it is there");
    /// assert!(seen.value.is_empty() && seen.refresh == Refresh::Another);
    /// store.set_with_ttl(b"front page", b"<html>", minute)?;
    /// assert_eq!(store.look(b"front page", &look)?.expect("it is there").refresh, Refresh::Nobody);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Where [`Look::create`] writes, as for [`Store::set`]; where it or [`Look::touch`] is asked for,
    /// [`StoreError::ReadOnly`] after a failed sync.
    pub fn look(&self, key: &[u8], look: &Look) -> Result<Option<Seen>, StoreError> {
        match look.touch.is_some() || look.create.is_some() {
            true => self.inner.change(|inner| inner.look(key, look)),
            false => self.inner.look(key, look),
        }
    }

    /// Marks the value of `key` as stale if `condition` holds, and lets it live for `ttl` from now on if one is given.
    /// Readers still get it; the first one who looks ([`Store::look`]) is told to make a new one, [`Refresh::You`],
    /// whoever was told so before. It gets a new [version](Value::version), so that whoever made a value from the one
    /// before does not take the mark away with a [`Store::compare_and_set`].
    ///
    /// # Errors
    /// As for [`Store::set`].
    pub fn invalidate(&self, key: &[u8], condition: Condition, ttl: Option<Ttl>) -> Result<Outcome, StoreError> {
        self.inner.change(|inner| inner.invalidate(key, condition, ttl))
    }

    /// Walks over all pairs, in no order. Nobody waits for it: other operations go on meanwhile.
    ///
    /// A pair that is there all the time that the walk takes comes exactly once, with a value that it has at some moment
    /// of that time, however often it is overwritten; one that is stored or deleted meanwhile may come or not. It takes
    /// sixteen bytes of memory for each pair in a sixty-fourth of the store.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.set(b"user:17", b"Ada")?;
    /// store.set(b"user:18", b"Grace")?;
    /// let bytes: usize = store.iter().map(|pair| pair.key().len() + pair.value().len()).sum();
    /// assert_eq!(bytes, 22);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> Pairs<'_> {
        self.iter_prefix(b"")
    }

    /// Walks over the pairs whose keys begin with `prefix`: otherwise as [`Store::iter`]. The store keeps no order of
    /// keys, so it looks at all of them.
    pub fn iter_prefix(&self, prefix: &[u8]) -> Pairs<'_> {
        Pairs::new(&self.inner, prefix)
    }

    /// Reads every record, compares it with its checksum, and drops those that are not what was written. Takes as long
    /// as reading all the files; other operations go on meanwhile.
    pub fn verify(&self) -> Verification {
        self.inner.verify()
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
    /// [`StoreError::ReadOnly`] after a failed sync. Want of room is no hindrance.
    pub fn clear(&self) -> Result<(), StoreError> {
        self.inner.change(|inner| {
            inner.clear();
            Ok(())
        })
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

    /// Waits until everything stored, and everything deleted, before this call is on the disk. Callers in several
    /// threads share the work.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the disk did not take it; the store is read-only from then on. [`StoreError::ReadOnly`]
    /// where that has happened before.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.inner.sync()
    }

    /// What the store holds and has done.
    pub fn stats(&self) -> Stats {
        let inner = &*self.inner;
        let segments = inner.log.segments();
        Stats {
            pairs: inner.index.len() as u64,
            live_bytes: segments.iter().map(|segment| segment.live_bytes()).sum(),
            file_bytes: inner.log.space.used(),
            segments: segments.len() as u64,
            index_bytes: inner.index.memory() as u64,
            expired: inner.counters.expired.count(),
            expired_unread: inner.counters.expired_unread.count(),
            expired_reads: inner.counters.expired_reads.count(),
            identical_sets: inner.counters.identical_sets.count(),
            damaged: inner.counters.damaged.count(),
            compacted_bytes: inner.counters.compacted_bytes.count(),
            evicted: inner.counters.evicted.count(),
            refused_full: inner.counters.refused_full.count(),
        }
    }

    /// What was found when the store was opened.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.inner.recovery
    }
}

impl Inner {
    fn sync(&self) -> Result<(), StoreError> {
        let begun_ms = self.timeline.now_ms();
        let synced = self.group_commit.sync(|| {
            let sequence = self.log.peek_sequence();
            self.log.directory.sync()?;
            let mut meta = self.lock_meta();
            meta.save(self.timeline.times(), sequence)?;
            meta.sync()
        });
        match synced.map_err(StoreError::io("sync the store"))? {
            true => {
                self.synced_at_ms.fetch_max(begun_ms, Ordering::Relaxed);
                self.bury_overwritten();
                Ok(())
            }
            false => Err(StoreError::ReadOnly),
        }
    }

    /// Syncs if the interval that was promised has passed.
    fn sync_if_due(&self) -> Result<(), StoreError> {
        match self.durability {
            Durability::Interval(interval) if self.millis_until_sync(interval) == 0 => self.sync(),
            _ => Ok(()),
        }
    }

    fn millis_until_sync(&self, interval: Duration) -> u64 {
        let due_ms = self.synced_at_ms.load(Ordering::Relaxed).saturating_add(interval.as_millis() as u64);
        due_ms.saturating_sub(self.timeline.now_ms())
    }

    /// Whatever changes the store: refused where a sync has failed, and not acknowledged before it is as durable as was
    /// promised.
    fn change<T, E: From<StoreError>>(&self, change: impl FnOnce(&Inner) -> Result<T, E>) -> Result<T, E> {
        if self.group_commit.has_failed() {
            return Err(StoreError::ReadOnly.into());
        }
        let changed = change(self)?;
        if self.durability == Durability::Always {
            self.sync()?;
        }
        Ok(changed)
    }

    fn lock_meta(&self) -> MutexGuard<'_, Meta> {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save_clock(&self) -> Result<(), StoreError> {
        let sequence = self.log.peek_sequence();
        self.lock_meta().save(self.timeline.times(), sequence).map_err(StoreError::io("save the store's clock"))
    }
}

/// The time is written down; what was acknowledged is in the files already. Where more is promised than that, nobody will
/// sync after this.
impl Drop for Inner {
    fn drop(&mut self) {
        let _ = match self.durability {
            Durability::Os => self.save_clock(),
            Durability::Interval(_) | Durability::Always => self.sync(),
        };
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

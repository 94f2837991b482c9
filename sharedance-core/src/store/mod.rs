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
mod handle;
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
mod refreshing;
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

#[cfg(any(loom, shuttle))]
#[path = "../../../tests/races/src/engine/mod.rs"]
pub(crate) mod races;

#[doc = include_str!("../../FORMAT.md")]
pub mod on_disk {}

pub use durability::{Durability, UncleanBoot};
pub use error::{OpenError, StoreError};
pub use handle::Store;
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
use stats::Counters;
use sync::atomic::{AtomicU64, Ordering};
use sync::{Mutex, MutexGuard, PoisonError};
use timeline::Timeline;
use upkeep::Upkeep;

/// The longest key, in bytes.
pub const MAX_KEY_LEN: usize = format::MAX_KEY_LEN;

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

impl Inner {
    fn sync(&self) -> Result<(), StoreError> {
        let begun_ms = self.timeline.now_ms();
        let synced = self.group_commit.sync(|| {
            if self.log.directory.is_synced() {
                return Ok(());
            }
            let sequence = self.log.peek_sequence();
            self.log.directory.sync()?;
            self.lock_meta().save_synced(self.timeline.times(), sequence)
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
        if self.durability != Durability::Os {
            let _ = self.sync();
        }
        // A sync with nothing to write does not.
        let _ = self.save_clock();
        self.log.segments().iter().for_each(|segment| segment.carried.forget_all());
    }
}

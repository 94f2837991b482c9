//! The syncs of a store: what one writes, when one is due, and the file `store.meta`, which is saved with them.

use std::time::Duration;

use crate::store::api::durability::Durability;
use crate::store::disk::meta::Meta;
use crate::store::durability::cadence::{Cadence, Keeper};
use crate::store::durability::group_commit::GroupCommit;
use crate::store::durability::superseded::{MAX_OVERWRITES_WAITING, Superseded};
use crate::store::error::StoreError;
use crate::store::log::segment_log::Log;
use crate::store::primitives::atomic::Ordering;
use crate::store::primitives::{Mutex, MutexGuard, PoisonError};
use crate::store::timeline::Timeline;

/// A thread that keeps the interval reads the clock at least this often: the store's clock advances while the machine
/// is suspended, and timeouts do not.
const MAX_REST: Duration = Duration::from_millis(100);

/// The state of a store's durability.
#[derive(Debug)]
pub(crate) struct Syncs {
    pub(crate) mode: Durability,
    pub(crate) group_commit: GroupCommit,
    pub(crate) superseded: Superseded,
    pub(crate) cadence: Cadence,
    meta: Mutex<Meta>,
}

impl Syncs {
    /// For a store that is opened at `now`, in boot time, with all files synced.
    pub(crate) fn new(mode: Durability, meta: Meta, now: Duration) -> Syncs {
        Syncs {
            mode,
            group_commit: GroupCommit::default(),
            superseded: Superseded::new(mode),
            cadence: Cadence::begun_at(now),
            meta: Mutex::new(meta),
        }
    }

    /// Whether a sync has failed, after which nothing is written.
    pub(crate) fn have_failed(&self) -> bool {
        self.group_commit.has_failed()
    }

    /// Waits until all writes before the call are on the disk.
    pub(crate) fn sync(&self, log: &Log, timeline: &Timeline) -> Result<(), StoreError> {
        let synced = self.group_commit.sync(|| {
            self.cadence.begin(timeline.boot_time());
            if log.files.directory.is_synced() && !self.lock_meta().has_unsynced_clears() {
                return Ok(());
            }
            let sequence = log.peek_sequence();
            log.files.directory.sync()?;
            #[cfg(test)]
            self.cadence.disk.work();
            self.lock_meta().save_synced(timeline.times(), sequence)
        });
        match synced.map_err(StoreError::io("sync the store"))? {
            true => {
                self.superseded.mark_covered(&self.group_commit);
                Ok(())
            }
            false => Err(StoreError::ReadOnly),
        }
    }

    pub(crate) fn lock_meta(&self) -> MutexGuard<'_, Meta> {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves the time and the next sequence.
    pub(crate) fn save_clock(&self, log: &Log, timeline: &Timeline) -> Result<(), StoreError> {
        let sequence = log.peek_sequence();
        self.lock_meta().save(timeline.times(), sequence).map_err(StoreError::io("save the store's clock"))
    }

    /// See [`Store::keep_synced`](crate::store::Store::keep_synced).
    pub(crate) fn keep_synced(
        &self,
        log: &Log,
        timeline: &Timeline,
        mut rest: impl FnMut(Duration) -> bool,
    ) -> Result<(), StoreError> {
        let Durability::Interval(interval) = self.mode else {
            return Ok(());
        };
        let _keeper = Keeper::of(&self.cadence);
        loop {
            if self.due_in(interval, timeline).is_zero() {
                self.sync(log, timeline)?;
            }
            if rest(self.due_in(interval, timeline).min(MAX_REST)) {
                return Ok(());
            }
        }
    }

    /// Runs a sync if one is due, none is running, and no thread keeps the interval.
    #[inline]
    pub(crate) fn sync_unless_kept(&self, log: &Log, timeline: &Timeline) -> Result<(), StoreError> {
        match self.mode {
            Durability::Interval(interval) if self.cadence.keepers.load(Ordering::Relaxed) == 0 => {
                let is_due = self.due_in(interval, timeline).is_zero() && !self.group_commit.is_running();
                if is_due { self.sync(log, timeline) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn due_in(&self, interval: Duration, timeline: &Timeline) -> Duration {
        // Only a sync frees their memory, and lets their segments be recycled.
        if self.superseded.len() >= MAX_OVERWRITES_WAITING {
            return Duration::ZERO;
        }
        self.cadence.due_in(interval, timeline.boot_time())
    }
}

//! What keeps a store small, its writers from waiting, and its pairs safe from a power cut.

use std::io;
use std::time::Duration;

use crate::store::api::durability::Durability;
use crate::store::error::StoreError;
use crate::store::handle::store::Shared;
use crate::store::handle::store::Store;
use crate::store::primitives::thread;
use crate::store::upkeep::maintain::{self, Progress};
use crate::store::upkeep::threads::{Maintenance, MaintenanceOptions, MaintenanceTask};

/// How often the store is maintained when nothing is pending.
const TURN: Duration = Duration::from_millis(100);
/// Records looked at between two checks whether to stop, and before other threads have the processor.
const BUDGET: usize = 1_024;

/// What keeps a store small, its writers from waiting, and its pairs safe from a power cut.
impl Store {
    /// Does a piece of the work that keeps the store small: removes expired pairs, copies what lives out of segments
    /// that hold little else, recycles those with nothing live in them, evicts if it may and must, saves the store's
    /// clock, and syncs where [`Durability::Interval`](crate::store::Durability::Interval) says that it is time and no
    /// thread runs [`Store::keep_synced`].
    ///
    /// `budget` bounds the records looked at; no lock that a request needs is held for longer than one of them takes.
    /// Ten calls a second are plenty, and the next one is due at once while [`Progress::pending`].
    /// [`Store::start_maintenance`] starts a thread that does it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::{Options, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let (clock, hand) = Clock::manual();
    /// # let store = Options::new().clock(clock).open(dir.path())?;
    /// for code in 0..1_000u32 {
    ///     store.set_with_ttl(&code.to_be_bytes(), "x", Duration::from_secs(1))?;
    /// }
    /// hand.advance(Duration::from_secs(10));
    /// let mut expired = 0;
    /// loop {
    ///     let progress = store.maintain(100)?;
    ///     expired += progress.expired;
    ///     if !progress.pending {
    ///         break;
    ///     }
    /// }
    /// assert_eq!((expired, store.len()), (1_000, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Io`] where a file cannot be written, or where a deletion failed: the next calls try again. A failed
    /// deletion keeps nothing else from being done, and is reported once;
    /// [`Stats::pending_deletions`](crate::store::Stats::pending_deletions) counts the files that are still there.
    /// [`StoreError::ReadOnly`] after a failed sync.
    pub fn maintain(&self, budget: usize) -> Result<Progress, StoreError> {
        let Shared { engine, syncs, upkeep, .. } = &*self.shared;
        if syncs.have_failed() {
            return Err(StoreError::ReadOnly);
        }
        self.shared.clearing().clear_if_due()?;
        maintain::maintain(engine, syncs, upkeep, budget)
    }

    /// Keeps empty segments ready, so that writers do not wait for files to be created: waits up to `wait` for one to
    /// be taken, and makes another. To be called in a loop by a thread of ordinary priority, as
    /// [`Store::start_maintenance`] does.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.prepare(Duration::ZERO)?;
    /// // There is a file now, for the first pair to go to.
    /// assert!(store.stats().file_bytes > 0 && store.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Io`] where none can be made, after waiting for `wait`.
    pub fn prepare(&self, wait: Duration) -> Result<(), StoreError> {
        self.shared.engine.log.prepare(wait)
    }

    /// Waits until everything stored, and everything deleted, before this call is on the disk. Callers in several
    /// threads share the work. A store that promises to survive power cuts knows which files have changed since the
    /// last sync, and writes only these; any other asks the system for all of them.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// for order in 0..100u32 {
    ///     store.set(&order.to_be_bytes(), "paid")?;
    /// }
    /// // From here on a power cut costs none of them.
    /// store.sync()?;
    /// assert_eq!(store.len(), 100);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Io`] where the disk did not take it; the store is read-only from then on. [`StoreError::ReadOnly`]
    /// where that has happened before.
    pub fn sync(&self) -> Result<(), StoreError> {
        if let Some(deferral) = &self.deferral {
            // Before it begins: it may not cover writes that come meanwhile.
            deferral.settle();
        }
        self.shared.sync()
    }

    /// Whether a sync has failed, so that the store accepts no more writes.
    ///
    /// ```
    /// # use sharedance_core::store::Store;
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path())?;
    /// assert!(!store.is_read_only());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_read_only(&self) -> bool {
        self.shared.syncs.have_failed()
    }

    /// Keeps the promise of [`Durability::Interval`](crate::store::Durability::Interval): syncs whenever that is due, and
    /// calls `rest` in between, which is to wait for at most the given time and returns whether to stop. With another
    /// durability it returns at once. To be called by a thread of its own, as [`Store::start_maintenance`] does; while it
    /// runs, no write waits for a sync.
    ///
    /// ```
    /// # use std::sync::mpsc::{self, RecvTimeoutError};
    /// # use std::time::Duration;
    /// # use sharedance_core::store::{Durability, Options};
    /// # let dir = tempfile::tempdir()?;
    /// let durability = Durability::Interval(Duration::from_secs(1));
    /// let store = Options::new().durability(durability).open(dir.path())?;
    /// let (stop, stopped) = mpsc::channel::<()>();
    /// let syncing = std::thread::spawn({
    ///     let store = store.clone();
    ///     move || store.keep_synced(|time| stopped.recv_timeout(time) != Err(RecvTimeoutError::Timeout))
    /// });
    /// store.set("user:17", "Ada")?;
    /// drop(stop);
    /// syncing.join().expect("it does not panic")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Store::sync`]: the store is read-only then, and there is no promise left to keep.
    pub fn keep_synced(&self, rest: impl FnMut(Duration) -> bool) -> Result<(), StoreError> {
        self.shared.syncs.keep_synced(&self.shared.engine.log, &self.shared.engine.timeline, rest)
    }
}

/// Threads that do the background work.
impl Store {
    /// Starts threads that [maintain](Store::maintain) the store, [prepare](Store::prepare) segments for its writers,
    /// and [sync](Store::sync) it as often as [`Durability::Interval`](crate::store::Durability::Interval) promises. The store stays open for as long as
    /// they run.
    ///
    /// What fails in them is tried again. A failure that matters shows in the next call of the store's user: writers get an
    /// error where there is no room, or where the store has become read-only. [`Store::start_maintenance_with`] reports
    /// failures as they happen.
    ///
    /// ```
    /// # use sharedance_core::store::{OpenError, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let maintenance = store.start_maintenance()?;
    /// store.set("user:17", "Ada")?;
    /// drop(store);
    /// assert!(matches!(Store::open(dir.path()), Err(OpenError::InUse { .. })));
    /// drop(maintenance);
    /// assert!(Store::open(dir.path())?.contains("user:17"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start_maintenance(&self) -> io::Result<Maintenance> {
        self.start_maintenance_with(&MaintenanceOptions::new())
    }

    /// Starts the same threads as [`Store::start_maintenance`], with functions that they call: see
    /// [`MaintenanceOptions`].
    ///
    /// ```
    /// # use sharedance_core::store::{MaintenanceOptions, Store};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let report = MaintenanceOptions::new().on_error(|task, error| eprintln!("{task:?}: {error}"));
    /// let maintenance = store.start_maintenance_with(&report)?;
    /// store.set("user:17", "Ada")?;
    /// # drop(maintenance);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start_maintenance_with(&self, options: &MaintenanceOptions) -> io::Result<Maintenance> {
        let mut maintenance = Maintenance::new();
        let store = self.clone();
        maintenance.repeat(MaintenanceTask::Maintain, options, move || {
            if store.maintain(BUDGET)?.pending {
                thread::yield_now();
                return Ok(Duration::ZERO);
            }
            Ok(TURN)
        })?;
        let store = self.clone();
        maintenance.repeat(MaintenanceTask::Prepare, options, move || store.prepare(TURN).map(|()| Duration::ZERO))?;
        if matches!(self.durability(), Durability::Interval(_)) {
            let store = self.clone();
            // After a failure there is nothing left to keep: the store is read-only.
            maintenance.spawn(MaintenanceTask::Sync, options, move |stop| store.keep_synced(|time| stop.wait(time)))?;
        }
        Ok(maintenance)
    }
}

//! The background work, and syncs.

use std::io;
use std::time::Duration;

use crate::store::api::background::{MaintenanceOptions, MaintenanceTask};
use crate::store::api::durability::Durability;
use crate::store::error::StoreError;
use crate::store::handle::store::Shared;
use crate::store::handle::store::Store;
use crate::store::primitives::{Arc, thread};
use crate::store::upkeep::maintain::{self, Progress};
use crate::store::upkeep::threads::Maintenance;

/// How often the store is maintained when nothing is pending.
const TURN: Duration = Duration::from_millis(100);
/// Records looked at between two checks whether to stop, and before other threads have the processor.
const BUDGET: usize = 1_024;

/// The background work, which the store's own threads do unless it was opened with
/// [`Background::Manual`](crate::store::Background::Manual), and syncs.
impl Store {
    /// Does a piece of the work that keeps the store small: removes expired pairs, copies what lives out of segments
    /// that hold little else, recycles those with nothing live in them, evicts if it may and must, saves the store's
    /// clock, and syncs where [`Durability::Interval`](crate::store::Durability::Interval) says that it is time and no
    /// thread runs [`Store::keep_synced`].
    ///
    /// `budget` bounds the records looked at; no lock that a request needs is held for longer than one of them takes.
    /// Ten calls a second are enough; while [`Progress::pending`], the next one is due at once.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::{Background, Options};
    /// # let dir = tempfile::tempdir()?;
    /// # let (clock, hand) = Clock::manual();
    /// # let store = Options::new().background(Background::Manual).clock(clock).open(dir.path())?;
    /// for code in 0..1_000u32 {
    ///     store.set_with_ttl(code.to_be_bytes(), "x", Duration::from_secs(1))?;
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
        self.shared.maintain(budget)
    }

    /// Keeps empty segments ready, so that writers do not wait for files to be created: waits up to `wait` for one to
    /// be taken, and makes another. To be called in a loop by a thread of ordinary priority.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::store::{Background, Options};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().background(Background::Manual).open(dir.path())?;
    /// store.prepare(Duration::ZERO)?;
    /// // There is a file now, for the first pair to go to.
    /// assert!(store.stats().file_bytes > 0 && store.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Io`] where none can be made, after waiting for `wait`.
    pub fn prepare(&self, wait: Duration) -> Result<(), StoreError> {
        self.shared.engine.log.prepare(wait, || false)
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
    ///     store.set(order.to_be_bytes(), "paid")?;
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
            deferral.begin_sync();
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
    /// durability it returns at once. To be called by a thread of its own. While it runs, no write waits for a sync.
    ///
    /// ```
    /// # use std::sync::mpsc::{self, RecvTimeoutError};
    /// # use std::time::Duration;
    /// # use sharedance_core::store::{Background, Durability, Options};
    /// # let dir = tempfile::tempdir()?;
    /// let durability = Durability::Interval(Duration::from_secs(1));
    /// let store = Options::new().durability(durability).background(Background::Manual).open(dir.path())?;
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
        self.shared.keep_synced(rest)
    }
}

/// Threads that maintain a store which has none of its own.
impl Store {
    /// Starts the threads of [`Background::Threads`] for a store that was opened with [`Background::Manual`]: for a program
    /// that has to fork after it has opened the store, or that maintains the store for a part of its life. The store stays
    /// open for as long as they run.
    ///
    /// A thread that fails tries again. [`MaintenanceOptions::on_error`] reports failures as they happen.
    ///
    /// ```
    /// # use sharedance_core::store::{Background, MaintenanceOptions, OpenError, Options, Store};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().background(Background::Manual).open(dir.path())?;
    /// let report = MaintenanceOptions::new().on_error(|task, error| eprintln!("{task:?} has failed: {error}"));
    /// let maintenance = store.start_maintenance(&report)?;
    /// store.set("user:17", "Ada")?;
    /// drop(store);
    /// assert!(matches!(Store::open(dir.path()), Err(OpenError::InUse { .. })));
    /// drop(maintenance);
    /// assert!(Store::open(dir.path())?.contains("user:17"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [`Background::Threads`]: crate::store::Background::Threads
    /// [`Background::Manual`]: crate::store::Background::Manual
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start_maintenance(&self, options: &MaintenanceOptions) -> io::Result<Maintenance> {
        self.shared.start_maintenance(options)
    }
}

impl Shared {
    fn maintain(&self, budget: usize) -> Result<Progress, StoreError> {
        if self.syncs.have_failed() {
            return Err(StoreError::ReadOnly);
        }
        self.clearing().clear_if_due()?;
        maintain::maintain(&self.engine, &self.syncs, &self.upkeep, budget)
    }

    fn keep_synced(&self, rest: impl FnMut(Duration) -> bool) -> Result<(), StoreError> {
        self.syncs.keep_synced(&self.engine.log, &self.engine.timeline, rest)
    }

    /// Starts the maintenance threads, which hold the shared parts of the store.
    pub(crate) fn start_maintenance(self: &Arc<Shared>, options: &MaintenanceOptions) -> io::Result<Maintenance> {
        let shared = self.clone();
        let mut maintenance = Maintenance::new(move || shared.engine.log.end_waits());
        let shared = self.clone();
        maintenance.repeat(MaintenanceTask::Maintain, options, move |_| {
            if shared.maintain(BUDGET)?.pending {
                thread::yield_now();
                return Ok(Duration::ZERO);
            }
            Ok(TURN)
        })?;
        let shared = self.clone();
        maintenance.repeat(MaintenanceTask::Prepare, options, move |stop| {
            shared.engine.log.prepare(TURN, || stop.is_set()).map(|()| Duration::ZERO)
        })?;
        if matches!(self.syncs.mode, Durability::Interval(_)) {
            let shared = self.clone();
            // After a failure the store is read-only, and there is nothing left to sync.
            maintenance
                .spawn(MaintenanceTask::Sync, options, move |stop| shared.keep_synced(|time| stop.wait(time)))?;
        }
        Ok(maintenance)
    }
}

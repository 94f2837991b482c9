//! The threads that maintain a store.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::store::error::StoreError;
use crate::store::primitives::thread::{self, JoinHandle};
use crate::store::primitives::{Arc, Condvar, Mutex, PoisonError};

/// How long a thread waits after a failure, which is likely to last.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The task of a thread of [`Maintenance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MaintenanceTask {
    /// [`Store::maintain`](crate::store::Store::maintain): removes expired pairs and frees their space.
    Maintain,
    /// [`Store::prepare`](crate::store::Store::prepare): creates segment files before writers need them.
    Prepare,
    /// [`Store::keep_synced`](crate::store::Store::keep_synced): only with
    /// [`Durability::Interval`](crate::store::Durability::Interval).
    Sync,
}

impl MaintenanceTask {
    fn thread_name(self) -> &'static str {
        match self {
            MaintenanceTask::Maintain => "sharedance-tidy",
            MaintenanceTask::Prepare => "sharedance-prep",
            MaintenanceTask::Sync => "sharedance-sync",
        }
    }
}

type OnError = dyn Fn(MaintenanceTask, &StoreError) + Send + Sync;
type OnThreadStart = dyn Fn(MaintenanceTask) + Send + Sync;

/// Functions that the threads of [`Store::start_maintenance_with`](crate::store::Store::start_maintenance_with) call.
///
/// ```
/// # use sharedance_core::store::{MaintenanceOptions, Store};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let options = MaintenanceOptions::new()
///     .on_thread_start(|task| eprintln!("{task:?} has started"))
///     .on_error(|task, error| eprintln!("{task:?} has failed: {error}"));
/// let maintenance = store.start_maintenance_with(&options)?;
/// # drop(maintenance);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MaintenanceOptions {
    on_error: std::sync::Arc<OnError>,
    on_thread_start: std::sync::Arc<OnThreadStart>,
}

impl Default for MaintenanceOptions {
    fn default() -> MaintenanceOptions {
        MaintenanceOptions { on_error: std::sync::Arc::new(|_, _| ()), on_thread_start: std::sync::Arc::new(|_| ()) }
    }
}

impl MaintenanceOptions {
    /// Options without functions.
    pub fn new() -> MaintenanceOptions {
        MaintenanceOptions::default()
    }

    /// Sets a function that a thread calls after each failure. The thread waits for a second and tries again, except
    /// after a failure of [`MaintenanceTask::Sync`]: the store is read-only from then on.
    #[must_use]
    pub fn on_error(self, call: impl Fn(MaintenanceTask, &StoreError) + Send + Sync + 'static) -> MaintenanceOptions {
        MaintenanceOptions { on_error: std::sync::Arc::new(call), ..self }
    }

    /// Sets a function that each thread calls before its work begins, for example to set its priority or its name.
    #[must_use]
    pub fn on_thread_start(self, call: impl Fn(MaintenanceTask) + Send + Sync + 'static) -> MaintenanceOptions {
        MaintenanceOptions { on_thread_start: std::sync::Arc::new(call), ..self }
    }
}

impl fmt::Debug for MaintenanceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaintenanceOptions").finish_non_exhaustive()
    }
}

/// The threads that [`Store::start_maintenance`](crate::store::Store::start_maintenance) started. Dropping this ends
/// them, and waits until they have ended. Keep it as long as the store is in use.
///
/// ```
/// # use sharedance_core::store::{Maintenance, Store};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// struct Cache {
///     // Dropped in this order: the threads end, then the store is closed.
///     maintenance: Maintenance,
///     store: Store,
/// }
/// let cache = Cache { maintenance: store.start_maintenance()?, store };
/// cache.store.set("user:17", "Ada")?;
/// drop(cache);
/// assert!(Store::open(dir.path())?.contains("user:17"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the threads end when this is dropped"]
pub struct Maintenance {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

/// Ends the threads.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Waits for `time`, or until the threads should end; returns whether they should.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(stopped, time, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn set(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

impl Maintenance {
    pub(crate) fn new() -> Maintenance {
        Maintenance { stop: Arc::default(), threads: Vec::new() }
    }

    /// Starts a thread that calls `turn` until the threads should end. After each call it waits for the returned time.
    pub(crate) fn repeat(
        &mut self,
        task: MaintenanceTask,
        options: &MaintenanceOptions,
        turn: impl Fn() -> Result<Duration, StoreError> + Send + 'static,
    ) -> io::Result<()> {
        let on_error = options.on_error.clone();
        self.spawn(task, options, move |stop| {
            let rest = || {
                turn().unwrap_or_else(|error| {
                    on_error(task, &error);
                    REST_AFTER_FAILURE
                })
            };
            while !stop.wait(rest()) {}
            Ok(())
        })
    }

    /// Starts a thread that calls `run` once.
    pub(crate) fn spawn(
        &mut self,
        task: MaintenanceTask,
        options: &MaintenanceOptions,
        run: impl FnOnce(&Stop) -> Result<(), StoreError> + Send + 'static,
    ) -> io::Result<()> {
        let (stop, options) = (self.stop.clone(), options.clone());
        let thread = thread::Builder::new().name(task.thread_name().to_owned()).spawn(move || {
            (options.on_thread_start)(task);
            if let Err(error) = run(&stop) {
                (options.on_error)(task, &error);
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.stop.set();
        for thread in self.threads.drain(..) {
            // A thread that panicked has printed that on standard error.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::store::{Durability, Options, Store, Ttl};

    const AMPLE: Duration = Duration::from_secs(60);

    fn eventually(what: &str, condition: impl Fn() -> bool) {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < AMPLE, "{what}");
            thread::yield_now();
        }
    }

    #[test]
    fn the_threads_remove_expired_pairs_and_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = Options::new().segment_len(65_536).open(dir.path()).unwrap();
        let maintenance = store.start_maintenance().unwrap();
        for i in 0..1_000u32 {
            store.set_with_ttl(i.to_be_bytes(), [1; 100], Ttl::After(Duration::from_millis(20))).unwrap();
        }
        eventually("the pairs are removed", || store.is_empty());
        drop(maintenance);
        drop(store);
        Store::open(dir.path()).expect("the threads have closed it");
    }

    #[test]
    fn an_interval_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let durability = Durability::Interval(Duration::from_millis(5));
        let store = Options::new().durability(durability).segment_len(65_536).open(dir.path()).unwrap();
        let _maintenance = store.start_maintenance().unwrap();
        let first = store.shared.syncs.group_commit.next();
        eventually("three syncs", || store.shared.syncs.group_commit.ended() >= first + 2);
    }

    #[test]
    fn failures_and_starts_are_reported_in_their_thread() {
        let dir = tempfile::tempdir().unwrap();
        let durability = Durability::Interval(Duration::from_secs(3_600));
        let store = Options::new().durability(durability).segment_len(65_536).open(dir.path()).unwrap();
        store.shared.syncs.group_commit.fail();
        let (started, failed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let options = MaintenanceOptions::new()
            .on_thread_start({
                let started = started.clone();
                move |task| started.lock().unwrap().push((task, thread::current().id()))
            })
            .on_error({
                let failed = failed.clone();
                move |task, error| {
                    assert!(matches!(error, StoreError::ReadOnly));
                    failed.lock().unwrap().push((task, thread::current().id()));
                }
            });
        let maintenance = store.start_maintenance_with(&options).unwrap();
        eventually("a failure of maintenance", || !failed.lock().unwrap().is_empty());
        drop(maintenance);
        let started = started.lock().unwrap().clone();
        let tasks = [MaintenanceTask::Maintain, MaintenanceTask::Prepare, MaintenanceTask::Sync];
        assert!(tasks.iter().all(|task| started.iter().filter(|(known, _)| known == task).count() == 1));
        assert!(failed.lock().unwrap().iter().all(|failure| started.contains(failure)));
    }
}

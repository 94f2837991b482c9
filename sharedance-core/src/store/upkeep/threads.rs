//! The threads that maintain a store.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::store::api::background::{MaintenanceOptions, MaintenanceTask};
use crate::store::error::StoreError;
use crate::store::primitives::thread::{self, JoinHandle};
use crate::store::primitives::{Arc, Condvar, Mutex, PoisonError};

/// How long a thread waits after a failure, which is likely to last.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

fn thread_name(task: MaintenanceTask) -> &'static str {
    match task {
        MaintenanceTask::Maintain => "sharedance-tidy",
        MaintenanceTask::Prepare => "sharedance-prep",
        MaintenanceTask::Sync => "sharedance-sync",
    }
}

/// The threads that [`Store::start_maintenance`](crate::store::Store::start_maintenance) has started. When this is dropped,
/// it waits until they have ended. Keep it beside the store for as long as the store is in use.
///
/// ```
/// # use sharedance_core::store::{Background, Maintenance, MaintenanceOptions, Options, Store};
/// # let dir = tempfile::tempdir()?;
/// # let store = Options::new().background(Background::Manual).open(dir.path())?;
/// struct Cache {
///     // Dropped in this order: the threads end, then the store is closed.
///     maintenance: Maintenance,
///     store: Store,
/// }
/// let cache = Cache { maintenance: store.start_maintenance(&MaintenanceOptions::new())?, store };
/// cache.store.set("user:17", "Ada")?;
/// drop(cache);
/// assert!(Store::open(dir.path())?.contains("user:17"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the threads end when this is dropped"]
pub struct Maintenance {
    stop: Arc<Stop>,
    /// Ends waits other than those of [`Stop::wait`].
    wake: Box<dyn Fn() + Send + Sync>,
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

    /// Whether the threads are to end.
    pub(crate) fn is_set(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

impl Maintenance {
    /// No threads yet. `wake` is called once they are to end.
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Maintenance {
        Maintenance { stop: Arc::default(), wake: Box::new(wake), threads: Vec::new() }
    }

    /// Starts a thread that calls `turn` until the threads should end. After each call it waits for the returned time.
    pub(crate) fn repeat(
        &mut self,
        task: MaintenanceTask,
        options: &MaintenanceOptions,
        turn: impl Fn(&Stop) -> Result<Duration, StoreError> + Send + 'static,
    ) -> io::Result<()> {
        let on_error = options.on_error.clone();
        self.spawn(task, options, move |stop| {
            let rest = || {
                turn(stop).unwrap_or_else(|error| {
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
        let thread = thread::Builder::new().name(thread_name(task).to_owned()).spawn(move || {
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
        (self.wake)();
        let current = thread::current().id();
        for thread in self.threads.drain(..) {
            // A function that one of them calls may drop the last handle: no thread waits for itself.
            if thread.thread().id() != current {
                // A thread that panicked has printed that on standard error.
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for Maintenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Maintenance({} threads)", self.threads.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;
    use crate::store::{Durability, Options, Store, Ttl};

    const AMPLE: Duration = Duration::from_secs(60);
    const TASKS: [MaintenanceTask; 3] = [MaintenanceTask::Maintain, MaintenanceTask::Prepare, MaintenanceTask::Sync];

    fn eventually(what: &str, condition: impl Fn() -> bool) {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < AMPLE, "{what}");
            thread::yield_now();
        }
    }

    /// A store with threads of its own.
    fn open(dir: &tempfile::TempDir) -> Store {
        Options::new().segment_len(65_536).open(dir.path()).unwrap()
    }

    #[test]
    fn by_default_expired_pairs_go_by_themselves_and_the_last_handle_ends_the_threads() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        for i in 0..1_000u32 {
            store.set_with_ttl(i.to_be_bytes(), [1; 100], Ttl::After(Duration::from_millis(20))).unwrap();
        }
        eventually("the pairs go", || store.is_empty());
        let clone = store.clone();
        drop(store);
        clone.set("key", "value").unwrap();
        drop(clone);
        assert_eq!(open(&dir).get("key").unwrap(), "value");
    }

    #[test]
    fn the_last_of_handles_that_are_dropped_at_the_same_time_closes_the_store() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..50 {
            let store = open(&dir);
            let clone = store.clone();
            let other = thread::spawn(move || drop(clone));
            drop(store);
            other.join().unwrap();
        }
    }

    #[test]
    fn threads_in_a_wait_of_their_own_are_woken_to_end() {
        let (send, receive) = mpsc::channel::<()>();
        let mut maintenance = Maintenance::new(move || send.send(()).unwrap());
        let wait = move |stop: &Stop| {
            receive.recv().unwrap();
            assert!(stop.is_set());
            Ok(())
        };
        maintenance.spawn(MaintenanceTask::Prepare, &MaintenanceOptions::new(), wait).unwrap();
        drop(maintenance);
    }

    #[test]
    fn the_last_handle_may_be_dropped_by_a_maintenance_thread() {
        let dir = tempfile::tempdir().unwrap();
        let (send, receive) = mpsc::channel::<Store>();
        let receive = Mutex::new(receive);
        let options = MaintenanceOptions::new().on_error(move |_, _| {
            // Waits for the handle, and drops it.
            let _ = receive.lock().unwrap().recv();
        });
        let store = Options::new().background(options).segment_len(65_536).open(dir.path()).unwrap();
        store.shared.syncs.group_commit.fail();
        send.send(store).unwrap();
        eventually("the store is closed", || Options::new().open(dir.path()).is_ok());
    }

    #[test]
    fn threads_that_are_started_later_end_with_their_guard() {
        let dir = tempfile::tempdir().unwrap();
        let store = Options::manual().segment_len(65_536).open(dir.path()).unwrap();
        let maintenance = store.start_maintenance(&MaintenanceOptions::new()).unwrap();
        store.set_with_ttl("key", "value", Ttl::After(Duration::from_millis(1))).unwrap();
        eventually("the pair goes", || store.is_empty());
        drop(store);
        assert!(Store::open(dir.path()).is_err(), "the threads have it open");
        drop(maintenance);
        Store::open(dir.path()).expect("the threads have closed it");
    }

    #[test]
    fn an_interval_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let durability = Durability::Interval(Duration::from_millis(5));
        let store = Options::new().durability(durability).segment_len(65_536).open(dir.path()).unwrap();
        let first = store.shared.syncs.group_commit.next();
        eventually("three syncs", || store.shared.syncs.group_commit.ended() >= first + 2);
    }

    #[test]
    fn failures_and_starts_are_reported_in_their_thread() {
        let dir = tempfile::tempdir().unwrap();
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
        let options = Options::new().background(options).durability(Durability::Interval(Duration::from_secs(3_600)));
        let store = options.segment_len(65_536).open(dir.path()).unwrap();
        store.shared.syncs.group_commit.fail();
        eventually("a failure of maintenance", || !failed.lock().unwrap().is_empty());
        drop(store);
        let started = started.lock().unwrap().clone();
        assert!(TASKS.iter().all(|task| started.iter().filter(|(known, _)| known == task).count() == 1));
        assert!(failed.lock().unwrap().iter().all(|failure| started.contains(failure)));
    }
}

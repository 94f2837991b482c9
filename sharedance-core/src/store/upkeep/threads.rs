//! Threads that keep a store tidy, for programs that do not want to do so themselves.

use std::io;
use std::time::Duration;

use crate::store::durability::group_commit::Durability;
use crate::store::primitives::thread::{self, JoinHandle};
use crate::store::primitives::{Arc, Condvar, Mutex, PoisonError};
use crate::store::{Store, StoreError};

/// How often the store is looked after when nothing is pending.
const TURN: Duration = Duration::from_millis(100);
/// Records looked at before it is asked again whether to stop, and before others have the processor.
const BUDGET: usize = 1_024;
/// How long a thread rests after a failure, which is likely to last.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The threads that [`Store::start_maintenance`] started. Dropping this ends them, and waits until they have ended.
/// Keep it beside the store, for as long as that is in use.
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

#[derive(Debug, Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Waits for `time`, or until the threads are to end; answers whether they are.
    fn wait(&self, time: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(stopped, time, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn set(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

/// Threads that do the upkeep.
impl Store {
    /// Starts threads that [maintain](Store::maintain) the store, [prepare](Store::prepare) segments for its writers,
    /// and [sync](Store::sync) it as often as [`Durability::Interval`] promises. The store stays open for as long as
    /// they run.
    ///
    /// What fails in them is tried again. Whether it matters, the store's next user learns from its own call: writers
    /// are told when there is no room, or the store has become read-only.
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
        let mut maintenance = Maintenance { stop: Arc::default(), threads: Vec::new() };
        maintenance.start(self, "sharedance-tidy", |store| {
            let progress = store.maintain(BUDGET)?;
            if progress.pending {
                thread::yield_now();
                return Ok(Duration::ZERO);
            }
            Ok(TURN)
        })?;
        maintenance.start(self, "sharedance-prep", |store| store.prepare(TURN).map(|()| Duration::ZERO))?;
        if matches!(self.inner.durability, Durability::Interval(_)) {
            // After a failure there is nothing left to keep: the store is read-only, and its writers get the error.
            maintenance
                .spawn(self, "sharedance-sync", |store, stop| drop(store.keep_synced(|time| stop.wait(time))))?;
        }
        Ok(maintenance)
    }
}

impl Maintenance {
    /// Starts a thread that calls `turn` again and again, and rests in between for as long as that returns.
    fn start(
        &mut self,
        store: &Store,
        name: &str,
        turn: impl Fn(&Store) -> Result<Duration, StoreError> + Send + 'static,
    ) -> io::Result<()> {
        self.spawn(store, name, move |store, stop| {
            let rest = || turn(store).unwrap_or(REST_AFTER_FAILURE);
            while !stop.wait(rest()) {}
        })
    }

    fn spawn(&mut self, store: &Store, name: &str, run: impl Fn(&Store, &Stop) + Send + 'static) -> io::Result<()> {
        let (store, stop) = (store.clone(), self.stop.clone());
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(&store, &stop))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.stop.set();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::store::{Options, Ttl};

    const AMPLE: Duration = Duration::from_secs(60);

    fn eventually(what: &str, condition: impl Fn() -> bool) {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < AMPLE, "{what}");
            thread::yield_now();
        }
    }

    #[test]
    fn expired_pairs_go_by_themselves_and_the_threads_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = Options::new().segment_len(65_536).open(dir.path()).unwrap();
        let maintenance = store.start_maintenance().unwrap();
        for i in 0..1_000u32 {
            store.set_with_ttl(&i.to_be_bytes(), &[1; 100], Ttl::After(Duration::from_millis(20))).unwrap();
        }
        eventually("the pairs go", || store.is_empty());
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
        let first = store.inner.group_commit.next();
        eventually("three syncs", || store.inner.group_commit.ended() >= first + 2);
    }
}

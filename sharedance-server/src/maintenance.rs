//! The store's upkeep, on threads of its own: `[CLEANUP]`, at low priority, removes what has expired and reclaims its
//! space; `[PREPARE]` keeps segments ready, and must not wait for its turn behind the requests that need them; `[SYNC]`,
//! where that was promised, brings to the disk what was stored.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{Level, debug, error};
use rustix::process::setpriority_process;
use sharedance_core::store::{Durability, Store, StoreError};

use crate::logging::{Chain, Kind, LogLimits};

/// How often expired pairs are looked for.
const INTERVAL: Duration = Duration::from_millis(100);

/// How many records one piece of work looks at. Between pieces the thread sees whether it is to stop, and lets others
/// have the processor: whatever its priority, it would else keep it for milliseconds once it has its turn.
const RECORDS_PER_PIECE: usize = 1024;

/// The lowest priority there is: requests go first.
const NICENESS: i32 = 19;

/// How long the preparer waits for a need to arise before it sees whether it is to stop; and how long it waits after a
/// failure, such as a full disk, before it tries again.
const PREPARE_WAIT: Duration = Duration::from_millis(250);
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The running threads.
pub(crate) struct Maintenance {
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Maintenance {
    /// Starts the threads. `log` limits what they log.
    pub(crate) fn start(store: &Store, log: &Arc<LogLimits>) -> io::Result<Maintenance> {
        let mut maintenance = Maintenance { stopping: Arc::default(), threads: Vec::new() };
        maintenance.spawn("[PREPARE]", store, log, prepare)?;
        maintenance.spawn("[CLEANUP]", store, log, clean_up)?;
        if matches!(store.durability(), Durability::Interval(_)) {
            maintenance.spawn("[SYNC]", store, log, sync)?;
        }
        Ok(maintenance)
    }

    /// Ends the threads, within [`PREPARE_WAIT`] and one piece of work.
    pub(crate) fn stop(self) {
        // The end of `self` is what stops them.
    }

    fn spawn(
        &mut self,
        name: &str,
        store: &Store,
        log: &Arc<LogLimits>,
        work: fn(&Store, &LogLimits, &AtomicBool),
    ) -> io::Result<()> {
        let (store, log, stopping) = (store.clone(), Arc::clone(log), Arc::clone(&self.stopping));
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || work(&store, &log, &stopping))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                error!("a maintenance thread panicked");
            }
        }
    }
}

fn clean_up(store: &Store, log: &LogLimits, stopping: &AtomicBool) {
    // Of this thread alone: on Linux the call means the calling thread.
    if let Err(error) = setpriority_process(None, NICENESS) {
        debug!("maintenance runs at normal priority: {error}");
    }
    while !stopping.load(Ordering::Acquire) {
        match store.maintain(RECORDS_PER_PIECE) {
            Ok(progress) if progress.pending => {
                thread::yield_now();
                continue;
            }
            Ok(_) => {}
            Err(error) => log_failure(log, "the store's maintenance failed", &error),
        }
        thread::park_timeout(INTERVAL);
    }
}

fn sync(store: &Store, _log: &LogLimits, stopping: &AtomicBool) {
    let rest = |time| {
        thread::park_timeout(time);
        stopping.load(Ordering::Acquire)
    };
    if let Err(error) = store.keep_synced(rest) {
        // Once is enough: from here on each request that writes is refused as read-only.
        error!("pairs are not safe from a power cut any more: {}", Chain(&error));
    }
}

fn prepare(store: &Store, log: &LogLimits, stopping: &AtomicBool) {
    while !stopping.load(Ordering::Acquire) {
        if let Err(error) = store.prepare(PREPARE_WAIT) {
            log_failure(log, "cannot prepare segments for further pairs", &error);
            thread::park_timeout(RETRY_AFTER);
        }
    }
}

fn log_failure(log: &LogLimits, what: &str, error: &StoreError) {
    let now = Instant::now();
    match error {
        // No failure: a full store evicts, or refuses pairs, which is logged then.
        StoreError::Full => {}
        StoreError::ReadOnly => log.log_store_error(error, now),
        error => log.log(Kind::FailedMaintenance, Level::Error, now, format_args!("{what}: {}", Chain(error))),
    }
}

//! The store's maintenance threads as the server runs them: their names, their priority, and what they log.

use std::ffi::CStr;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use log::{Level, debug, error};
use rustix::process::setpriority_process;
use rustix::thread::set_name;
use sharedance_core::store::{Maintenance, MaintenanceOptions, MaintenanceTask, Store, StoreError};

use crate::process::logging::{Chain, Kind, LogLimits};

/// The lowest priority: requests go first. Only the thread that removes expired pairs has it: requests wait for the
/// segments that another thread prepares.
const NICENESS: i32 = 19;

/// Starts the threads, which end when the returned value is dropped. `log` limits what they log.
pub(crate) fn start(store: &Store, log: &Arc<LogLimits>) -> io::Result<Maintenance> {
    let log = Arc::clone(log);
    let options = MaintenanceOptions::new()
        .on_thread_start(set_up_thread)
        .on_error(move |task, error| log_failure(&log, task, error));
    store.start_maintenance(&options)
}

fn thread_name(task: MaintenanceTask) -> &'static CStr {
    match task {
        MaintenanceTask::Maintain => c"[CLEANUP]",
        MaintenanceTask::Prepare => c"[PREPARE]",
        MaintenanceTask::Sync => c"[SYNC]",
        _ => c"[STORE]",
    }
}

fn set_up_thread(task: MaintenanceTask) {
    // The name is only for lists of threads.
    let _ = set_name(thread_name(task));
    // On Linux this call affects only the calling thread.
    if task == MaintenanceTask::Maintain
        && let Err(error) = setpriority_process(None, NICENESS)
    {
        debug!("maintenance runs at normal priority: {error}");
    }
}

fn log_failure(log: &LogLimits, task: MaintenanceTask, error: &StoreError) {
    let now = Instant::now();
    match (task, error) {
        // Not a failure: a full store evicts pairs, or refuses new ones, which is logged then.
        (_, StoreError::Full) => {}
        // Logged once: from now on each refused request reports that the store is read-only.
        (MaintenanceTask::Sync, error) => {
            error!("pairs no longer survive a power cut: {}", Chain(error));
        }
        (_, StoreError::ReadOnly) => log.log_store_error(error, now),
        (MaintenanceTask::Prepare, error) => log.log(
            Kind::FailedMaintenance,
            Level::Error,
            now,
            format_args!("cannot prepare segments for further pairs: {}", Chain(error)),
        ),
        (_, error) => {
            let line = format_args!("the store's maintenance failed: {}", Chain(error));
            log.log(Kind::FailedMaintenance, Level::Error, now, line);
        }
    }
}

//! Which thread does a store's maintenance, and what the store's own threads call.

use std::fmt;
use std::sync::Arc;

use crate::store::error::StoreError;

/// Which threads maintain a store: see [`Options::background`](crate::store::Options::background).
///
/// ```
/// # use sharedance_core::store::{Background, MaintenanceOptions, Options};
/// # let dir = tempfile::tempdir()?;
/// // The default: the store has threads of its own.
/// let store = Options::new().open(dir.path())?;
/// store.set("user:17", "Ada")?;
/// drop(store); // They have ended now.
///
/// // The same, with failures reported.
/// let report = MaintenanceOptions::new().on_error(|task, error| eprintln!("{task:?} has failed: {error}"));
/// let store = Options::new().background(report).open(dir.path())?;
/// # drop(store);
///
/// // No threads: the program maintains the store itself.
/// let store = Options::new().background(Background::Manual).open(dir.path())?;
/// store.maintain(1_000)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Background {
    /// The store starts threads when it is opened: one that [maintains](crate::store::Store::maintain) it, one that
    /// [prepares](crate::store::Store::prepare) segments for its writers and, with
    /// [`Durability::Interval`](crate::store::Durability::Interval), one that [syncs](crate::store::Store::keep_synced) it.
    /// When the last handle is dropped, it waits until they have ended.
    ///
    /// Threads do not survive a fork: a process that forks after it has opened the store, for example to become a daemon,
    /// opens it with [`Background::Manual`].
    Threads(MaintenanceOptions),
    /// The store starts no thread. The program calls [`Store::maintain`](crate::store::Store::maintain) about ten times a
    /// second and [`Store::prepare`](crate::store::Store::prepare) in a loop of its own, or starts the threads when it wants
    /// to, with [`Store::start_maintenance`](crate::store::Store::start_maintenance). Without any of that the store is
    /// correct, but it is larger, and latencies vary more.
    Manual,
}

impl Default for Background {
    fn default() -> Background {
        Background::Threads(MaintenanceOptions::new())
    }
}

impl From<MaintenanceOptions> for Background {
    fn from(options: MaintenanceOptions) -> Background {
        Background::Threads(options)
    }
}

/// What a maintenance thread does.
///
/// ```
/// use sharedance_core::store::{MaintenanceOptions, MaintenanceTask};
///
/// let options = MaintenanceOptions::new().on_thread_start(|task| {
///     if task == MaintenanceTask::Maintain {
///         // Lower the priority of this thread.
///     }
/// });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MaintenanceTask {
    /// [`Store::maintain`](crate::store::Store::maintain): removes expired pairs, and frees their space.
    Maintain,
    /// [`Store::prepare`](crate::store::Store::prepare): creates segment files before writers need them.
    Prepare,
    /// [`Store::keep_synced`](crate::store::Store::keep_synced): only with
    /// [`Durability::Interval`](crate::store::Durability::Interval).
    Sync,
}

type OnError = dyn Fn(MaintenanceTask, &StoreError) + Send + Sync;
type OnThreadStart = dyn Fn(MaintenanceTask) + Send + Sync;

/// The functions that maintenance threads call: those of [`Background::Threads`], and those of
/// [`Store::start_maintenance`](crate::store::Store::start_maintenance).
///
/// A function must not own a handle of the store, which would then never be closed.
///
/// ```
/// # use sharedance_core::store::{MaintenanceOptions, Options};
/// # let dir = tempfile::tempdir()?;
/// let maintenance = MaintenanceOptions::new()
///     .on_thread_start(|task| eprintln!("{task:?} has started"))
///     .on_error(|task, error| eprintln!("{task:?} has failed: {error}"));
/// let store = Options::new().background(maintenance).open(dir.path())?;
/// # drop(store);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MaintenanceOptions {
    pub(crate) on_error: Arc<OnError>,
    pub(crate) on_thread_start: Arc<OnThreadStart>,
}

impl Default for MaintenanceOptions {
    fn default() -> MaintenanceOptions {
        MaintenanceOptions { on_error: Arc::new(|_, _| ()), on_thread_start: Arc::new(|_| ()) }
    }
}

impl MaintenanceOptions {
    /// Options that call nothing.
    ///
    /// ```
    /// use sharedance_core::store::{Background, MaintenanceOptions};
    ///
    /// assert!(matches!(Background::from(MaintenanceOptions::new()), Background::Threads(_)));
    /// ```
    pub fn new() -> MaintenanceOptions {
        MaintenanceOptions::default()
    }

    /// Called in the thread that failed, after each failure. The thread waits for a second and tries again, except after
    /// [`MaintenanceTask::Sync`] has failed: the store is read-only from then on.
    ///
    /// Without this function a failure that matters is reported by the next call that it concerns: writes fail if there is
    /// no space, or if the store has become read-only.
    ///
    /// ```
    /// use sharedance_core::store::MaintenanceOptions;
    ///
    /// let options = MaintenanceOptions::new().on_error(|task, error| eprintln!("{task:?} has failed: {error}"));
    /// ```
    #[must_use]
    pub fn on_error(self, call: impl Fn(MaintenanceTask, &StoreError) + Send + Sync + 'static) -> MaintenanceOptions {
        MaintenanceOptions { on_error: Arc::new(call), ..self }
    }

    /// Called in each thread before its work begins, to set its priority or its name.
    ///
    /// ```
    /// use sharedance_core::store::MaintenanceOptions;
    ///
    /// let options = MaintenanceOptions::new().on_thread_start(|task| eprintln!("{task:?} has started"));
    /// ```
    #[must_use]
    pub fn on_thread_start(self, call: impl Fn(MaintenanceTask) + Send + Sync + 'static) -> MaintenanceOptions {
        MaintenanceOptions { on_thread_start: Arc::new(call), ..self }
    }
}

impl fmt::Debug for MaintenanceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaintenanceOptions").finish_non_exhaustive()
    }
}

//! All numbers of the server at one time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use rustix::fs::statvfs;
use sharedance_core::store::{Stats, Store};

use crate::locks::{LockStats, Locks};
use crate::observe::{CommandKind, Distribution, PauseKind, SlowRequest, Sums};
use crate::reactor::Shared;

/// No worker has this number: a wake-up that the status thread causes notifies its worker.
const NO_WORKER: u32 = u32::MAX;

/// What the numbers are read from.
pub(crate) struct Source {
    pub(crate) shared: Arc<Shared>,
    pub(crate) store: Store,
    pub(crate) locks: Arc<Locks>,
    /// The addresses that the server listens on, as the log names them.
    pub(crate) addresses: Vec<String>,
}

/// All numbers of the server at one time.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) at: Instant,
    pub(super) counters: Sums,
    pub(super) store: Stats,
    pub(super) locks: LockStats,
    /// The latencies of each kind of command, in the order of [`CommandKind::ALL`].
    pub(super) commands: Vec<Distribution>,
    /// The lengths of each kind of pause, in the order of [`PauseKind::ALL`].
    pub(super) pauses: Vec<Distribution>,
    pub(super) slow_total: u64,
    pub(super) max_connections: usize,
    /// The limit of the operator on the files of the store, in bytes.
    pub(super) max_bytes: Option<u64>,
    /// What the file system of the store has left, in bytes.
    pub(super) disk_free_bytes: u64,
    /// Bytes of incomplete requests and unsent responses, and their limit.
    pub(super) inflight_bytes: usize,
    pub(super) uptime: Duration,
    pub(super) started: Duration,
    pub(super) cpu_user: Duration,
    pub(super) cpu_system: Duration,
    pub(super) readiness: Readiness,
}

/// Whether the server accepts reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    /// A sync has failed: the store accepts no more writes.
    ReadOnly,
    Stopping,
}

impl Readiness {
    /// The text of `/readyz`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Readiness::Ready => "ready",
            Readiness::ReadOnly => "read-only: a sync has failed, see the log; restart the server once the disk works",
            Readiness::Stopping => "stopping",
        }
    }
}

impl Source {
    pub(super) fn readiness(&self) -> Readiness {
        if self.shared.is_stopping.load(Ordering::SeqCst) {
            Readiness::Stopping
        } else if self.store.is_read_only() {
            Readiness::ReadOnly
        } else {
            Readiness::Ready
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let service = &self.shared.service;
        let (counters, _) = service.counters.sums();
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        let cpu = |time: Option<TimeVal>| time.map_or(Duration::ZERO, duration);
        let unix_time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = Instant::now();
        Snapshot {
            at,
            counters,
            store: self.store.stats(),
            locks: self.locks.stats(NO_WORKER, at),
            commands: CommandKind::ALL.iter().map(|&kind| service.latencies.command(kind)).collect(),
            pauses: PauseKind::ALL.iter().map(|&kind| service.latencies.pause(kind)).collect(),
            slow_total: service.latencies.slow_log().total(),
            max_connections: self.shared.connection_limit.max_connections(),
            max_bytes: self.store.max_bytes(),
            disk_free_bytes: statvfs(self.store.path()).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize)),
            inflight_bytes: self.shared.connection_options.budget.used(),
            uptime: unix_time.saturating_sub(service.started),
            started: service.started,
            cpu_user: cpu(usage.map(|usage| usage.user_time())),
            cpu_system: cpu(usage.map(|usage| usage.system_time())),
            readiness: self.readiness(),
        }
    }

    pub(super) fn slow_requests(&self) -> Vec<SlowRequest> {
        self.shared.service.latencies.slow_log().recent()
    }
}

impl Snapshot {
    /// When it was taken, as the time since 1970.
    pub(super) fn unix_time(&self) -> Duration {
        self.started + self.uptime
    }

    pub(super) fn open_connections(&self) -> u64 {
        self.counters.connections_opened.saturating_sub(self.counters.connections_closed)
    }

    pub(super) fn hits(&self) -> u64 {
        self.counters.get_hits
    }

    pub(super) fn misses(&self) -> u64 {
        self.counters.get_misses
    }

    /// How many requests have a latency.
    pub(super) fn requests(&self) -> u64 {
        self.commands.iter().map(Distribution::count).sum()
    }

    /// How many bytes the files of the store may have: by the limit of the operator, or by what the file system has left.
    pub(super) fn room(&self) -> u64 {
        self.max_bytes.unwrap_or(self.store.file_bytes.saturating_add(self.disk_free_bytes))
    }
}

fn duration(time: TimeVal) -> Duration {
    Duration::new(time.tv_sec().unsigned_abs(), time.tv_usec().unsigned_abs() as u32 * 1000)
}

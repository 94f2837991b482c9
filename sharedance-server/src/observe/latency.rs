//! How long requests take, and what workers wait for: always recorded.
//!
//! The latency of a request begins when its worker has learned that the request has arrived completely, which is the begin
//! of a turn, and ends when its response was given to the transport. It contains the wait for other connections of the same
//! turn, and for a sync. The wait for a lock is recorded as a pause instead.
//!
//! Requests that one read has brought are answered by one write. They get the same latency, for one reading of the clock.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::histogram::{Distribution, Histogram};
use super::slow_log::{SlowLog, SlowRequest};

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $type {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $type {
            pub(crate) const ALL: &[$type] = &[$($type::$variant),*];

            /// The name in statistics and metrics.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name,)*
                }
            }
        }
    };
}

names! {
    /// The kinds of requests whose latencies are distinguished. All dialects share them.
    CommandKind {
        /// A retrieval. Each key of a retrieval of several keys counts as one.
        Get = "get",
        /// A write of a value, with or without a condition; appending and prepending are among them.
        Set = "set",
        /// A new expiration time, with or without a retrieval.
        Touch = "touch",
        /// A deletion, or a mark that a value is stale.
        Delete = "delete",
        /// A change of a number.
        Count = "count",
        Lock = "lock",
        Unlock = "unlock",
        FlushAll = "flush_all",
        Stats = "stats",
    }
}

names! {
    /// What keeps a worker or a connection from its work.
    PauseKind {
        /// A whole turn of a worker, without its wait for readiness: no connection of the worker is served twice within it.
        Turn = "turn",
        /// A sync of the store by a worker.
        Sync = "sync",
        /// The wait of a connection for a lock, however it ended.
        LockWait = "lock_wait",
    }
}

const COMMANDS: usize = CommandKind::ALL.len();
const PAUSES: usize = PauseKind::ALL.len();

/// The histograms of one worker.
#[derive(Debug, Default)]
struct WorkerHistograms {
    commands: [Histogram; COMMANDS],
    pauses: [Histogram; PAUSES],
}

/// The histograms of all workers, and the slow log.
#[derive(Debug)]
pub(crate) struct Latencies {
    of_worker: Vec<Arc<WorkerHistograms>>,
    slow_log: Arc<SlowLog>,
}

impl Latencies {
    /// Requests whose latency reaches `slow_log_threshold` are in the slow log.
    pub(crate) fn new(workers: usize, slow_log_threshold: Option<Duration>) -> Latencies {
        let slow_log = Arc::new(SlowLog::new(slow_log_threshold));
        Latencies { of_worker: (0..workers).map(|_| Arc::default()).collect(), slow_log }
    }

    /// The recorder of one worker, of which there must be one at a time.
    pub(crate) fn recorder(&self, worker: usize, now: Instant) -> LatencyRecorder {
        LatencyRecorder {
            histograms: Arc::clone(&self.of_worker[worker]),
            slow_log: Arc::clone(&self.slow_log),
            batch: Batch::default(),
            unsynced: Batch::default(),
            last_record: Cell::new(now),
        }
    }

    /// The latencies of all requests of this kind.
    pub(crate) fn command(&self, kind: CommandKind) -> Distribution {
        self.sum(|histograms| &histograms.commands[kind as usize])
    }

    /// The lengths of all pauses of this kind.
    pub(crate) fn pause(&self, kind: PauseKind) -> Distribution {
        self.sum(|histograms| &histograms.pauses[kind as usize])
    }

    pub(crate) fn slow_log(&self) -> &SlowLog {
        &self.slow_log
    }

    fn sum<'a>(&'a self, histogram: impl Fn(&'a WorkerHistograms) -> &'a Histogram) -> Distribution {
        let mut sum = Distribution::default();
        self.of_worker.iter().for_each(|histograms| sum.add(histogram(histograms)));
        sum
    }
}

/// Requests that were executed and are not recorded yet.
#[derive(Debug, Default)]
struct Batch {
    counts: [Cell<u32>; COMMANDS],
    /// The kinds that have a count, a bit each.
    kinds: Cell<u32>,
    /// The request with the longest value, which probably took the most time.
    largest: Cell<Option<Request>>,
}

/// A request, without its key and value.
#[derive(Debug, Clone, Copy)]
struct Request {
    kind: CommandKind,
    key_len: u16,
    value_len: usize,
}

impl Batch {
    #[inline]
    fn add(&self, request: Request, count: u32) {
        let counter = &self.counts[request.kind as usize];
        counter.set(counter.get() + count);
        self.kinds.set(self.kinds.get() | 1 << request.kind as u32);
        if self.largest.get().is_none_or(|largest| largest.value_len <= request.value_len) {
            self.largest.set(Some(request));
        }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.kinds.get() == 0
    }

    /// Calls `visit` with each kind that has a count, and empties the batch.
    fn drain(&self, mut visit: impl FnMut(usize, u32)) {
        let mut kinds = self.kinds.take();
        while kinds != 0 {
            let kind = kinds.trailing_zeros() as usize;
            visit(kind, self.counts[kind].take());
            kinds &= kinds - 1;
        }
        self.largest.set(None);
    }
}

/// Records the latencies of one worker.
#[derive(Debug)]
pub(crate) struct LatencyRecorder {
    histograms: Arc<WorkerHistograms>,
    slow_log: Arc<SlowLog>,
    /// The requests of the connection that is advanced.
    batch: Batch,
    /// Those of this turn whose responses wait for a sync.
    unsynced: Batch,
    /// The time of the last record in this turn, or of its begin.
    last_record: Cell<Instant>,
}

impl LatencyRecorder {
    /// A request was executed. Its latency is recorded by the next call of [`LatencyRecorder::record`].
    #[inline]
    pub(crate) fn note(&self, kind: CommandKind, key_len: usize, value_len: usize) {
        self.batch.add(Request { kind, key_len: key_len as u16, value_len }, 1);
    }

    /// A turn has begun.
    pub(crate) fn begin_turn(&self, now: Instant) {
        self.last_record.set(now);
    }

    /// A turn that began at `began` has ended. Its length is that up to the last record: the clock is not read for it.
    pub(crate) fn end_turn(&self, began: Instant) {
        let length = self.last_record.get().saturating_duration_since(began);
        if !length.is_zero() {
            self.record_pause(PauseKind::Turn, length);
        }
    }

    /// The responses to the noted requests were given to the transport. They had arrived at `arrived`. Reads `clock` only if
    /// there are any.
    #[inline]
    pub(crate) fn record(&self, arrived: Instant, clock: &dyn Fn() -> Instant) {
        if !self.batch.is_empty() {
            self.record_batch(&self.batch, arrived, clock(), Duration::ZERO);
        }
    }

    /// The responses to the noted requests wait for the sync of this turn.
    pub(crate) fn defer_to_sync(&self) {
        let largest = self.batch.largest.get();
        self.batch.drain(|kind, count| {
            let request = Request { kind: CommandKind::ALL[kind], key_len: 0, value_len: 0 };
            self.unsynced.add(request, count);
        });
        if let Some(largest) = largest {
            self.unsynced.add(largest, 0);
        }
    }

    /// A sync has taken from `began` to `ended`. The deferred requests had arrived at `arrived`.
    pub(crate) fn record_sync(&self, arrived: Instant, began: Instant, ended: Instant) {
        let synced = ended.saturating_duration_since(began);
        self.record_pause(PauseKind::Sync, synced);
        if !self.unsynced.is_empty() {
            self.record_batch(&self.unsynced, arrived, ended, synced);
        }
    }

    pub(crate) fn record_pause(&self, kind: PauseKind, length: Duration) {
        self.histograms.pauses[kind as usize].record(length, 1);
    }

    fn record_batch(&self, batch: &Batch, arrived: Instant, now: Instant, synced: Duration) {
        let latency = now.saturating_duration_since(arrived);
        if self.slow_log.is_slow(latency) {
            self.log_slow(batch, arrived, now, synced);
        }
        batch.drain(|kind, count| self.histograms.commands[kind].record(latency, count.into()));
        self.last_record.set(now);
    }

    #[cold]
    fn log_slow(&self, batch: &Batch, arrived: Instant, now: Instant, synced: Duration) {
        let Some(Request { kind, key_len, value_len }) = batch.largest.get() else {
            return;
        };
        let latency = now.saturating_duration_since(arrived);
        let waited = self.last_record.get().saturating_duration_since(arrived).min(latency.saturating_sub(synced));
        self.slow_log.push(SlowRequest {
            number: 0,
            unix_time: Duration::ZERO,
            command: kind,
            key_len: key_len.into(),
            value_len,
            requests: batch.counts.iter().map(Cell::get).sum(),
            latency,
            waited,
            synced,
        });
    }
}

//! What the server records about its work.
//!
//! - [`Counters`]: counts of requests, connections and bytes, of each worker.
//! - [`Latencies`]: how long requests and pauses take, in a [`Histogram`](histogram::Histogram) for each kind.
//! - [`SlowRequest`]: one of the most recent requests that took long.

mod counters;
mod histogram;
mod latency;
mod slow_log;

pub(crate) use counters::{AllCounters, Counters, Sums};
pub(crate) use histogram::Distribution;
#[cfg(test)]
pub(crate) use histogram::Histogram;
pub(crate) use latency::{CommandKind, Latencies, LatencyRecorder, PauseKind};
pub(crate) use slow_log::DEFAULT_SLOW_LOG_THRESHOLD;
#[cfg(feature = "status")]
pub(crate) use slow_log::SlowRequest;

//! What the execution of a request may use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sharedance_core::protocol::Limits;
use sharedance_core::store::Store;

use super::settings::Settings;
use crate::access::{Access, AccessControl};
use crate::locks::{ConnectionId, Locks};
use crate::observe::{AllCounters, Counters, Latencies, LatencyRecorder};
use crate::process::logging::LogLimits;

/// What the execution of a request may use.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) store: &'a Store,
    pub(crate) limits: &'a Limits,
    /// The counters of this worker.
    pub(crate) counters: &'a Counters,
    /// The latencies of this worker.
    pub(crate) latency: &'a LatencyRecorder,
    pub(crate) service: &'a Service,
    pub(crate) locks: &'a Locks,
    /// What the connection may do.
    pub(crate) access: &'a Access,
    pub(crate) connection: ConnectionId,
    pub(crate) now: Instant,
    /// The wall clock, as the time since 1970.
    pub(crate) unix_time: Duration,
}

/// What the workers share for the execution of requests.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) counters: AllCounters,
    pub(crate) latencies: Latencies,
    pub(crate) settings: Settings,
    /// When the server started, as the time since 1970.
    pub(crate) started: Duration,
    pub(crate) log: Arc<LogLimits>,
    pub(crate) access: AccessControl,
}

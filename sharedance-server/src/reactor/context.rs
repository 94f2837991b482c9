//! What a worker lends to a connection while it advances, and the time of the turn.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use sharedance_core::store::{Batch, Store};

use crate::buffers::Output;
use crate::commands::Service;
#[cfg(feature = "tls")]
use crate::connection::TlsWorker;
use crate::connection::{CloseReason, ConnectionOptions, TransportContext, TurnContext};
use crate::listen::{ConnectionLimit, Network};
use crate::locks::{ConnectionId, Locks};
use crate::observe::{Counters, LatencyRecorder};
#[cfg(feature = "tls")]
use crate::tls::TlsConfig;

/// The least that is received at once from a connection that may have many requests.
const SCRATCH_LEN: usize = 64 * 1024;

/// What the workers of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connection_options: ConnectionOptions,
    pub(crate) service: Service,
    /// How long a connection may stay between two requests.
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) connection_limit: ConnectionLimit,
    /// The networks whose hosts may connect; if there are none, every host may.
    pub(crate) allowed: Vec<Network>,
    /// `None` if no listener uses TLS.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<TlsConfig>>,
    /// Set once, when the server has to stop. The pollers are notified after that.
    pub(crate) is_stopping: AtomicBool,
}

/// What belongs to one worker.
pub(super) struct WorkerContext {
    /// Returns the current time. Tests replace it.
    pub(super) clock: Box<dyn Fn() -> Instant + Send>,
    /// The number of the worker.
    pub(super) worker: u32,
    pub(super) shared: Arc<Shared>,
    /// All responses of a turn share one sync.
    pub(super) store: Batch,
    pub(super) locks: Arc<Locks>,
    pub(super) counters: Arc<Counters>,
    pub(super) latency: LatencyRecorder,
    scratch: Vec<u8>,
    pub(super) transport: TransportContext,
    output: Output,
    pub(super) now: Instant,
    unix_time: Duration,
}

impl WorkerContext {
    pub(super) fn new(worker: u32, shared: Arc<Shared>, locks: Arc<Locks>, store: Store) -> WorkerContext {
        let mut context = WorkerContext {
            clock: Box::new(Instant::now),
            worker,
            transport: TransportContext {
                #[cfg(feature = "tls")]
                tls: TlsWorker::new(
                    shared.tls.clone(),
                    Arc::clone(&shared.connection_options.budget),
                    shared.service.counters.of_worker(worker as usize),
                ),
            },
            counters: shared.service.counters.of_worker(worker as usize),
            latency: shared.service.latencies.recorder(worker as usize, Instant::now()),
            scratch: vec![0; shared.connection_options.readsize.max(SCRATCH_LEN)],
            output: Output::default(),
            now: Instant::now(),
            unix_time: Duration::ZERO,
            shared,
            store: store.batch(),
            locks,
        };
        context.read_clocks();
        context
    }

    /// Called once a turn, and after everything that may take long within one.
    pub(super) fn read_clocks(&mut self) {
        self.now = (self.clock)();
        self.unix_time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    }

    /// Logs why a connection has ended, or what was refused on it, if the operator has to know.
    pub(super) fn log(&self, reason: &CloseReason) {
        reason.log(&self.shared.service.log, self.now);
    }

    /// What the connection with this id may use.
    pub(super) fn turn(&mut self, id: ConnectionId) -> TurnContext<'_> {
        TurnContext {
            now: self.now,
            unix_time: self.unix_time,
            store: &self.store,
            options: &self.shared.connection_options,
            service: &self.shared.service,
            counters: &self.counters,
            latency: &self.latency,
            clock: &*self.clock,
            locks: &self.locks,
            scratch: &mut self.scratch,
            transport: &mut self.transport,
            output: &mut self.output,
            id,
            may_wait: true,
            refusal: None,
        }
    }
}

//! What a worker lends to the connection whose turn it is, and the time of the turn.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sharedance_core::store::Store;

use super::{Shared, report};
use crate::buffers::Output;
use crate::connection::{End, Turn};
use crate::locks::{ConnectionId, Locks};
use crate::observe::Counters;

/// How much is read at once, at the least, from a connection that may have many requests.
const SCRATCH_LEN: usize = 64 * 1024;

/// Of one worker.
pub(super) struct Desk {
    /// Returns the current time. Tests replace it.
    pub(super) clock: Box<dyn Fn() -> Instant + Send>,
    /// Which worker it is.
    pub(super) number: u32,
    pub(super) shared: Arc<Shared>,
    /// Defers syncs: those who are answered in a turn share one.
    pub(super) store: Store,
    pub(super) locks: Arc<Locks>,
    pub(super) counters: Arc<Counters>,
    scratch: Vec<u8>,
    output: Output,
    pub(super) now: Instant,
    pub(super) unix_time: Duration,
}

impl Desk {
    pub(super) fn new(number: u32, shared: Arc<Shared>, locks: Arc<Locks>, store: Store) -> Desk {
        let mut desk = Desk {
            clock: Box::new(Instant::now),
            number,
            counters: shared.service.counters.of_worker(number as usize),
            scratch: vec![0; shared.rules.read_len.max(SCRATCH_LEN)],
            output: Output::default(),
            now: Instant::now(),
            unix_time: Duration::ZERO,
            shared,
            store: store.deferring_syncs(),
            locks,
        };
        desk.read_clocks();
        desk
    }

    /// To be called once a turn, and after everything that may take long within one.
    pub(super) fn read_clocks(&mut self) {
        self.now = (self.clock)();
        self.unix_time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    }

    /// Logs why a connection has ended, or what was refused on it, if that matters.
    pub(super) fn report(&self, end: &End) {
        report(&self.shared.service.log, end, self.now);
    }

    /// For the connection that has this id.
    pub(super) fn turn(&mut self, id: ConnectionId) -> Turn<'_> {
        Turn {
            now: self.now,
            unix_time: self.unix_time,
            store: &self.store,
            rules: &self.shared.rules,
            service: &self.shared.service,
            counters: &self.counters,
            locks: &self.locks,
            scratch: &mut self.scratch,
            output: &mut self.output,
            id,
            is_full: false,
            remark: None,
        }
    }
}

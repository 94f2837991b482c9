//! What a connection uses while it advances.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sharedance_core::protocol::Limits;
use sharedance_core::store::Batch;

use super::close_reason::CloseReason;
use super::transport::TransportContext;
use crate::access::Access;
use crate::buffers::{Budget, Output};
use crate::commands::{Context, Service};
use crate::locks::{ConnectionId, Locks};
use crate::observe::{Counters, LatencyRecorder};

/// How much one connection may read, or send, in one turn. The poller reports it again.
pub(super) const BYTES_PER_TURN: usize = 2 * 1024 * 1024;

/// How many system calls one connection may make in one turn: a peer that sends byte by byte does not delay the others.
pub(super) const CALLS_PER_TURN: usize = 16;

/// The limits on the requests of a connection that has not sent credentials yet. Names and passwords are much shorter.
static LOG_IN_LIMITS: Limits = Limits { max_request_len: 16 * 1024 };

/// What a connection may use during one call.
pub(crate) struct TurnContext<'a> {
    /// The time of the turn.
    pub(crate) now: Instant,
    /// The wall clock of the turn, as the time since 1970.
    pub(crate) unix_time: Duration,
    /// The worker's batch, whose writes share one sync.
    pub(crate) store: &'a Batch,
    pub(crate) options: &'a ConnectionOptions,
    pub(crate) service: &'a Service,
    pub(crate) counters: &'a Counters,
    pub(crate) latency: &'a LatencyRecorder,
    /// Returns the current time.
    pub(crate) clock: &'a dyn Fn() -> Instant,
    pub(crate) locks: &'a Locks,
    /// Receives input as long as none of it has to be kept; at least [`ConnectionOptions::readsize`] long.
    pub(crate) scratch: &'a mut [u8],
    /// What the transport of the connection uses.
    pub(crate) transport: &'a mut TransportContext,
    /// Collects responses. Empty between calls.
    pub(crate) output: &'a mut Output,
    /// The connection.
    pub(crate) id: ConnectionId,
    /// Whether the connection may wait for anything. A new one may not if as many as may wait do so already.
    pub(crate) may_wait: bool,
    /// A refusal that the peer has received and that is logged too.
    pub(crate) refusal: Option<CloseReason>,
}

impl<'a> TurnContext<'a> {
    /// Whether responses must be held back because what they acknowledge is not on the disk yet. For a connection that
    /// may not wait, this syncs at once.
    pub(super) fn needs_sync(&self) -> Result<bool, CloseReason> {
        let needs_sync = self.store.needs_sync();
        if needs_sync && !self.may_wait {
            self.store.sync().map_err(CloseReason::StoreFailed)?;
            return Ok(false);
        }
        Ok(needs_sync)
    }

    pub(super) fn request_context<'b>(&self, access: &'b Access) -> Context<'b>
    where
        'a: 'b,
    {
        let is_unauthenticated = access.is_unauthenticated();
        Context {
            store: self.store,
            limits: if is_unauthenticated { &LOG_IN_LIMITS } else { &self.options.limits },
            counters: self.counters,
            latency: self.latency,
            service: self.service,
            locks: self.locks,
            access,
            unix_time: self.unix_time,
            now: self.now,
            connection: self.id,
        }
    }
}

/// The options that apply to every connection of a server.
#[derive(Debug)]
pub(crate) struct ConnectionOptions {
    pub(crate) limits: Limits,
    /// How many bytes are read at first from a connection.
    pub(crate) readsize: usize,
    /// The longest time without a byte within a request or a response.
    pub(crate) timeout: Duration,
    /// The most memory that one connection may use, in bytes.
    pub(crate) max_connection_memory: usize,
    /// The memory for buffered requests and copied responses of all connections.
    pub(crate) budget: Arc<Budget>,
}

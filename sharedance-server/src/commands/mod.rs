//! What a request means to the store, and what the store's result means to the peer.
//!
//! The only place that knows both the protocols' words and the store's. [`Conversation`] decodes what has arrived on a
//! connection and carries it out, request by request; answers go to the connection's [`Output`]. Each dialect of
//! memcached has a file here that knows its answers; what they do to the store is the same, and in `pairs.rs`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sharedance_core::protocol::memcached::{self, Exptime};
use sharedance_core::protocol::{DecodeError, Decoded, Limits};
use sharedance_core::store::{Store, StoreError};

use crate::buffers::Output;
use crate::locks::{ConnectionId, Locks};
use crate::observe::{AllCounters, Counters};
use crate::process::logging::LogLimits;

mod binary;
mod classic;
mod meta;
mod pairs;
mod stats;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use classic::{Body, execute};
pub(crate) use stats::Settings;

/// What carrying out a request may use.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) store: &'a Store,
    pub(crate) limits: &'a Limits,
    /// Of this worker.
    pub(crate) counters: &'a Counters,
    pub(crate) service: &'a Service,
    pub(crate) locks: &'a Locks,
    pub(crate) connection: ConnectionId,
    pub(crate) now: Instant,
    /// The wall clock, as the time since 1970.
    pub(crate) unix_time: Duration,
}

/// What all workers share of what the dialects need.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) counters: AllCounters,
    pub(crate) settings: Settings,
    /// When it started, as the time since 1970.
    pub(crate) started: Duration,
    pub(crate) log: Arc<LogLimits>,
}

impl Context<'_> {
    /// Deletes every pair at `at`, or now; in place of a deletion that was scheduled before.
    fn flush(&self, at: Exptime) -> Result<(), StoreError> {
        let delay = match at {
            Exptime::Secs(secs) => Duration::from_secs(secs.into()),
            Exptime::Until(unix_secs) => Duration::from_secs(unix_secs).saturating_sub(self.unix_time),
            _ => Duration::ZERO,
        };
        self.counters.flushes.add(1);
        self.store.clear_after(delay)
    }
}

/// What has come of the first bytes of an input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// So many bytes were a request, or a part of one. It was carried out, and the answer, if there is one, is in the
    /// output.
    Done { consumed: usize },
    /// Nothing can be said before so many bytes are there.
    Incomplete { needed: usize },
    /// So many bytes ask for a lock. What follows them has to wait with it.
    Lock { consumed: usize, key: &'a [u8], wait: Duration, ttl: Duration },
    /// So many bytes give a lock back.
    Unlock { consumed: usize, key: &'a [u8] },
    /// So many bytes give back all locks of the connection.
    UnlockAll { consumed: usize, opaque: Option<&'a [u8]> },
    /// So many bytes were the last request: once the output is sent, the connection is to be closed.
    Last { consumed: usize },
}

/// What is said on one connection in a dialect of memcached.
#[derive(Debug)]
pub(crate) enum Conversation {
    Text(memcached::text::Decoder),
    Binary(memcached::binary::Decoder),
}

impl Conversation {
    pub(crate) fn text() -> Conversation {
        Conversation::Text(memcached::text::Decoder::new())
    }

    pub(crate) fn binary() -> Conversation {
        Conversation::Binary(memcached::binary::Decoder::new())
    }

    /// Decodes and carries out the next request. `input` is what has arrived and was not consumed. One request of many
    /// keys is carried out key by key: each takes a step.
    ///
    /// # Errors
    /// The bytes are no request, and the connection is to be closed. Nothing is to be answered to them; what is in the
    /// output may be sent.
    #[inline]
    pub(crate) fn step<'a>(
        &mut self,
        input: &'a [u8],
        context: &Context<'_>,
        output: &mut Output,
    ) -> Result<Step<'a>, DecodeError> {
        Ok(match self {
            Conversation::Text(decoder) => match decoder.decode(input, context.limits)? {
                Decoded::Complete { message, consumed } => text::execute(message, consumed, context, output),
                Decoded::Incomplete { needed } => Step::Incomplete { needed },
            },
            Conversation::Binary(decoder) => match decoder.decode(input, context.limits)? {
                Decoded::Complete { message, consumed } => binary::execute(message, consumed, context, output),
                Decoded::Incomplete { needed } => Step::Incomplete { needed },
            },
        })
    }
}

//! Whether a peer is too slow to send a request that it has begun, or to receive a response.

use std::time::{Duration, Instant};

use super::close_reason::CloseReason;
use super::context::TurnContext;

/// A request, and the sending of a response, may take this many timeouts in all: for pauses before the header, the key
/// and the value. The time that the bytes transferred so far need at [`MIN_BYTES_PER_SEC`] is added. A peer cannot hold
/// a connection with a byte a second, and a large upload over a slow line is in time as long as it makes progress.
pub(super) const PAUSES: u32 = 3;
const MIN_BYTES_PER_SEC: u64 = 16 * 1024;

/// The time and the bytes that a transfer has taken so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    begun: Instant,
    transferred: usize,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Pace {
        Pace { begun: now, transferred: 0 }
    }

    /// Begins the next transfer.
    pub(super) fn begin(&mut self, now: Instant) {
        *self = Pace::new(now);
    }

    /// Adds bytes that were transferred.
    pub(super) fn add(&mut self, bytes: usize) {
        self.transferred += bytes;
    }

    #[cfg(test)]
    pub(super) fn transferred(&self) -> usize {
        self.transferred
    }

    /// Returns an error if the transfer has taken too long.
    pub(super) fn check(&self, turn: &TurnContext<'_>) -> Result<(), CloseReason> {
        let earned = Duration::from_secs(self.transferred as u64 / MIN_BYTES_PER_SEC);
        let allowed = turn.options.timeout * PAUSES + earned;
        if turn.now.duration_since(self.begun) > allowed {
            return Err(CloseReason::TooSlow);
        }
        Ok(())
    }
}

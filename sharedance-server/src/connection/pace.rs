//! Whether a peer is too slow: with a request that it has begun, or with taking an answer.

use std::time::{Duration, Instant};

use super::{End, Turn};

/// A request, and the sending of an answer, may take this many idle timeouts in all: pauses before the header, the key
/// and the value. To that comes the time that the bytes moved so far need at [`MIN_BYTES_PER_SEC`]. A byte a second is
/// no way to hold a connection, and a large upload over a slow line is in time as long as it moves.
pub(super) const PAUSES: u32 = 3;
const MIN_BYTES_PER_SEC: u64 = 16 * 1024;

/// The time and the bytes that something has taken so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    begun: Instant,
    moved: usize,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Pace {
        Pace { begun: now, moved: 0 }
    }

    /// Something else begins.
    pub(super) fn begin(&mut self, now: Instant) {
        *self = Pace::new(now);
    }

    /// So many more bytes were moved.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.moved += bytes;
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.moved
    }

    pub(super) fn check(&self, turn: &Turn<'_>) -> Result<(), End> {
        let earned = Duration::from_secs(self.moved as u64 / MIN_BYTES_PER_SEC);
        let allowed = turn.rules.idle_timeout * PAUSES + earned;
        if turn.now.duration_since(self.begun) > allowed {
            return Err(End::TooSlow);
        }
        Ok(())
    }
}

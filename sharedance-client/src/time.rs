//! The only file of the crate that reads the clock. Everything else takes `now` as an argument, except the deadlines of
//! single system calls.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Timeouts are limited to this range: the system does not accept a timeout of zero, and sums with very long ones
/// overflow. The wait for a lock is limited to half of the maximum, so that the server responds before the client times
/// out.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(2 * 24 * 60 * 60);
pub(crate) const LOCK_WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn system_now() -> SystemTime {
    SystemTime::now()
}

pub(crate) fn unix_secs() -> u64 {
    system_now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

pub(crate) fn in_range(timeout: Duration) -> Duration {
    timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX)
}

/// The deadline of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    started: Instant,
    at: Instant,
}

impl Deadline {
    pub(crate) fn after(timeout: Duration) -> Deadline {
        let started = now();
        Deadline { started, at: started + in_range(timeout) }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn at(self) -> Instant {
        self.at
    }

    pub(crate) fn elapsed(self) -> Duration {
        now() - self.started
    }

    /// The deadline of the first of `count` consecutive waits: each has an equal part of the remaining time.
    pub(crate) fn share(self, count: usize) -> Deadline {
        match count {
            // The clock need not be read.
            0 | 1 => self,
            _ => Deadline::after(self.left().unwrap_or_default() / count.try_into().unwrap_or(u32::MAX)),
        }
    }

    /// The time that is left; `None` if the deadline has passed.
    pub(crate) fn left(self) -> Option<Duration> {
        let left = self.at.saturating_duration_since(now());
        (!left.is_zero()).then_some(left)
    }
}

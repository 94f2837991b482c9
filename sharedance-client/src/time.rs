//! The one file of the crate that asks for the time; besides the deadlines of single calls to the system, all else is
//! told it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Timeouts are brought into this range: the system takes none of zero, and sums with far ones overflow. A lock may be
/// waited for for half of the longest, so that the server's answer comes before the client gives up.
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

/// The end of something that must not take longer than this.
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

    /// The deadline of one of `count` waits that follow each other: each has an equal part of what is left.
    pub(crate) fn share(self, count: usize) -> Deadline {
        match count {
            // No look at the clock is needed.
            0 | 1 => self,
            _ => Deadline::after(self.left().unwrap_or_default() / count.try_into().unwrap_or(u32::MAX)),
        }
    }

    /// The time that is left; `None` where it is over.
    pub(crate) fn left(self) -> Option<Duration> {
        let left = self.at.saturating_duration_since(now());
        (!left.is_zero()).then_some(left)
    }
}

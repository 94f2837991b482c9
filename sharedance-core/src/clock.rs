//! Where the time comes from: the system, or a hand that turns it in a test.
//!
//! This is the only file of the crate that asks the system for the time. Two clocks are read: *boot time*, which only
//! moves forward, counts through suspend and knows nothing of clock steps; and *wall time*, which is consulted only to
//! learn how long the machine was off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// A source of boot time and wall time. Cheap to clone; clones show the same time.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    source: Source,
}

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<ManualTime>),
}

#[derive(Debug)]
struct ManualTime {
    boot_ms: AtomicU64,
    wall_ms: AtomicU64,
}

/// Turns the [`Clock`] that [`Clock::manual`] made with it.
#[derive(Debug, Clone)]
pub struct ManualClock {
    time: Arc<ManualTime>,
}

impl Clock {
    /// The system's clocks.
    pub fn system() -> Clock {
        Clock { source: Source::System }
    }

    /// A clock that stands still until its [`ManualClock`] turns it.
    pub fn manual() -> (Clock, ManualClock) {
        let start_ms = Duration::from_secs(1_000_000_000).as_millis() as u64;
        let time = Arc::new(ManualTime { boot_ms: AtomicU64::new(1), wall_ms: AtomicU64::new(start_ms) });
        (Clock { source: Source::Manual(time.clone()) }, ManualClock { time })
    }

    /// The first whole millisecond of [`Clock::boot_ms`] that is not in the past.
    pub(crate) fn boot_ms_rounded_up(&self) -> u64 {
        match &self.source {
            Source::System => {
                let now = clock_gettime(ClockId::Boottime);
                now.tv_sec as u64 * 1_000 + (now.tv_nsec as u64).div_ceil(1_000_000)
            }
            Source::Manual(_) => self.boot_ms(),
        }
    }

    /// Milliseconds since the machine booted, suspend included.
    pub(crate) fn boot_ms(&self) -> u64 {
        match &self.source {
            Source::System => {
                let now = clock_gettime(ClockId::Boottime);
                now.tv_sec as u64 * 1_000 + now.tv_nsec as u64 / 1_000_000
            }
            Source::Manual(time) => time.boot_ms.load(Ordering::Acquire),
        }
    }

    /// Milliseconds since the Unix epoch; zero where the wall clock stands before it.
    pub(crate) fn wall_ms(&self) -> u64 {
        match &self.source {
            Source::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
            Source::Manual(time) => time.wall_ms.load(Ordering::Acquire),
        }
    }
}

impl ManualClock {
    /// The clock that this hand turns.
    pub fn clock(&self) -> Clock {
        Clock { source: Source::Manual(self.time.clone()) }
    }

    /// Lets time pass: both clocks move on by `by`, of which whole milliseconds count.
    pub fn advance(&self, by: Duration) {
        let by_ms = by.as_millis() as u64;
        self.time.boot_ms.fetch_add(by_ms, Ordering::AcqRel);
        self.time.wall_ms.fetch_add(by_ms, Ordering::AcqRel);
    }

    /// Steps the wall clock to `since_epoch` after the Unix epoch, as an operator or a time server does.
    pub fn step_wall(&self, since_epoch: Duration) {
        self.time.wall_ms.store(since_epoch.as_millis() as u64, Ordering::Release);
    }

    /// Starts boot time anew, as a reboot does; wall time is left as it is.
    pub fn reboot(&self) {
        self.time.boot_ms.store(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_boot_time_moves_forward() {
        let clock = Clock::system();
        let before = clock.boot_ms();
        assert!(before > 0);
        assert!(clock.boot_ms() >= before);
    }

    #[test]
    fn manual_clock_moves_only_by_hand() {
        let (clock, hand) = Clock::manual();
        let before = (clock.boot_ms(), clock.wall_ms());
        assert_eq!((clock.boot_ms(), clock.wall_ms()), before);
        hand.advance(Duration::from_millis(1_500));
        assert_eq!((clock.boot_ms(), clock.wall_ms()), (before.0 + 1_500, before.1 + 1_500));
        hand.step_wall(Duration::from_secs(7));
        assert_eq!((clock.boot_ms(), clock.wall_ms()), (before.0 + 1_500, 7_000));
    }
}

//! Clocks: the system's, or one that a test advances.
//!
//! This is the only file of the crate that reads the system's time. It reads two clocks. *Boot time* only increases,
//! counts while the machine is suspended, and is independent of clock steps. *Wall time* is used only to determine how
//! long the machine was off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// A source of boot time and wall time. Cheap to clone; clones show the same time.
///
/// ```
/// # use std::time::Duration;
/// # use sharedance_core::clock::Clock;
/// # use sharedance_core::store::Options;
/// # let dir = tempfile::tempdir()?;
/// let (clock, hand) = Clock::manual();
/// let store = Options::new().clock(clock).open(dir.path())?;
/// store.set_with_ttl("code", "1234", Duration::from_secs(300))?;
/// // Setting the system's clock neither ends a pair's life nor prolongs it.
/// hand.step_wall(Duration::from_secs(2_000_000_000));
/// assert!(store.contains("code"));
/// hand.advance(Duration::from_secs(300));
/// assert!(!store.contains("code"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

/// Controls the [`Clock`] that [`Clock::manual`] created with it. Time that passes while a store is closed counts as
/// well.
///
/// ```
/// # use std::time::Duration;
/// # use sharedance_core::clock::Clock;
/// # use sharedance_core::store::Options;
/// # let dir = tempfile::tempdir()?;
/// let (clock, hand) = Clock::manual();
/// let store = Options::new().clock(clock).open(dir.path())?;
/// store.set_with_ttl("code", "1234", Duration::from_secs(300))?;
/// drop(store);
/// hand.advance(Duration::from_secs(300));
/// let store = Options::new().clock(hand.clock()).open(dir.path())?;
/// assert!(!store.contains("code"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    time: Arc<ManualTime>,
}

impl Clock {
    /// The system's clocks.
    ///
    /// ```
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::Options;
    /// # let dir = tempfile::tempdir()?;
    /// let store = Options::new().clock(Clock::system()).open(dir.path())?;
    /// # assert!(store.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn system() -> Clock {
        Clock { source: Source::System }
    }

    /// A clock that changes only through its [`ManualClock`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::Options;
    /// # let dir = tempfile::tempdir()?;
    /// let (clock, hand) = Clock::manual();
    /// let store = Options::new().clock(clock).open(dir.path())?;
    /// store.set_with_ttl("code", "1234", Duration::from_millis(1))?;
    /// assert!(store.contains("code"));
    /// hand.advance(Duration::from_millis(1));
    /// assert!(!store.contains("code"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn manual() -> (Clock, ManualClock) {
        let start_ms = Duration::from_secs(1_000_000_000).as_millis() as u64;
        let time = Arc::new(ManualTime { boot_ms: AtomicU64::new(1), wall_ms: AtomicU64::new(start_ms) });
        (Clock { source: Source::Manual(time.clone()) }, ManualClock { time })
    }

    /// The time since the machine booted, suspend included.
    pub(crate) fn boot_time(&self) -> Duration {
        match &self.source {
            Source::System => {
                let now = clock_gettime(ClockId::Boottime);
                Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
            }
            Source::Manual(time) => Duration::from_millis(time.boot_ms.load(Ordering::Acquire)),
        }
    }

    /// The whole milliseconds of [`Clock::boot_time`].
    pub(crate) fn boot_ms(&self) -> u64 {
        whole_ms(self.boot_time())
    }

    /// Milliseconds since the Unix epoch; zero if the wall clock is before it.
    pub(crate) fn wall_ms(&self) -> u64 {
        match &self.source {
            Source::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
            Source::Manual(time) => time.wall_ms.load(Ordering::Acquire),
        }
    }
}

/// The number of complete milliseconds.
pub(crate) fn whole_ms(time: Duration) -> u64 {
    time.as_secs() * 1_000 + u64::from(time.subsec_millis())
}

impl ManualClock {
    /// The clock that this controls.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::Options;
    /// # let dir = tempfile::tempdir()?;
    /// let (_, hand) = Clock::manual();
    /// let store = Options::new().clock(hand.clock()).open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// hand.advance(Duration::from_secs(30 * 60));
    /// assert!(!store.contains("user:17"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clock(&self) -> Clock {
        Clock { source: Source::Manual(self.time.clone()) }
    }

    /// Advances both clocks by `by`. Fractions of a millisecond add up.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::Options;
    /// # let dir = tempfile::tempdir()?;
    /// let (clock, hand) = Clock::manual();
    /// let store = Options::new().clock(clock).open(dir.path())?;
    /// store.set_with_ttl("code", "1234", Duration::from_millis(2))?;
    /// hand.advance(Duration::from_micros(1_999));
    /// hand.advance(Duration::from_micros(999));
    /// assert!(store.contains("code"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance(&self, by: Duration) {
        let by_ms = by.as_millis() as u64;
        self.time.boot_ms.fetch_add(by_ms, Ordering::AcqRel);
        self.time.wall_ms.fetch_add(by_ms, Ordering::AcqRel);
    }

    /// Steps the wall clock to `since_epoch` after the Unix epoch, as an operator or a time server does.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::Options;
    /// # let dir = tempfile::tempdir()?;
    /// let (clock, hand) = Clock::manual();
    /// let store = Options::new().clock(clock).open(dir.path())?;
    /// store.set("user:17", "Ada")?;
    /// hand.step_wall(Duration::ZERO);
    /// assert!(store.contains("user:17"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn step_wall(&self, since_epoch: Duration) {
        self.time.wall_ms.store(since_epoch.as_millis() as u64, Ordering::Release);
    }

    /// Resets boot time to zero, as a reboot does. Wall time does not change: [`advance`](ManualClock::advance) it by
    /// the time that the machine was off.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sharedance_core::clock::Clock;
    /// # use sharedance_core::store::{BootId, Options};
    /// # let dir = tempfile::tempdir()?;
    /// let (clock, hand) = Clock::manual();
    /// let boot = |number| Options::new().clock(hand.clock()).boot_id(Some(BootId::from_bytes([number; 16])));
    /// let store = boot(1).open(dir.path())?;
    /// store.set_with_ttl("code", "1234", Duration::from_secs(300))?;
    /// store.set_with_ttl("session", "user=ada", Duration::from_secs(900))?;
    /// drop(store);
    /// hand.advance(Duration::from_secs(600));
    /// hand.reboot();
    /// let store = boot(2).open(dir.path())?;
    /// assert!(!store.contains("code") && store.contains("session"));
    /// # drop(clock);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    fn a_manual_clock_does_not_advance_by_itself() {
        let (clock, hand) = Clock::manual();
        let before = (clock.boot_ms(), clock.wall_ms());
        assert_eq!((clock.boot_ms(), clock.wall_ms()), before);
        hand.advance(Duration::from_millis(1_500));
        assert_eq!((clock.boot_ms(), clock.wall_ms()), (before.0 + 1_500, before.1 + 1_500));
        hand.step_wall(Duration::from_secs(7));
        assert_eq!((clock.boot_ms(), clock.wall_ms()), (before.0 + 1_500, 7_000));
    }
}

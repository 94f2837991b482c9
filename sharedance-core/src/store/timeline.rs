//! Store time: milliseconds that never decrease. Deadlines are in store time.
//!
//! While the machine is up, store time follows boot time. Across a reboot it advances by the difference of the wall
//! clock, and never decreases. So a step of the clock neither ends a record's life early nor makes it endless.

use std::time::Duration;

use crate::clock::{Clock, whole_ms};

use crate::store::disk::meta::{SAVE_INTERVAL_MS, SavedClock, Times};

/// The maximum time that the machine can have been off: a year. A wall clock that is wrong by decades (a dead battery)
/// must not advance store time to the range in which deadlines mean "never".
const MAX_OFF_MS: u64 = 365 * 24 * 3_600 * 1_000;

/// Store time, relative to a moment for which store time and boot time are known.
#[derive(Debug)]
pub(crate) struct Timeline {
    clock: Clock,
    store_base_ms: u64,
    boot_base_ms: u64,
}

/// A moment in store time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// In whole milliseconds.
    pub(crate) ms: u64,
    /// Rounded up to whole milliseconds: a duration that begins here is never too short.
    pub(crate) rounded_up_ms: u64,
}

impl Timeline {
    /// Continues from the saved time. `same_boot` is whether the saved boot time has the same start.
    pub(crate) fn resume(clock: Clock, saved: Option<SavedClock>, same_boot: bool) -> Timeline {
        let boot_ms = clock.boot_ms();
        let store_base_ms = saved.map_or(0, |saved| match boot_ms.checked_sub(saved.boot_ms) {
            Some(elapsed_ms) if same_boot => saved.store_ms.saturating_add(elapsed_ms),
            _ => {
                let elapsed_ms = clock.wall_ms().saturating_sub(saved.wall_ms);
                saved.store_ms.saturating_add(elapsed_ms.clamp(SAVE_INTERVAL_MS, MAX_OFF_MS))
            }
        });
        Timeline { clock, store_base_ms, boot_base_ms: boot_ms }
    }

    /// Store time, from one reading of the clock.
    pub(crate) fn now(&self) -> Moment {
        let boot_time = self.clock.boot_time();
        let boot_ms = whole_ms(boot_time);
        let has_begun_another = !boot_time.subsec_nanos().is_multiple_of(1_000_000);
        Moment { ms: self.at(boot_ms), rounded_up_ms: self.at(boot_ms + u64::from(has_begun_another)) }
    }

    /// Store time in milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.at(self.clock.boot_ms())
    }

    /// The time since the machine booted. It is finer than store time and valid for this boot only.
    pub(crate) fn boot_time(&self) -> Duration {
        self.clock.boot_time()
    }

    fn at(&self, boot_ms: u64) -> u64 {
        self.store_base_ms.saturating_add(boot_ms.saturating_sub(self.boot_base_ms))
    }

    /// All clocks at one moment.
    pub(crate) fn times(&self) -> Times {
        let boot_ms = self.clock.boot_ms();
        Times { store_ms: self.at(boot_ms), boot_ms, wall_ms: self.clock.wall_ms() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::disk::meta::{BootId, Meta};

    const HOUR_MS: u64 = 3_600_000;

    /// The clock that a store saved at the age of two hours, and a manual clock.
    fn saved() -> (SavedClock, ManualClock) {
        let (clock, hand) = Clock::manual();
        hand.advance(Duration::from_millis(5_000));
        let times = Times { store_ms: 2 * HOUR_MS, boot_ms: clock.boot_ms(), wall_ms: clock.wall_ms() };
        let dir = tempfile::tempdir().unwrap();
        let describe = || crate::store::disk::meta::Description { segment_len: 65_536, store_id: 0, hash_key: [0; 16] };
        let mut meta = Meta::open(dir.path(), Some(BootId::from_bytes([1; 16])), describe).unwrap();
        meta.save(times, 1).unwrap();
        (meta.saved.unwrap(), hand)
    }

    #[test]
    fn on_the_same_boot_it_advances_by_boot_time_only() {
        let (saved, hand) = saved();
        hand.advance(Duration::from_millis(700));
        hand.step_wall(Duration::from_secs(1));
        let timeline = Timeline::resume(hand.clock(), Some(saved), true);
        assert_eq!(timeline.now_ms(), 2 * HOUR_MS + 700);
        hand.advance(Duration::from_millis(1));
        hand.step_wall(Duration::from_secs(9_000_000_000));
        assert_eq!(timeline.now_ms(), 2 * HOUR_MS + 701);
        assert_eq!(timeline.times().store_ms, timeline.now_ms());
    }

    #[test]
    fn across_a_reboot_it_advances_by_the_wall_clock_between_a_second_and_a_year() {
        let year_ms = 365 * 24 * HOUR_MS;
        let cases = [(HOUR_MS as i64, HOUR_MS), (0, 1_000), (-(HOUR_MS as i64), 1_000), (2 * year_ms as i64, year_ms)];
        for (wall_step_ms, moves_ms) in cases {
            let (saved, hand) = saved();
            let wall_ms = saved.wall_ms.saturating_add_signed(wall_step_ms);
            hand.step_wall(Duration::from_millis(wall_ms));
            hand.reboot();
            let timeline = Timeline::resume(hand.clock(), Some(saved), false);
            assert_eq!(timeline.now_ms(), 2 * HOUR_MS + moves_ms, "{wall_step_ms}");
        }
    }

    #[test]
    fn a_lower_boot_time_is_another_boot() {
        let (saved, hand) = saved();
        hand.reboot();
        let timeline = Timeline::resume(hand.clock(), Some(saved), true);
        assert_eq!(timeline.now_ms(), 2 * HOUR_MS + 1_000);
    }

    #[test]
    fn a_new_store_starts_at_zero() {
        let (_, hand) = Clock::manual();
        assert_eq!(Timeline::resume(hand.clock(), None, false).now_ms(), 0);
    }
}

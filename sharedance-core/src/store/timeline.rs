//! Store time: milliseconds that only move forward, in which deadlines stand.
//!
//! While the machine is up it follows boot time; across a reboot it moves on by what the wall clock says, and never
//! back. So no clock step ends a record's life early, or makes it endless.

use crate::clock::Clock;

use super::meta::{SavedClock, Times};

/// How far store time can have run past what was last saved, in milliseconds: it is saved once a second.
pub(crate) const SAVE_INTERVAL_MS: u64 = 1_000;

/// Tells the time since a fixed point of store time and boot time.
#[derive(Debug)]
pub(crate) struct Timeline {
    clock: Clock,
    store_base_ms: u64,
    boot_base_ms: u64,
}

impl Timeline {
    /// Goes on from what was saved; `same_boot` says whether the saved boot time counts from the same start.
    pub(crate) fn resume(clock: Clock, saved: Option<SavedClock>, same_boot: bool) -> Timeline {
        let boot_ms = clock.boot_ms();
        let store_base_ms = saved.map_or(0, |saved| match boot_ms.checked_sub(saved.boot_ms) {
            Some(elapsed_ms) if same_boot => saved.store_ms.saturating_add(elapsed_ms),
            _ => {
                let elapsed_ms = clock.wall_ms().saturating_sub(saved.wall_ms);
                saved.store_ms.saturating_add(elapsed_ms.max(SAVE_INTERVAL_MS))
            }
        });
        Timeline { clock, store_base_ms, boot_base_ms: boot_ms }
    }

    /// Store time in milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.at(self.clock.boot_ms())
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
